// Warnings about the board and its frames.

import assert from "node:assert/strict";
import { test } from "node:test";

import { editFrame, editSettings, withField } from "../../assets/ui/state/board.js";
import { warningsOf } from "../../assets/ui/state/warnings.js";
import { board, storeWith } from "./boards.js";

const notice = { frame: "b", problem: "It is too long.", remedy: "Shorten it." };
const state = (/** @type {object} */ parts) => storeWith(board(), { readNotices: [], ...parts }).state;

test("a field is set by its name", () => {
  assert.equal(withField(board(), "b", "action", "x").frames[1].action, "x");
  assert.equal(withField(board(), null, "title", "x").title, "x");
  assert.equal(withField(board(), null, "character.name", "x").character.name, "x");
  assert.equal(withField(board(), null, "settings.steps", 9).settings.steps, 9);
});

test("a field that was changed in two places is a warning where it is, with both versions", () => {
  const shown = editSettings(editFrame(board(), "b", { action: "waving" }), { steps: 4 });
  const now = state({
    board: shown,
    conflicts: [
      { frame: "b", field: "action", theirs: "" },
      { frame: null, field: "settings.steps", theirs: 8 },
      { frame: null, field: "settings.consistent", theirs: false },
    ],
  });
  assert.deepEqual(warningsOf(now, "a"), []);
  const [own] = warningsOf(now, "b");
  assert.match(own.words, /^The action was changed elsewhere too, to nothing\. Here it is \u201cwaving\u201d\.$/);
  assert.deepEqual(own.answers.map(({ action }) => action), ["keep-mine", "take-theirs"]);
  const [steps, switched] = warningsOf(now, null);
  assert.match(steps.words, /setting steps .* \u201c8\u201d.* \u201c4\u201d/);
  assert.match(switched.words, /to off\. Here it is on\./);
  assert.notEqual(steps.key, switched.key);
  // What is here may be changed since.
  const [later] = warningsOf({ ...now, board: editFrame(shown, "b", { action: "singing" }) }, "b");
  assert.match(later.words, /Here it is \u201csinging\u201d/);
});

test("a notice is on the frame that it concerns until it is read or its cause is gone", () => {
  const progress = { state: "finished", job: "j", frames: {}, notices: [notice, { ...notice, frame: null }] };
  assert.deepEqual(warningsOf(state({ progress }), "b").map(({ words }) => words), ["It is too long. Shorten it."]);
  assert.equal(warningsOf(state({ progress }), null).length, 1);
  assert.deepEqual(warningsOf(state({ progress }), "a"), []);
  const [{ key }] = warningsOf(state({ progress }), "b");
  assert.deepEqual(warningsOf(state({ progress, readNotices: [key] }), "b"), []);
  const edited = state({ progress, outdated: { b: ["The words changed."] } });
  assert.deepEqual(warningsOf(edited, "b").map(({ words }) => words), ["The words changed."]);
});

test("a frame that is out of date says why, also where it is locked", () => {
  const why = ["The action has changed.", "Frame 1 has another take now."];
  for (const parts of [{ outdated: { b: why } }, { kept: { b: why } }]) {
    assert.deepEqual(warningsOf(state(parts), "b").map(({ words }) => words), [why.join(" ")]);
    assert.deepEqual(warningsOf(state(parts), "a"), []);
    assert.deepEqual(warningsOf(state(parts), null), []);
  }
});

test("a model that does not run here is a warning on the board, which names it", () => {
  const setup = { server: "s", models: [{ name: board().settings.model, title: "FLUX" }] };
  const usable = { [board().settings.model]: { usable: false, words: "Does not run here: it needs 35 GB." } };
  assert.match(warningsOf(state({ setup, usable }), null)[0].words, /^FLUX does not run here: it needs 35 GB\. Choose another model/);
  assert.deepEqual(warningsOf(state({ setup, usable }), "a"), []);
  const able = { [board().settings.model]: { usable: true, words: "Runs here." } };
  assert.deepEqual(warningsOf(state({ setup, usable: able }), null), []);
});

test("what is missing or damaged is named above the frames until it is read, a few of many", () => {
  const damaged = ["One is missing.", "Two is missing.", "Three is missing.", "Four is missing.", "Five is missing."];
  const [warning] = warningsOf(state({ damaged }), null);
  assert.match(warning.words, /missing or damaged; the rest is here\. One is missing\. .*Three is missing\. 2 more are\.$/);
  const { notice } = warning.answers[0].data ?? {};
  assert.deepEqual(warningsOf(state({ damaged, readNotices: [notice] }), null), []);
  assert.equal(warningsOf(state({ damaged: ["Six is missing."], readNotices: [notice] }), null).length, 1);
  assert.deepEqual(warningsOf(state({ damaged }), "a"), []);
});

test("frames that were left are offered", () => {
  const [one] = warningsOf(state({ left: ["b"] }), null);
  assert.match(one.words, /^1 frame was left when Throughline stopped\./);
  const [two] = warningsOf(state({ left: ["b", "c"] }), null);
  assert.match(two.words, /^2 frames were left/);
  assert.deepEqual(two.answers.map(({ action }) => action), ["generate-left", "forget-left"]);
});

test("a frame says that the picture of its chosen take cannot be shown", () => {
  const takes = [{ id: "t1", fault: "The picture of this take is missing." }, { id: "t2", fault: "" }];
  const with_ = (/** @type {string} */ chosen) => warningsOf(state({ results: { a: { chosen, takes } } }), "a");
  assert.match(with_("t1")[0].words, /^The picture of this take is missing\. Put the file back, choose another take/);
  assert.deepEqual(with_("t2"), []);
});
