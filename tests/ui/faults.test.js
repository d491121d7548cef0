// Messages that stay until they are read.

import assert from "node:assert/strict";
import { test } from "node:test";

import { withFault, withoutFault } from "../../assets/ui/state/faults.js";

/** @param {string} problem @param {string} [job] */
const fault = (problem, job) => ({ problem, remedy: "", job });

/** @type {{ fault: import("../../assets/ui/types.js").Fault | null, unread: import("../../assets/ui/types.js").Fault[] }} */
const nothing = { fault: null, unread: [] };

test("a failed job that another message covers comes again, the newest first", () => {
  let state = nothing;
  for (const next of [fault("one", "a"), fault("two", "b"), fault("a name was refused"), fault("three", "c")]) {
    state = withFault(state, next);
  }
  const read = [];
  for (; state.fault; state = withoutFault(state)) read.push(state.fault.problem);
  assert.deepEqual(read, ["three", "two", "one"]);
  assert.deepEqual(state, nothing);
});

test("the same job's message is shown once", () => {
  const state = withFault(withFault(nothing, fault("one", "a")), fault("one, again", "a"));
  assert.deepEqual(withoutFault(state), nothing);
});
