// The store of the page's state.

import assert from "node:assert/strict";
import { test } from "node:test";

import { storeWith } from "./boards.js";

test("a change replaces its parts alone, and all listeners hear of it at once", () => {
  const store = storeWith();
  const before = store.state;
  const heard = /** @type {string[]} */ ([]);
  store.subscribe(() => heard.push(`one ${store.state.busy}`));
  store.subscribe(() => heard.push(`two ${store.state.busy}`));
  store.set({ busy: "Loading" });
  assert.deepEqual(heard, ["one Loading", "two Loading"]);
  assert.equal(store.state.board, before.board);
  assert.notEqual(store.state, before);
  assert.equal(before.busy, undefined);
});
