// Merge of two documents: its laws, on many random pairs, and what a person expects.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as operations from "../../assets/ui/state/board.js";
import { merge, mergeUnsent } from "../../assets/ui/state/merge.js";
import { asSent, board, frame, ids, withFrames } from "./boards.js";

/** @import { Board } from "../../assets/ui/types.js" */

/** Make a source of numbers in [0, 1), the same ones for the same seed. @param {number} seed */
const randomFrom = (seed) => () => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return seed / 2 ** 32;
};

/** Change a board in some ways. @param {Board} from @param {() => number} random @param {string} name of new values */
function changed(from, random, name) {
  const pick = (/** @type {number} */ count) => Math.floor(random() * count);
  let now = from;
  for (let step = 0; step < 1 + pick(4); step += 1) {
    const id = now.frames[pick(now.frames.length)]?.id ?? "";
    const ways = [
      () => operations.editFrame(now, id, { action: `${name} ${step}` }),
      () => operations.editFrame(now, id, { seed: pick(100), location: name }),
      () => operations.editCharacter(now, { name: `${name} ${step}` }),
      () => operations.editSettings(now, { steps: pick(50) }),
      () => operations.removeFrame(now, id),
      () => operations.insertFrame(now, frame(`${name}${step}`), pick(now.frames.length + 1)),
      () => operations.moveFrame(now, id, pick(now.frames.length)),
      () => ({ ...now, title: `${name} ${step}` }),
    ];
    now = ways[pick(ways.length)]();
  }
  return now;
}

const RUNS = 500;

test("with no change elsewhere, ours is the result", () => {
  for (let seed = 0; seed < RUNS; seed += 1) {
    const base = board("abcde");
    const mine = changed(base, randomFrom(seed), "m");
    assert.deepEqual(merge(base, mine, base), { board: mine, conflicts: [] }, `seed ${seed}`);
    assert.deepEqual(merge(base, mine, asSent(base)).board, mine, `seed ${seed}, as sent`);
  }
});

test("with no change here, theirs is the result", () => {
  for (let seed = 0; seed < RUNS; seed += 1) {
    const base = board("abcde");
    const theirs = changed(base, randomFrom(seed), "t");
    assert.deepEqual(merge(base, base, theirs), { board: theirs, conflicts: [] }, `seed ${seed}`);
  }
});

test("with the same change in both places, that is the result", () => {
  for (let seed = 0; seed < RUNS; seed += 1) {
    const base = board("abcde");
    const both = changed(base, randomFrom(seed), "b");
    assert.deepEqual(merge(base, both, structuredClone(both)), { board: both, conflicts: [] }, `seed ${seed}`);
  }
});

test("every frame is there once, and none that both removed", () => {
  for (let seed = 0; seed < RUNS; seed += 1) {
    const base = board("abcde");
    const [mine, theirs] = [changed(base, randomFrom(seed), "m"), changed(base, randomFrom(seed + RUNS), "t")];
    const merged = merge(base, mine, theirs).board.frames.map(({ id }) => id);
    assert.equal(new Set(merged).size, merged.length);
    for (const id of merged) assert.ok(ids(mine).includes(id) || ids(theirs).includes(id));
    for (const { id } of [...mine.frames, ...theirs.frames]) {
      const removed = ids(base).includes(id) && !(operations.frameOf(mine, id) && operations.frameOf(theirs, id));
      assert.ok(removed || merged.includes(id), `seed ${seed}: ${id} is lost`);
    }
  }
});

test("merging what was merged changes nothing more", () => {
  for (let seed = 0; seed < RUNS; seed += 1) {
    const base = board("abcde");
    const [mine, theirs] = [changed(base, randomFrom(seed), "m"), changed(base, randomFrom(seed + RUNS), "t")];
    const merged = merge(base, mine, theirs).board;
    assert.deepEqual(merge(theirs, merged, theirs), { board: merged, conflicts: [] }, `seed ${seed}`);
  }
});

test("changes of other fields meet, in whichever order they are merged", () => {
  const base = board("abc");
  const mine = operations.editCharacter(withFrames(base, { a: { action: "mine" } }), { name: "Maya" });
  const theirs = operations.editSettings(withFrames(base, { a: { location: "theirs" }, b: { seed: 3 } }), { steps: 9 });
  const [one, other] = [merge(base, mine, theirs), merge(base, theirs, mine)];
  assert.deepEqual(one.conflicts, []);
  assert.deepEqual(one, other);
  assert.equal(one.board.frames[0].action, "mine");
  assert.equal(one.board.frames[0].location, "theirs");
  assert.equal(one.board.frames[1].seed, 3);
  assert.equal(one.board.character.name, "Maya");
  assert.equal(one.board.settings.steps, 9);
});

