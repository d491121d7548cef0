// History of the board: every change can be undone and redone. Pure functions on plain data.

/** @import { Board } from "../types.js" */

/**
 * @typedef {{ board: Board, words: string, frame: string | null }} Entry
 *   A board before (or after) a change; `words` names the change, `frame` is the frame that it concerns.
 * @typedef {{ past: Entry[], future: Entry[], typing: string, at: number }} History
 *   `typing` is the field of the last change, made at the time `at`, so that typing on adds no entry.
 */

const MOST = 200; // entries
const PAUSE = 1500; // milliseconds, after which typing on is a change of its own

/** @returns {History} */
export const emptyHistory = () => ({ past: [], future: [], typing: "", at: 0 });

/**
 * Record a change.
 * @param {History} history
 * @param {Entry} before the board before it
 * @param {string} typing the field that is typed into; empty for any other change
 * @param {number} now milliseconds
 * @returns {History}
 */
export function record(history, before, typing, now) {
  const goesOn = typing !== "" && typing === history.typing && now - history.at < PAUSE;
  const past = goesOn ? history.past : [...history.past, before].slice(-MOST);
  return { past, future: [], typing, at: now };
}

/**
 * Step back or forth.
 * @param {History} history
 * @param {Board} current
 * @param {"past" | "future"} from
 * @returns {{ history: History, entry: Entry } | null} null where there is no step
 */
function step(history, current, from) {
  const entry = history[from].at(-1);
  if (!entry) return null;
  const to = from === "past" ? "future" : "past";
  const stepped = {
    ...history,
    [from]: history[from].slice(0, -1),
    [to]: [...history[to], { ...entry, board: current }],
    typing: "",
  };
  return { history: stepped, entry };
}

/** @param {History} history @param {Board} current */
export const undo = (history, current) => step(history, current, "past");

/** @param {History} history @param {Board} current */
export const redo = (history, current) => step(history, current, "future");

/**
 * Carry a change that came from elsewhere into every entry, so that undoing takes back our changes alone.
 * @param {History} history @param {(board: Board) => Board} change @returns {History}
 */
export function rebase(history, change) {
  const carried = (/** @type {Entry} */ entry) => ({ ...entry, board: change(entry.board) });
  return { ...history, past: history.past.map(carried), future: history.future.map(carried) };
}
