// Questions about models. Pure functions on plain data.

/** @import { Board, Setup, State } from "../types.js" */

import { editSettings } from "./board.js";

/** Return the storyboard's model, where it is one of the page's. @param {Board} board @param {Setup} setup */
export const modelOf = (board, setup) => setup.models.find((model) => model.name === board.settings.model);

/** Return the storyboard's reference strength; null where no reference picture is used. @param {State} state */
export function strengthOf({ board, setup, reference }) {
  const subject = modelOf(board, setup)?.subject;
  return reference.used && subject ? (board.character.strength ?? subject.strength) : null;
}

/** Choose a model, with its own size, steps and guidance. @param {Board} board @param {Setup} setup @param {string} name */
export function withModel(board, setup, name) {
  const model = setup.models.find((known) => known.name === name);
  if (!model) return board;
  const { width, height } = model.sizes[0];
  return editSettings(board, { model: name, width, height, steps: null, guidance: null });
}
