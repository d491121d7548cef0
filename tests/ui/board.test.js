// Operations on the board.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as operations from "../../assets/ui/state/board.js";
import { asSent, board, frame, ids } from "./boards.js";

test("a new frame has an id of its own, and the fields that are given", () => {
  const [one, two] = [operations.newFrame({ action: "waving", id: "old" }), operations.newFrame()];
  assert.match(one.id, /^[0-9a-f]{12}$/);
  assert.notEqual(one.id, two.id);
  assert.equal(one.action, "waving");
  assert.equal(two.action, "");
});

test("no operation changes a board in place", () => {
  const before = board();
  const copy = structuredClone(before);
  operations.editFrame(before, "a", { action: "singing" });
  operations.editCharacter(before, { name: "Maya" });
  operations.editSettings(before, { steps: 9 });
  operations.insertFrame(before, frame("x"), 1);
  operations.removeFrame(before, "b");
  operations.moveFrame(before, "a", 2);
  operations.contentOf(before);
  assert.deepEqual(before, copy);
});

test("an edit changes its part alone, and keeps the other parts as they are", () => {
  const before = board();
  const after = operations.editFrame(before, "b", { action: "singing" });
  assert.equal(after.frames[1].action, "singing");
  assert.equal(after.frames[0], before.frames[0]);
  assert.equal(after.settings, before.settings);
  assert.equal(operations.editCharacter(before, { name: "Maya" }).frames, before.frames);
});

test("a style is edited by its row", () => {
  const styles = ["a/b", "c/d"].map((source) => ({ source, weight: 1, trigger: "" }));
  const before = operations.editSettings(board(), { styles });
  const after = operations.editStyle(before, 1, { weight: 0.5 });
  assert.deepEqual(after.settings.styles.map(({ weight }) => weight), [1, 0.5]);
});

test("frames are inserted, removed and found", () => {
  const after = operations.insertFrame(board(), frame("x"), 1);
  assert.equal(ids(after), "axbc");
  assert.equal(ids(operations.removeFrame(after, "x")), "abc");
  assert.equal(operations.indexOf(after, "x"), 1);
  assert.equal(operations.indexOf(after, "gone"), -1);
  assert.equal(operations.frameOf(after, "x")?.id, "x");
  assert.equal(operations.frameOf(after, "gone"), undefined);
});

test("a move goes to its position, and one that changes nothing gives the same board", () => {
  const before = board("abcd");
  assert.equal(ids(operations.moveFrame(before, "a", 2)), "bcad");
  assert.equal(ids(operations.moveFrame(before, "d", 0)), "dabc");
  for (const [id, to] of /** @type {[string, number][]} */ ([["a", 0], ["a", -1], ["a", 4], ["gone", 1]])) {
    assert.equal(operations.moveFrame(before, id, to), before);
  }
});

test("a move and back is the same board", () => {
  const before = board("abcd");
  for (const id of "abcd") {
    for (let to = 0; to < 4; to += 1) {
      const from = operations.indexOf(before, id);
      assert.deepEqual(operations.moveFrame(operations.moveFrame(before, id, to), id, from), before);
    }
  }
});

test("rows of styles that nobody filled in are no content", () => {
  const named = { source: "a/b", weight: 1, trigger: "" };
  const before = operations.editSettings(board(), { styles: [named, { ...named, source: "  " }] });
  assert.deepEqual(operations.contentOf(before).settings.styles, [named]);
  const plain = board();
  assert.equal(operations.contentOf(plain), plain);
});

test("data is the same in whatever order its fields are", () => {
  const one = board();
  for (const same of [one, structuredClone(one), asSent(one)]) assert.ok(operations.same(one, same));
  for (const [left, right] of [
    [1, "1"],
    [null, {}],
    [null, undefined],
    [[], {}],
    [[1, 2], [2, 1]],
    [{ a: 1 }, { a: 1, b: undefined }],
    [{ a: undefined }, { b: undefined }],
    [one, board("acb")],
    [one, operations.editFrame(one, "a", { seed: 0 })],
  ]) {
    assert.equal(operations.same(left, right), false);
    assert.equal(operations.same(right, left), false);
  }
});

test("a board is blank until somebody writes on it", () => {
  const blank = board("ab", { character: { name: "", description: " ", strength: null } });
  blank.frames = blank.frames.map((each) => ({ ...each, action: "", location: " " }));
  assert.ok(operations.isBlank(blank));
  assert.ok(!operations.isBlank(operations.editFrame(blank, "b", { location: "beach" })));
  assert.ok(!operations.isBlank(operations.editCharacter(blank, { description: "a girl" })));
});
