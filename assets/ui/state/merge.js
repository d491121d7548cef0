// Merge of two documents that were both made from a third: by frame and by field.

/** @import { Conflict, Board, Frame } from "../types.js" */

import { same } from "./board.js";

/**
 * Merge what was changed here and elsewhere since `base`. A field that was changed in both places, to
 * different values, keeps ours, and is a conflict. A frame that was removed in one place and edited in
 * the other stays.
 *
 * @param {Board} base @param {Board} mine @param {Board} theirs
 * @returns {{ board: Board, conflicts: Conflict[] }}
 */
export function merge(base, mine, theirs) {
  /** @type {Conflict[]} */
  const conflicts = [];

  /**
   * @template {object} T
   * @param {T} before @param {T} ours @param {T} others @param {string | null} frame @param {string} prefix
   * @returns {T}
   */
  function mergeFields(before, ours, others, frame, prefix = "") {
    const merged = { ...others, ...ours };
    for (const field of /** @type {(keyof T & string)[]} */ (Object.keys(merged))) {
      if (same(ours[field], before[field]) && field in others) merged[field] = others[field];
      else if (!same(others[field], before[field]) && !same(others[field], ours[field])) {
        conflicts.push({ frame, field: prefix + field, theirs: others[field] });
      }
    }
    return merged;
  }

  const [was, ours, others] = [base, mine, theirs].map(({ frames }) => new Map(frames.map((frame) => [frame.id, frame])));
  const kept = orderOf(base, mine, theirs).flatMap((id) => {
    const [before, here, there] = [was.get(id), ours.get(id), others.get(id)];
    if (here && there) return [before ? mergeFields(before, here, there, id) : mergeFields(there, here, there, id)];
    const left = /** @type {Frame} */ (here ?? there);
    return before && same(before, left) ? [] : [left]; // removed in one place, untouched in the other
  });
  const { frames: _, character, settings, ...rest } = mine;
  const top = (/** @type {Board} */ { title }) => ({ title });
  return {
    board: {
      ...rest,
      ...mergeFields(top(base), top(mine), top(theirs), null),
      character: mergeFields(base.character, character, theirs.character, null, "character."),
      settings: mergeFields(base.settings, settings, theirs.settings, null, "settings."),
      frames: kept,
    },
    conflicts,
  };
}

/**
 * Merge changes that could not be sent, perhaps of several tabs, into a board.
 * @param {Board} board @param {{ base: { board: Board }, board: Board }[]} unsent
 * @returns {{ board: Board, conflicts: Conflict[] }}
 */
export function mergeUnsent(board, unsent) {
  /** @type {Conflict[]} */
  const conflicts = [];
  let now = board;
  for (const { base, board: mine } of unsent) {
    const merged = merge(base.board, mine, now);
    now = merged.board;
    conflicts.push(...merged.conflicts);
  }
  return { board: now, conflicts };
}

/** Return the ids of all frames, in our order where frames were moved here, else in theirs. */
function orderOf(/** @type {Board} */ base, /** @type {Board} */ mine, /** @type {Board} */ theirs) {
  const [before, ours, others] = [base, mine, theirs].map(({ frames }) => frames.map(({ id }) => id));
  const common = before.filter((id) => ours.includes(id));
  const moved = !same(common, ours.filter((id) => before.includes(id)));
  const [first, second] = moved ? [ours, others] : [others, ours];
  const order = [...first];
  second.forEach((id, index) => {
    if (order.includes(id)) return;
    const predecessor = second.slice(0, index).findLast((other) => order.includes(other));
    order.splice(predecessor === undefined ? 0 : order.indexOf(predecessor) + 1, 0, id);
  });
  return order;
}