test("a field that was changed in both places keeps ours, and both are named", () => {
  const base = board("abc");
  const style = (/** @type {string} */ source) => ({ source, weight: 1, trigger: "" });
  const change = (/** @type {string} */ word) =>
    operations.editSettings(operations.editCharacter(withFrames({ ...base, title: word }, { b: { action: word } }), { name: word }), { styles: [style(word)] });
  const { board: merged, conflicts } = merge(base, change("mine"), change("theirs"));
  assert.deepEqual(merged, change("mine"));
  assert.deepEqual(conflicts, [
    { frame: "b", field: "action", theirs: "theirs" },
    { frame: null, field: "title", theirs: "theirs" },
    { frame: null, field: "character.name", theirs: "theirs" },
    { frame: null, field: "settings.styles", theirs: [style("theirs")] },
  ]);
});

test("frames that were added in both places are all there", () => {
  const base = board("abc");
  const mine = operations.insertFrame(base, frame("m"), 1);
  const theirs = operations.insertFrame(operations.insertFrame(base, frame("t"), 3), frame("u"), 0);
  assert.equal(ids(merge(base, mine, theirs).board), "uambct");
  assert.equal(ids(merge(base, theirs, mine).board), "uambct");
});

test("a frame that was added here and is known there is there once, with our later words", () => {
  const base = board("ab");
  const sent = operations.insertFrame(base, frame("x", { action: "wav" }), 2);
  const mine = operations.editFrame(sent, "x", { action: "waving" });
  const { board: merged, conflicts } = merge(base, mine, sent);
  assert.deepEqual(merged, mine);
  assert.deepEqual(conflicts, []);
});

test("a frame that was removed in one place goes, wherever that was", () => {
  const base = board("abc");
  const without = operations.removeFrame(base, "b");
  const other = operations.editFrame(base, "a", { action: "edited" });
  assert.equal(ids(merge(base, without, other).board), "ac");
  assert.equal(ids(merge(base, other, without).board), "ac");
  assert.equal(merge(base, without, other).board.frames[0].action, "edited");
  assert.equal(ids(merge(base, without, asSent(other)).board), "ac");
});

test("a frame that was removed in one place and edited in the other stays", () => {
  const base = board("abc");
  const without = operations.removeFrame(base, "b");
  const edited = operations.editFrame(base, "b", { action: "edited" });
  for (const { board: merged } of [merge(base, without, edited), merge(base, edited, without)]) {
    assert.equal(ids(merged), "abc");
    assert.equal(merged.frames[1].action, "edited");
  }
});

test("a move survives edits, additions and removals elsewhere", () => {
  const base = board("abcd");
  const moved = operations.moveFrame(base, "d", 0);
  const other = operations.removeFrame(operations.insertFrame(withFrames(base, { d: { seed: 5 } }), frame("x"), 2), "c");
  for (const { board: merged, conflicts } of [merge(base, moved, other), merge(base, other, moved)]) {
    assert.deepEqual(conflicts, []);
    assert.equal(ids(merged), "dabx");
    assert.equal(merged.frames[0].seed, 5);
  }
});

test("where frames were moved in both places, our order counts", () => {
  const base = board("abc");
  const [mine, theirs] = [operations.moveFrame(base, "a", 2), operations.moveFrame(base, "c", 0)];
  assert.equal(ids(merge(base, mine, theirs).board), ids(mine));
});

test("the board stays that of its project", () => {
  const base = board();
  assert.equal(merge(base, base, { ...base, title: "Theirs" }).board.project, "p");
});

test("what several tabs could not send is all merged, and every conflict is named", () => {
  const base = board("abc");
  const unsent = (/** @type {Board} */ mine) => ({ base: { board: base }, board: mine });
  const stored = withFrames(base, { a: { action: "stored" }, b: { action: "stored" } });
  const { board: merged, conflicts } = mergeUnsent(stored, [
    unsent(withFrames(base, { a: { action: "first" } })),
    unsent(withFrames(base, { b: { action: "second" }, c: { seed: 3 } })),
  ]);
  assert.deepEqual(merged.frames.map(({ action }) => action), ["first", "second", "action c"]);
  assert.equal(merged.frames[2].seed, 3);
  assert.deepEqual(conflicts.map(({ frame, theirs }) => [frame, theirs]), [["a", "stored"], ["b", "stored"]]);
  assert.deepEqual(mergeUnsent(stored, []), { board: stored, conflicts: [] });
});
