// Questions about models. Pure functions on plain data.

/** @import { Board, Setup, State } from "../types.js" */

/** Return the storyboard's model, where it is one of the page's. @param {Board} board @param {Setup} setup */
export const modelOf = (board, setup) => setup.models.find((model) => model.name === board.settings.model);

/** Return the storyboard's reference strength; null where no reference picture is used. @param {State} state */
export function strengthOf({ board, setup, reference }) {
  const subject = modelOf(board, setup)?.subject;
  return reference.used && subject ? (board.character.strength ?? subject.strength) : null;
}
