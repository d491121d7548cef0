// Following the server: what happens in jobs, and what is changed elsewhere, a few times a second while a
// job runs. It also notices that the connection is lost, and that it is back.

/** @import { Base, Outcome, Setup } from "./types.js" */
/** @import { Store } from "./store.js" */
/** @import { Call } from "./call.js" */

import { isResting } from "./state/jobs.js";

// Milliseconds between two questions.
const RENDERING = 300;
const IDLE = 2000;
const HIDDEN = 10_000;

/**
 * @param {object} parts
 * @param {Store} parts.store
 * @param {Call} parts.call
 * @param {(parts: import("./types.js").Parts) => void} parts.show shows the parts of an answer
 * @param {{ take: (base: Base) => void, quiet: () => () => boolean }} parts.saving
 * @param {(outcome: Outcome) => void} parts.ended hears of the end of a job
 * @param {(restarted: boolean) => void} parts.back hears that the connection is back
 * @param {(fault: import("./types.js").Fault) => void} parts.gone hears that the board was deleted elsewhere
 */
export function makeFollowing({ store, call, show, saving, ended, back, gone }) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  let seen = ""; // the stored state of the board that the page shows
  let heard = 0; // number of previews
  let asking = false;
  let again = false;
  /** @type {Set<string>} */
  const reported = new Set();
  /** @type {Set<string>} */
  const witnessed = new Set(); // jobs that ran while the page was open

  /** Ask now, and from then on regularly. */
  async function look() {
    clearTimeout(timer);
    if (asking) {
      again = true;
      return;
    }
    asking = true;
    again = false;
    const { project } = store.state.board;
    const quiet = saving.quiet();
    const answer = await call("news", { project, seen, previews: heard });
    asking = false;
    if (project === store.state.board.project) {
      if ("ok" in answer) hear(answer.ok, quiet());
      else if ("lost" in answer) store.set({ connection: "lost" });
      else if ("deleted" in answer) gone(answer);
    } else again = true;
    if (again) look();
    else timer = setTimeout(look, pause());
  }

  function pause() {
    if (document.hidden) return HIDDEN;
    return isResting(store.state.progress) && !store.state.asked.length ? IDLE : RENDERING;
  }

  /** @param {any} news @param {boolean} newest whether nothing was saved meanwhile */
  function hear({ server, tag, board, revision, outcomes, preview_count: count = 0, ...parts }, newest) {
    const { connection, setup, base } = store.state;
    const restarted = server !== setup.server;
    if (connection === "lost" || restarted) {
      store.set({ connection: "ok", setup: /** @type {Setup} */ ({ ...setup, server }) });
      back(restarted);
    }
    heard = count;
    // What is stored comes again with the next news where it may be older than our last save.
    if (newest) seen = tag;
    if (newest && board && revision !== base.revision) saving.take({ board, revision });
    show(newest ? parts : { progress: parts.progress, previews: parts.previews });
    if (!isResting(parts.progress)) witnessed.add(parts.progress.job);
    for (const outcome of outcomes) {
      // A failure is told to every page until one person has read it.
      if (reported.has(outcome.job) || !(witnessed.has(outcome.job) || outcome.state === "failed")) continue;
      reported.add(outcome.job);
      ended(outcome);
    }
  }

  return {
    look,
    witness: (/** @type {string} */ job) => witnessed.add(job),
    /** Begin to follow another board. @param {string} tag its stored state */
    restart(tag) {
      seen = tag;
      heard = 0;
      look();
    },
  };
}
