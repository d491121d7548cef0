// Numbers out of bounds are refused with words.

import assert from "node:assert/strict";
import { test } from "node:test";
import { fieldKey, refusalOf, withoutRefusal } from "../../assets/ui/state/bounds.js";

const steps = { lowest: 1, highest: 200, isNumber: true };

test("numbers in bounds, and an empty field, are taken", () => {
  for (const typed of ["", "1", "20", "200", "2e1"]) assert.equal(refusalOf("settings.steps", typed, steps), "");
});

test("others are refused with what was typed and the limit", () => {
  assert.equal(refusalOf("settings.steps", "500", steps), "500 was not taken: steps go up to 200.");
  assert.equal(refusalOf("settings.steps", "0", steps), "0 was not taken: steps begin at 1.");
  assert.equal(refusalOf("settings.steps", "2.5", steps), "2.5 was not taken: steps are whole numbers.");
  assert.equal(refusalOf("seed", "-1", { lowest: 0, highest: 9, isNumber: true }), "-1 was not taken: seeds begin at 0.");
  assert.equal(refusalOf("seed", "", { lowest: 0, highest: 9, isNumber: false }), "This was not taken: seeds are whole numbers from 0 to 9.");
  assert.match(refusalOf("seed", "9".repeat(400), { lowest: 0, highest: 9, isNumber: true }), /go up to 9\./);
});

test("a refusal belongs to a field of a frame or of the board", () => {
  const refused = { [fieldKey("a", "seed")]: "No.", [fieldKey("", "settings.steps")]: "No." };
  assert.deepEqual(withoutRefusal(refused, fieldKey("a", "seed")), { " settings.steps": "No." });
  assert.deepEqual(withoutRefusal(refused, fieldKey("b", "seed")), refused);
});
