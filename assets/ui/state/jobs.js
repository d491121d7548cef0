// Progress of jobs, and the words for it. Pure functions on plain data.

/** @import { Board, FrameProgress, Outcome, Progress, State, Work } from "../types.js" */

import { duration, plural } from "../words.js";

const RESTING = ["idle", "finished", "failed", "cancelled"];

/** @returns {Progress} */
export const idle = () => ({ state: "idle", frames: {} });

/** @param {Progress} progress */
export const isResting = (progress) => RESTING.includes(progress.state);

/** Return the work in progress: the server's progress, and the frames asked for just now. */
export function workOf(/** @type {Pick<State, "progress" | "asked" | "stopping">} */ { progress, asked, stopping }) {
  const active = !isResting(progress) || asked.length > 0;
  const waiting = Object.fromEntries(asked.map((id) => [id, { state: "waiting" }]));
  let { state } = progress;
  if (active && isResting(progress)) state = "queued";
  if (active && stopping) state = "cancelling";
  return /** @type {Work} */ ({
    message: "",
    ahead: 0,
    fraction: 0,
    seconds_left: null,
    rendered: 0,
    total: asked.length,
    ...progress,
    active,
    state,
    frames: { ...waiting, ...progress.frames },
  });
}

/** Return the asked frames that the progress does not name yet. @param {string[]} asked @param {Progress} progress */
export const stillAsked = (asked, progress) =>
  isResting(progress) ? [] : asked.filter((id) => !(id in progress.frames));

/** @param {number} ahead jobs of others that come first */
function queueWords(ahead) {
  if (!ahead) return "Waiting in the queue\u2026";
  return `Waiting: ${plural(ahead, "other storyboard is", "other storyboards are")} generated first\u2026`;
}

/** @param {Work} work @param {Board} board */
export function progressWords(work, board) {
  if (work.state === "cancelling") return "Stopping\u2026";
  if (work.state === "queued") return queueWords(work.ahead);
  if (work.state === "loading") return `Loading ${work.message}\u2026`;
  const current = board.frames.findIndex((frame) => work.frames[frame.id]?.state === "rendering");
  const words = [`${work.rendered} of ${work.total} generated`];
  if (current >= 0) words.unshift(`Frame ${current + 1}`);
  if (work.seconds_left != null) words.push(`about ${duration(work.seconds_left)} left`);
  return words.join(" \u00b7 ");
}

/** @param {FrameProgress | undefined} doing */
export function stepWords(doing) {
  if (!doing?.steps) return "Starting";
  const phase = doing.phase === "probe" ? "Finding the character" : "Generating";
  return `${phase}, step ${doing.step} of ${doing.steps}`;
}

/** Return the message for the end of a job that did not fail. @param {Outcome} outcome */
export function endWords({ state, rendered }) {
  const frames = plural(rendered, "frame");
  return state === "cancelled" ? `Stopped. ${frames} generated; all takes are kept.` : `${frames} generated.`;
}
