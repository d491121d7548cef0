// Saving: sends the board a moment after each change, and merges what was changed elsewhere.

/** @import { Base, Conflict, Board } from "./types.js" */
/** @import { Store } from "./store.js" */
/** @import { Call } from "./call.js" */

import { contentOf, same } from "./state/board.js";
import { withFault } from "./state/faults.js";
import { merge } from "./state/merge.js";
import { forgetUnsent, rememberUnsent } from "./memory.js";

const WAIT = 400; // milliseconds without a change
const MOST_DOUBTFUL = 20; // boards

/**
 * @param {object} parts
 * @param {Store} parts.store
 * @param {Call} parts.call
 * @param {(parts: import("./types.js").Parts) => void} parts.show shows the parts of an answer
 * @param {(before: Base, now: Base) => void} parts.changedElsewhere hears of changes that came from elsewhere
 */
export function makeSaving({ store, call, show, changedElsewhere }) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  /** @type {Promise<boolean> | null} */
  let sending = null;
  let saves = 0; // saves that were begun, and that were answered
  /** @type {Board[]} */
  let doubtful = []; // sent without an answer, so that the server may have them

  const unsent = () => !same(contentOf(store.state.board), store.state.base.board);

  /** Send in a moment. */
  function later(soon = false) {
    clearTimeout(timer);
    timer = setTimeout(flush, soon ? 0 : WAIT);
    if (store.state.connection === "lost") keep();
  }

  /** Keep unsent changes in the browser, for when the page is closed or loaded again. */
  function keep() {
    const { board, base } = store.state;
    if (board && unsent()) rememberUnsent({ board, base });
  }

  /**
   * Send all changes now, so that what is asked next includes the last keystroke.
   * @returns {Promise<boolean>} whether the server has them
   */
  async function flush() {
    clearTimeout(timer);
    while (sending) await sending;
    if (!store.state.board || !unsent()) return true;
    sending = send();
    try {
      return await sending;
    } finally {
      sending = null;
    }
  }

  async function send() {
    while (unsent()) {
      const { base } = store.state;
      const sent = contentOf(store.state.board);
      saves += 1;
      const answer = await call("save", { project: sent.project, board: sent, base: base.revision });
      saves += 1;
      if (store.state.board.project !== sent.project) return true;
      if (!("ok" in answer)) {
        doubtful = [...doubtful, sent].slice(-MOST_DOUBTFUL);
        keep();
        if ("problem" in answer) store.set({ saving: "refused", ...withFault(store.state, answer) });
        else if ("lost" in answer) store.set({ connection: "lost" }); // saved when it is back
        return false;
      }
      const { board, revision, stale, ...parts } = answer.ok;
      if (stale) take({ board, revision });
      else store.set({ base: { board: sent, revision } });
      doubtful = [];
      show(parts);
    }
    forgetUnsent(store.state.board.project);
    store.set({ saving: "saved" });
    return true;
  }

  /** Take the board that the server has, merged with our unsent changes. @param {Base} theirs */
  function take(theirs) {
    const { board, conflicts } = store.state;
    // What arrived though its answer was lost is no change of somebody else.
    const base = doubtful.some((sent) => same(sent, theirs.board)) ? theirs : store.state.base;
    const merged = merge(base.board, board, theirs.board);
    /** @type {Conflict[]} */
    const left = conflicts.filter(({ frame, field }) => !merged.conflicts.some((c) => c.frame === frame && c.field === field));
    changedElsewhere(base, theirs);
    store.set({ base: theirs, board: merged.board, conflicts: [...left, ...merged.conflicts] });
  }

  /**
   * Watch for saves while a question is asked: the board in its answer is the newest one only where none was
   * begun or answered meanwhile.
   * @returns {() => boolean} whether there was none
   */
  function quiet() {
    const before = saves;
    return () => sending === null && saves === before;
  }

  return { later, flush, keep, take, unsent, quiet };
}
