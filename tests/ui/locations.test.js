// Locations that frames share.

import assert from "node:assert/strict";
import { test } from "node:test";

import { locationHint } from "../../assets/ui/state/locations.js";
import { board, withFrames } from "./boards.js";

test("a frame that keeps no location says nothing of it", () => {
  assert.equal(locationHint(board(), board().frames[0]), "");
});

test("a location is said to be shared only where it is", () => {
  const on = { share_background: true };
  const shared = withFrames(board("abcd"), { a: on, c: { ...on, location: "Beach. " }, d: { ...on, location: "forest" } });
  const hint = (/** @type {number} */ index, of = shared) => locationHint(of, of.frames[index]);
  assert.equal(hint(2), "Same location as frame 1.");
  assert.equal(hint(0), "Frame 3 keeps this location.");
  assert.equal(hint(3), "No other frame has this location yet.");
  assert.equal(hint(0, withFrames(board("ab"), { a: on })), "Turn this on in frame 2 too.");
  assert.equal(hint(0, withFrames(board("abc"), { a: on, b: on, c: on })), "Frames 2 and 3 keep this location.");
  assert.equal(hint(0, withFrames(board("ab"), { a: { ...on, location: " " } })), "Name the location first.");
});
