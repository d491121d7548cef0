// Takes of the frames. Pure functions on plain data.

/** @import { Board, Result, Results, State, Take } from "../types.js" */

import { indexOf } from "./board.js";

/** Return the results with the takes that were chosen just now. @param {Pick<State, "results" | "wished">} state @returns {Results} */
export function resultsNow({ results, wished }) {
  return Object.fromEntries(
    Object.entries(results).map(([id, result]) => [id, id in wished ? { ...result, chosen: wished[id] } : result]),
  );
}

/** @param {Result | undefined} result @returns {Take | null} */
export const chosenTake = (result) => result?.takes.find((take) => take.id === result.chosen) ?? null;

/** Return the take before (-1) or after (1) the chosen one. @param {Result | undefined} result @param {number} direction */
export function takeBeside(result, direction) {
  const chosen = chosenTake(result);
  return chosen && result ? (result.takes[result.takes.indexOf(chosen) + direction] ?? null) : null;
}

/** Return the choices that the results do not show yet. @param {Record<string, string>} wished @param {Results} results */
export const wishesLeft = (wished, results) =>
  Object.fromEntries(Object.entries(wished).filter(([id, take]) => results[id] && results[id].chosen !== take));

/**
 * Return the nearest frame with a take before (-1) or after (1) this one.
 * @param {Board} board @param {Results} results @param {string} id @param {number} direction
 */
export function frameBeside(board, results, id, direction) {
  for (let index = indexOf(board, id) + direction; board.frames[index]; index += direction) {
    const other = board.frames[index].id;
    if (chosenTake(results[other])) return other;
  }
  return null;
}

/** @param {Take} take */
export function takeFacts(take) {
  const facts = [
    `Seed ${take.seed}`,
    `generated in ${take.seconds} s`,
    `the character covers ${Math.round(100 * take.foreground)} % of the picture`,
  ];
  if (take.matches != null) facts.push(`${take.matches} tokens match the identity frame`);
  return facts.join(", ");
}
