// History of the board: undo and redo.

import assert from "node:assert/strict";
import { test } from "node:test";

import { editFrame, moveFrame, removeFrame } from "../../assets/ui/state/board.js";
import { emptyHistory, rebase, record, redo, undo } from "../../assets/ui/state/history.js";
import { merge } from "../../assets/ui/state/merge.js";
import { board, ids } from "./boards.js";

/** @import { Board } from "../../assets/ui/types.js" */
/** @import { History } from "../../assets/ui/state/history.js" */

const START = 1000;

/**
 * Make changes, one a second unless they say otherwise.
 * @param {Board} from
 * @param {{ edit: (board: Board) => Board, typing?: string, at?: number }[]} changes
 */
function after(from, changes) {
  let [history, now, at] = [emptyHistory(), from, START];
  const seen = [from];
  for (const { edit, typing = "", at: given } of changes) {
    at = given ?? at + 1000;
    const next = edit(now);
    history = record(history, { board: now, words: "A change", frame: null }, typing, at);
    now = next;
    seen.push(now);
  }
  return { history, now, seen };
}

/** @param {History} history @param {Board} now @param {typeof undo} step */
function steps(history, now, step) {
  const seen = [];
  for (let stepped = step(history, now); stepped; stepped = step(history, now)) {
    history = stepped.history;
    now = stepped.entry.board;
    seen.push(now);
  }
  return { history, now, seen };
}

const type = (/** @type {string} */ id, /** @type {string} */ action) => (/** @type {Board} */ from) => editFrame(from, id, { action });
const SEVERAL = [
  { edit: type("a", "singing") },
  { edit: (/** @type {Board} */ from) => removeFrame(from, "b") },
  { edit: (/** @type {Board} */ from) => moveFrame(from, "c", 0) },
  { edit: (/** @type {Board} */ from) => removeFrame(from, "c") },
];

test("without a change there is no step", () => {
  assert.equal(undo(emptyHistory(), board()), null);
  assert.equal(redo(emptyHistory(), board()), null);
});

test("every change is undone one by one, and redone to the same boards", () => {
  const { history, now, seen } = after(board(), SEVERAL);
  const back = steps(history, now, undo);
  assert.deepEqual(back.seen, seen.slice(0, -1).reverse());
  const forth = steps(back.history, back.now, redo);
  assert.deepEqual(forth.seen, seen.slice(1));
  assert.deepEqual(steps(forth.history, forth.now, undo).seen, back.seen);
});

test("several removed frames come back one by one", () => {
  const gone = ["a", "b", "c"].map((id) => ({ edit: (/** @type {Board} */ from) => removeFrame(from, id) }));
  const { history, now } = after(board("abc"), gone);
  assert.deepEqual(steps(history, now, undo).seen.map(ids), ["c", "bc", "abc"]);
});

test("a change after an undo forgets what could be redone", () => {
  const { history, now } = after(board(), SEVERAL);
  const back = undo(history, now);
  assert.ok(back);
  const other = record(back.history, { board: back.entry.board, words: "Another", frame: "a" }, "", 99_000);
  assert.equal(redo(other, type("a", "else")(back.entry.board)), null);
});

test("a step tells its change and its frame", () => {
  const before = board();
  const history = record(emptyHistory(), { board: before, words: "Frame 2 removed", frame: "b" }, "", START);
  const back = undo(history, removeFrame(before, "b"));
  assert.ok(back);
  assert.deepEqual([back.entry.words, back.entry.frame], ["Frame 2 removed", "b"]);
  const forth = redo(back.history, before);
  assert.deepEqual([forth?.entry.words, forth?.entry.frame], ["Frame 2 removed", "b"]);
});

test("typing on is one change, until there is a pause", () => {
  const typed = ["w", "wa", "wav"].map((text, index) => ({ edit: type("a", text), typing: "a action", at: START + 200 * index }));
  const first = after(board(), typed);
  assert.equal(first.history.past.length, 1);
  assert.deepEqual(undo(first.history, first.now)?.entry.board, board());
  const paused = after(board(), [...typed, { edit: type("a", "wave"), typing: "a action", at: START + 400 + 1500 }]);
  assert.deepEqual(steps(paused.history, paused.now, undo).seen.map((each) => each.frames[0].action), ["wav", "action a"]);
});

test("typing in another field, and another change between, begin a new one", () => {
  const other = after(board(), [
    { edit: type("a", "w"), typing: "a action", at: START },
    { edit: type("b", "r"), typing: "b action", at: START + 100 },
    { edit: type("b", "ru"), typing: "b action", at: START + 200 },
    { edit: (from) => moveFrame(from, "b", 0), at: START + 300 },
    { edit: type("b", "run"), typing: "b action", at: START + 400 },
  ]);
  assert.equal(other.history.past.length, 4);
  assert.deepEqual(steps(other.history, other.now, undo).now, board());
});

test("two changes that are no typing are never one", () => {
  const { history } = after(board(), [
    { edit: (from) => removeFrame(from, "a"), at: START },
    { edit: (from) => removeFrame(from, "b"), at: START },
  ]);
  assert.equal(history.past.length, 2);
});

test("typing after an undo is a change of its own", () => {
  const { history, now } = after(board(), [{ edit: type("a", "w"), typing: "a action", at: START }]);
  const back = undo(history, now);
  assert.ok(back);
  const again = record(back.history, { board: back.entry.board, words: "", frame: "a" }, "a action", START + 100);
  assert.equal(again.past.length, 1);
});

test("the last 200 changes are kept", () => {
  const many = Array.from({ length: 250 }, (_, index) => ({ edit: type("a", `${index}`) }));
  const { history, now } = after(board(), many);
  const back = steps(history, now, undo);
  assert.equal(back.seen.length, 200);
  assert.equal(back.now.frames[0].action, "49");
});

test("undoing takes back our changes alone, and keeps what others changed", () => {
  const base = board("abc");
  const { history, now } = after(base, [{ edit: type("a", "singing") }, { edit: (from) => removeFrame(from, "c") }]);
  const theirs = { ...editFrame(now, "b", { action: "theirs" }), title: "Theirs" };
  const rebased = rebase(history, (each) => merge(now, each, theirs).board);
  const back = steps(rebased, theirs, undo);
  assert.deepEqual(back.seen.map(ids), ["abc", "abc"]);
  assert.equal(back.now.frames[0].action, "action a");
  assert.equal(back.now.frames[1].action, "theirs");
  assert.equal(back.now.title, "Theirs");
  const forth = steps(back.history, back.now, redo);
  assert.deepEqual(forth.now, theirs);
});

test("nothing in a history is changed in place", () => {
  const { history, now } = after(board(), SEVERAL);
  const copy = structuredClone(history);
  undo(history, now);
  rebase(history, (each) => ({ ...each, title: "x" }));
  record(history, { board: now, words: "", frame: null }, "", 0);
  assert.deepEqual(history, copy);
});
