// Locations that frames keep: sentences from the server's answer, and silence without one.

import assert from "node:assert/strict";
import { test } from "node:test";

import { locationHint, locationsNow } from "../../assets/ui/state/locations.js";
import { editFrame, editSettings, moveFrame } from "../../assets/ui/state/board.js";
import { board, storeWith, withFrames } from "./boards.js";

/** @import { KeptLocation, State } from "../../assets/ui/types.js" */

const on = { share_background: true };
const shared = withFrames(board("abcd"), { a: on, c: on, d: on });

/** @param {Partial<KeptLocation>} parts @returns {KeptLocation} */
const kept = (parts = {}) => ({ source: null, readers: [], others: [], ...parts });

/** Return a page's state, with the server's answer on its board. @param {Partial<State>} parts */
const answered = (parts = {}) =>
  storeWith(shared, { locations: { revision: "r0", frames: { a: kept({ readers: ["c"], others: ["b"] }), c: kept({ source: "a", others: ["b"] }) } }, ...parts }).state;

/** Return the hint of a frame by its place. @param {State} state @param {number} index */
const hint = (state, index) => locationHint(state, state.board.frames[index], locationsNow(state));

test("each frame that keeps its location says what the server answered", () => {
  const state = answered();
  assert.deepEqual([0, 1, 2, 3].map((index) => hint(state, index)), [
    "Frame 3 keeps this location.",
    "",
    "Will have the location of frame 1.",
    "Name the location first.",
  ]);
  const alone = answered({ locations: { revision: "r0", frames: { a: kept(), c: kept({ readers: ["b", "d"] }), d: kept({ others: ["b"] }) } } });
  assert.deepEqual([0, 2, 3].map((index) => hint(alone, index)), [
    "No other frame has this location yet.",
    "Frames 2 and 4 keep this location.",
    "Turn this on in frame 2 too.",
  ]);
  const off = answered({ locations: { revision: "r0", frames: null } });
  assert.match(hint(off, 0), /is off/);
});

test("a location is said to be the same only where the shown take shows it as it is now", () => {
  const from = (/** @type {string} */ frame, /** @type {boolean} */ current) => ({ c: { identity: null, location: { frame, current } } });
  const origins = from("a", true);
  assert.equal(hint(answered({ origins }), 2), "Same location as frame 1.");
  for (const other of [from("a", false), from("b", true), { c: { identity: null, location: null } }]) {
    assert.equal(hint(answered({ origins: other }), 2), "Will have the location of frame 1.");
  }
  for (const wished of [{ c: "another take" }, { a: "another take" }]) assert.equal(hint(answered({ origins, wished }), 2), "");
});

test("nothing is said from an edit until the answer to it", () => {
  const { board: before } = answered();
  const edits = {
    location: editFrame(before, "c", { location: "forest" }),
    toggle: editFrame(before, "d", { share_background: false }),
    character: editFrame(before, "a", { character: "an old man" }),
    order: moveFrame(before, "c", 0),
    identity: editSettings(before, { identity: "c" }),
    consistent: editSettings(before, { consistent: false }),
  };
  for (const [name, edited] of Object.entries(edits)) {
    const state = answered({ board: edited });
    assert.deepEqual(edited.frames.map((_, index) => hint(state, index)), ["", "", "", ""], name);
    // The answer to an older save is none.
    const late = answered({ board: edited, base: { board: edited, revision: "r1" } });
    assert.equal(hint(late, 0), "", name);
  }
  assert.equal(hint(answered({ board: editFrame(before, "c", { action: "singing" }) }), 0), "Frame 3 keeps this location.");
  assert.equal(hint(answered({ locations: null }), 0), "");
});
