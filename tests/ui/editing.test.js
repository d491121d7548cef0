// Edits of a person: undone, redone, and saved.

import assert from "node:assert/strict";
import { test } from "node:test";

import { makeEditing } from "../../assets/ui/editing.js";
import { editFrame, moveFrame, removeFrame } from "../../assets/ui/state/board.js";
import { board, ids, storeWith } from "./boards.js";

function pageWith(shown = board()) {
  const store = storeWith(shown);
  const saves = /** @type {(boolean | undefined)[]} */ ([]);
  const said = /** @type {[string, string | null][]} */ ([]);
  const changes = { count: 0 };
  const editing = makeEditing({
    store,
    save: (soon) => saves.push(soon),
    announce: (words, frame) => said.push([words, frame]),
    changed: () => (changes.count += 1),
  });
  return { store, saves, said, changes, editing };
}

const now = (/** @type {ReturnType<typeof pageWith>} */ page) => ids(page.store.state.board);

test("a change is shown, saved, and can be undone and redone", () => {
  const { editing, store, saves, said } = pageWith();
  assert.deepEqual([editing.canUndo(), editing.canRedo()], [false, false]);
  editing.change((from) => removeFrame(from, "b"), { words: "Frame 2 removed", frame: "b", soon: true });
  assert.equal(ids(store.state.board), "ac");
  assert.equal(store.state.saving, "waiting");
  assert.deepEqual([editing.canUndo(), editing.canRedo()], [true, false]);
  editing.undo();
  assert.equal(ids(store.state.board), "abc");
  assert.deepEqual([editing.canUndo(), editing.canRedo()], [false, true]);
  editing.redo();
  assert.equal(ids(store.state.board), "ac");
  assert.deepEqual(saves, [true, true, true]);
  assert.deepEqual(said, [["Undone: Frame 2 removed.", "b"], ["Redone: Frame 2 removed.", "b"]]);
});

test("a change that changes nothing is none", () => {
  const { editing, saves, changes } = pageWith();
  editing.change((from) => moveFrame(from, "a", 0), { words: "Frame 1 moved", frame: "a" });
  editing.undo();
  editing.redo();
  assert.deepEqual(saves, []);
  assert.equal(editing.canUndo(), false);
  assert.equal(changes.count, 0);
  editing.change((from) => moveFrame(from, "a", 1), { words: "Frame 1 moved", frame: "a" });
  assert.equal(changes.count, 1);
});

test("typed letters are one change", () => {
  const { editing, store, saves } = pageWith();
  for (const action of ["w", "wa", "wav"]) {
    editing.change((from) => editFrame(from, "a", { action }), { words: "Frame 1 edited", frame: "a", typing: "a action" });
  }
  assert.deepEqual(saves, [false, false, false]);
  editing.undo();
  assert.equal(store.state.board.frames[0].action, "action a");
  assert.equal(editing.canUndo(), false);
});

test("what others change stays where ours is undone and redone", () => {
  const page = pageWith();
  const { editing, store } = page;
  editing.change((from) => removeFrame(from, "c"), { words: "Frame 3 removed", frame: "c" });
  const before = { board: store.state.board, revision: "r1" };
  const theirs = { board: editFrame(before.board, "b", { action: "theirs" }), revision: "r2" };
  editing.changedElsewhere(before, theirs);
  store.set({ board: theirs.board });
  editing.undo();
  assert.equal(now(page), "abc");
  assert.equal(store.state.board.frames[1].action, "theirs");
  editing.redo();
  assert.equal(now(page), "ab");
  assert.equal(store.state.board.frames[1].action, "theirs");
});

test("another board begins without a history", () => {
  const { editing, store } = pageWith();
  editing.change((from) => removeFrame(from, "a"), { words: "Frame 1 removed" });
  editing.forget();
  assert.deepEqual([editing.canUndo(), editing.canRedo()], [false, false]);
  editing.undo();
  assert.equal(ids(store.state.board), "bc");
});
