// What a render would do, and the words for it. Pure functions on plain data.

/** @import { Board, State } from "../types.js" */

import { frameNames, plural } from "../words.js";
import { indexOf } from "./board.js";
import { chosenTake } from "./results.js";

/**
 * @typedef {{
 *   targets: string[], extra: { frame: string, why: string }[], empty: string[], locked: string[], unchanged: string[],
 * }} Plan Frames that a render makes takes of; those that it adds; and those that it leaves out, or would not change.
 */

/** Return the frames that are new or out of date. @param {Pick<State, "board" | "results" | "outdated">} state */
export function framesToDo({ board, results, outdated }) {
  const isNew = (/** @type {string} */ id) => !chosenTake(results[id]);
  const hasWords = (/** @type {Board["frames"][0]} */ frame) => [frame.action, frame.location, frame.character].some((words) => words.trim());
  return board.frames.filter((frame) => (isNew(frame.id) ? hasWords(frame) : frame.id in outdated)).map(({ id }) => id);
}

/** Return the label of the button that generates. @param {State} state */
export function generateLabel(state) {
  const any = state.board.frames.some(({ id }) => chosenTake(state.results[id]));
  const left = framesToDo(state).length;
  return any && left ? `Generate ${plural(left, "frame")}` : "Generate all";
}

/** @param {Board} board @param {string[]} ids */
const named = (board, ids) => frameNames(ids.map((id) => indexOf(board, id) + 1).sort((a, b) => a - b));

/** Return a sentence about the frames that a render leaves out; empty where there are none. @param {Board} board @param {Plan} plan */
export function leftOutWords(board, { empty, locked }) {
  const words = [];
  if (empty.length) words.push(`${named(board, empty)} ${empty.length > 1 ? "have" : "has"} no words and ${empty.length > 1 ? "are" : "is"} left out.`);
  if (locked.length) words.push(`${named(board, locked)} ${locked.length > 1 ? "keep their takes" : "keeps its take"}.`);
  return words.join(" ");
}

/** Return what would be rendered besides, a sentence a frame. @param {Board} board @param {Plan} plan */
export const extraWords = (board, { extra }) => extra.map(({ frame, why }) => `${named(board, [frame])}: ${why}`);

/** @param {Board} board @param {string[]} unchanged */
export const unchangedWords = (board, unchanged) =>
  `${named(board, unchanged)} would come out the same: ${unchanged.length > 1 ? "their seeds, words and settings are those of their takes" : "its seed, words and settings are those of its take"}.`;
