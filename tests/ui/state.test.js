// Takes, progress, models and wording.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as jobs from "../../assets/ui/state/jobs.js";
import { modelOf, strengthOf } from "../../assets/ui/state/models.js";
import * as results from "../../assets/ui/state/results.js";
import { duration, frameNames, plural } from "../../assets/ui/words.js";
import { board } from "./boards.js";

/** @import { Result, State, Take } from "../../assets/ui/types.js" */

/** @param {string} id @returns {Take} */
const take = (id) => /** @type {Take} */ ({ id, image: `${id}.png`, mask: `${id}-mask.png`, seed: 7, seconds: 1.5, foreground: 0.256, matches: null });

/** @param {string} chosen @param {string[]} takes @returns {Result} */
const result = (chosen, ...takes) => ({ chosen, takes: takes.map(take) });

test("a choice made just now is shown, though the server does not have it yet", () => {
  const state = { results: { a: result("1", "1", "2"), b: result("3", "3") }, wished: { a: "2", gone: "9" } };
  const now = results.resultsNow(state);
  assert.equal(results.chosenTake(now.a)?.id, "2");
  assert.equal(now.b, state.results.b);
  assert.deepEqual(Object.keys(now), ["a", "b"]);
  assert.equal(state.results.a.chosen, "1");
});

test("choices are left until the results show them", () => {
  const wished = { a: "2", b: "3", gone: "1" };
  assert.deepEqual(results.wishesLeft(wished, { a: result("1", "1", "2"), b: result("3", "3") }), { a: "2" });
});

test("a take that is not there is none", () => {
  assert.equal(results.chosenTake(undefined), null);
  assert.equal(results.chosenTake(result("gone", "1")), null);
  assert.equal(results.takeBeside(undefined, 1), null);
});

test("takes have neighbours, and ends", () => {
  const three = result("2", "1", "2", "3");
  assert.equal(results.takeBeside(three, -1)?.id, "1");
  assert.equal(results.takeBeside(three, 1)?.id, "3");
  assert.equal(results.takeBeside({ ...three, chosen: "1" }, -1), null);
  assert.equal(results.takeBeside({ ...three, chosen: "3" }, 1), null);
});

test("the frame beside is the nearest one with a take", () => {
  const all = { a: result("1", "1"), d: result("2", "2") };
  assert.equal(results.frameBeside(board("abcde"), all, "a", 1), "d");
  assert.equal(results.frameBeside(board("abcde"), all, "d", -1), "a");
  assert.equal(results.frameBeside(board("abcde"), all, "d", 1), null);
  assert.equal(results.frameBeside(board("abcde"), all, "a", -1), null);
});

test("facts of a take are in words", () => {
  assert.equal(results.takeFacts(take("1")), "Seed 7, generated in 1.5 s, the character covers 26 % of the picture");
  assert.match(results.takeFacts({ ...take("1"), matches: 0 }), /, 0 tokens match the identity frame$/);
});

/** @param {Partial<State>} parts */
const work = (parts) => jobs.workOf({ progress: jobs.idle(), asked: [], stopping: false, ...parts });
const running = { state: "running", job: "j", message: "", fraction: 0.5, seconds_left: 70, rendered: 1, total: 3 };

test("without jobs nothing is active", () => {
  assert.equal(work({}).active, false);
  for (const state of ["finished", "failed", "cancelled"]) {
    assert.equal(work({ progress: { state, frames: {} } }).active, false);
    assert.ok(jobs.isResting({ state, frames: {} }));
  }
});

test("frames asked for just now wait, before the server knows of them", () => {
  const now = work({ asked: ["a", "b"] });
  assert.deepEqual([now.active, now.state, now.total], [true, "queued", 2]);
  assert.deepEqual(now.frames, { a: { state: "waiting" }, b: { state: "waiting" } });
});

test("what the server tells of a frame counts more than that it was asked for", () => {
  const frames = { a: { state: "rendering", step: 1, steps: 4 } };
  const now = work({ asked: ["a", "b"], progress: { ...running, frames } });
  assert.equal(now.state, "running");
  assert.deepEqual(now.frames, { ...frames, b: { state: "waiting" } });
});

