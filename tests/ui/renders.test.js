// Renders that a person can ask for, and the words for them.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as renders from "../../assets/ui/state/renders.js";
import { board, storeWith, withFrames } from "./boards.js";

const taken = (/** @type {string} */ ids) => Object.fromEntries([...ids].map((id) => [id, { chosen: "t", takes: [{ id: "t" }] }]));
const state = (/** @type {object} */ parts, shown = board("abcd")) => storeWith(shown, parts).state;
const plan = { targets: [], extra: [], empty: [], locked: [], unchanged: [] };

test("new frames with words and frames out of date are to do", () => {
  const shown = withFrames(board("abcd"), { c: { action: " ", location: "" } });
  const now = state({ results: taken("ab"), outdated: { b: ["The action has changed."], c: ["never"] } }, shown);
  assert.deepEqual(renders.framesToDo(now), ["b", "d"]);
});

test("a frame with a description of its own alone has words", () => {
  const shown = withFrames(board("a"), { a: { action: "", location: "", character: "a dog" } });
  assert.deepEqual(renders.framesToDo(state({}, shown)), ["a"]);
});

test("the button tells how much it does, once something is rendered", () => {
  assert.equal(renders.generateLabel(state({})), "Generate all");
  assert.equal(renders.generateLabel(state({ results: taken("abc") })), "Generate 1 frame");
  assert.equal(renders.generateLabel(state({ results: taken("ab") })), "Generate 2 frames");
  assert.equal(renders.generateLabel(state({ results: taken("abcd") })), "Generate all");
});

test("what is left out is said, in the order of the frames", () => {
  const words = (/** @type {object} */ parts) => renders.leftOutWords(board("abcd"), { ...plan, ...parts });
  assert.equal(words({}), "");
  assert.equal(words({ empty: ["c"] }), "Frame 3 has no words and is left out.");
  assert.equal(words({ empty: ["d", "a"] }), "Frames 1 and 4 have no words and are left out.");
  assert.equal(words({ locked: ["b"] }), "Frame 2 keeps its take.");
  assert.equal(
    words({ empty: ["a"], locked: ["b", "c"] }),
    "Frame 1 has no words and is left out. Frames 2 and 3 keep their takes.",
  );
});

test("what comes besides is said with its reason", () => {
  const extra = [{ frame: "b", why: "Its take has another size." }];
  assert.deepEqual(renders.extraWords(board(), { ...plan, extra }), ["Frame 2: Its take has another size."]);
});

test("what would come out the same is said", () => {
  assert.match(renders.unchangedWords(board(), ["b"]), /^Frame 2 would come out the same: its seed/);
  assert.match(renders.unchangedWords(board(), ["c", "a"]), /^Frames 1 and 3 would come out the same: their seeds/);
});
