// Edits of the storyboard by a person: each can be undone, and is saved a moment later.

/** @import { Base, Board } from "./types.js" */
/** @import { Store } from "./store.js" */

import { emptyHistory, rebase, record, redo, undo } from "./state/history.js";
import { merge } from "./state/merge.js";

/**
 * @typedef {object} Change
 * @property {string} words names the change, as "Frame 2 removed"
 * @property {string | null} [frame] the frame that it concerns
 * @property {string} [typing] the field that is typed into
 * @property {boolean} [soon] whether it is saved at once
 */

/**
 * @param {object} parts
 * @param {Store} parts.store
 * @param {(soon?: boolean) => void} parts.save saves in a moment
 * @param {(words: string, frame: string | null) => void} parts.announce says what was undone, and shows its frame
 * @param {() => void} parts.changed hears of every change, before it is shown
 */
export function makeEditing({ store, save, announce, changed }) {
  let history = emptyHistory();

  /** Change the board. @param {(board: Board) => Board} edit @param {Change} change */
  function change(edit, { words, frame = null, typing = "", soon = false }) {
    const before = store.state.board;
    const board = edit(before);
    if (board === before) return;
    history = record(history, { board: before, words, frame }, typing, performance.now());
    changed();
    store.set({ board, saving: "waiting" });
    save(soon);
  }

  /** @param {typeof undo} step @param {string} word */
  function go(step, word) {
    const stepped = step(history, store.state.board);
    if (!stepped) return;
    history = stepped.history;
    const { board, words, frame } = stepped.entry;
    store.set({ board, saving: "waiting" });
    save(true);
    announce(`${word}: ${words}.`, frame);
  }

  return {
    change,
    /** Take back the last change. */
    undo: () => go(undo, "Undone"),
    redo: () => go(redo, "Redone"),
    canUndo: () => history.past.length > 0,
    canRedo: () => history.future.length > 0,
    forget: () => (history = emptyHistory()),
    /** Take over what was changed elsewhere. @param {Base} before @param {Base} now */
    changedElsewhere: (before, now) =>
      (history = rebase(history, (board) => merge(before.board, board, now.board).board)),
  };
}

/** @typedef {ReturnType<typeof makeEditing>} Editing */
