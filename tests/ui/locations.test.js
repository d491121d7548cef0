// Locations that frames share.

import assert from "node:assert/strict";
import { test } from "node:test";

import { locationHint } from "../../assets/ui/state/locations.js";
import { board, withFrames } from "./boards.js";

test("a frame that keeps no location says nothing of it", () => {
  assert.equal(locationHint(board(), board().frames[0], undefined), "");
});

const on = { share_background: true };
const shared = withFrames(board("abcd"), { a: on, c: { ...on, location: "Beach. " }, d: { ...on, location: "forest" } });

/** Return the hint of a frame by its place. @param {number} index @param {import("../../assets/ui/types.js").Board} of @param {any} origins */
const hint = (index, of = shared, origins = undefined) => locationHint(of, of.frames[index], origins);

test("a location is said to be the same only where the take shows it as it is now", () => {
  const from = (/** @type {string} */ frame, /** @type {boolean} */ current) => ({ identity: null, location: { frame, current } });
  assert.equal(hint(2, shared, from("a", true)), "Same location as frame 1.");
  for (const origins of [undefined, from("a", false), from("b", true), { identity: null, location: null }]) {
    assert.equal(hint(2, shared, origins), "Will have the location of frame 1.");
  }
});

test("the frame whose location others keep says so", () => {
  assert.equal(hint(0), "Frame 3 keeps this location.");
  assert.equal(hint(0, withFrames(board("abc"), { a: on, b: on, c: on })), "Frames 2 and 3 keep this location.");
});

test("the identity frame is the one whose location is kept", () => {
  const identity = { ...shared, settings: { ...shared.settings, identity: "c" } };
  assert.equal(hint(0, identity), "Will have the location of frame 3.");
  assert.equal(hint(2, identity), "Frame 1 keeps this location.");
});

test("a location that no other frame keeps says what to do", () => {
  assert.equal(hint(3), "No other frame has this location yet.");
  assert.equal(hint(0, withFrames(board("ab"), { a: on })), "Turn this on in frame 2 too.");
  assert.equal(hint(0, withFrames(board("ab"), { a: { ...on, location: " " } })), "Name the location first.");
});