test("a stop shows at once, and only while something runs", () => {
  assert.equal(work({ stopping: true, progress: { ...running, frames: {} } }).state, "cancelling");
  assert.equal(work({ stopping: true }).state, "idle");
});

test("frames are asked until the progress names them or the job is over", () => {
  const progress = { state: "running", frames: { a: { state: "waiting" } } };
  assert.deepEqual(jobs.stillAsked(["a", "b"], progress), ["b"]);
  assert.deepEqual(jobs.stillAsked(["a", "b"], { ...progress, state: "failed" }), []);
});

test("progress is told in words", () => {
  const frames = { b: { state: "rendering" } };
  const now = work({ progress: { ...running, frames } });
  assert.equal(jobs.progressWords(now, board()), "Frame 2 \u00b7 1 of 3 generated \u00b7 about 1 min left");
  assert.equal(jobs.progressWords({ ...now, state: "loading", message: "FLUX" }, board()), "Loading FLUX\u2026");
  assert.match(jobs.progressWords({ ...now, state: "queued" }, board()), /queue/);
  assert.match(jobs.progressWords({ ...now, state: "cancelling" }, board()), /^Stopping/);
  assert.equal(jobs.progressWords({ ...now, frames: {}, seconds_left: null }, board()), "1 of 3 generated");
});

test("steps of a frame are told in words", () => {
  assert.equal(jobs.stepWords(undefined), "Starting");
  assert.equal(jobs.stepWords({ state: "rendering" }), "Starting");
  assert.equal(jobs.stepWords({ state: "rendering", phase: "probe", step: 1, steps: 4 }), "Finding the character, step 1 of 4");
  assert.equal(jobs.stepWords({ state: "rendering", phase: "render", step: 2, steps: 4 }), "Generating, step 2 of 4");
});

test("an end is told in words", () => {
  const end = { job: "j", rendered: 1, problem: "", remedy: "" };
  assert.equal(jobs.endWords({ ...end, state: "finished" }), "1 frame generated.");
  assert.equal(jobs.endWords({ ...end, state: "cancelled", rendered: 2 }), "Stopped. 2 frames generated; all takes are kept.");
});

const SUBJECT = { strength: 1 };
const SETUP = /** @type {any} */ ({ models: [{ name: "miniature", subject: null }, { name: "flux", subject: SUBJECT }] });
const of = (/** @type {string} */ model) => board("a", { settings: { ...board().settings, model } });

test("a model is known by its name", () => {
  assert.equal(modelOf(of("flux"), SETUP)?.subject, SUBJECT);
  assert.equal(modelOf(of("somebody/else"), SETUP), undefined);
});

test("a strength is there where a picture is used by a model that can", () => {
  const used = { used: { name: "x", picture: "x.png" }, draft: null, fault: "" };
  const strength = (/** @type {string} */ model, /** @type {any} */ reference, /** @type {number | null} */ own = null) =>
    strengthOf(/** @type {any} */ ({ board: { ...of(model), character: { strength: own } }, setup: SETUP, reference }));
  assert.equal(strength("flux", used), 1);
  assert.equal(strength("flux", used, 0.5), 0.5);
  assert.equal(strength("flux", used, 0), 0);
  assert.equal(strength("miniature", used), null);
  assert.equal(strength("flux", { ...used, used: null }), null);
});

test("numbers and names are worded", () => {
  assert.deepEqual([plural(0, "frame"), plural(1, "frame"), plural(2, "frame")], ["0 frames", "1 frame", "2 frames"]);
  assert.deepEqual([[2], [2, 4], [2, 4, 5]].map(frameNames), ["Frame 2", "Frames 2 and 4", "Frames 2, 4 and 5"]);
  assert.deepEqual([0.2, 59.1, 60, 3600, 5400].map(duration), ["1 s", "60 s", "1 min", "1 h 0 min", "1 h 30 min"]);
});
