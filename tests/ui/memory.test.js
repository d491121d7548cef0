// What the browser remembers, and a browser that remembers nothing.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import * as memory from "../../assets/ui/memory.js";
import { board } from "./boards.js";

/** Storage as a browser has it: what is kept are its own keys. */
class Kept {
  /** @param {string} key @returns {string | null} */
  getItem(key) {
    return Object.hasOwn(this, key) ? /** @type {any} */ (this)[key] : null;
  }
  /** @param {string} key @param {string} value */
  setItem(key, value) {
    /** @type {any} */ (this)[key] = String(value);
  }
  /** @param {string} key */
  removeItem(key) {
    delete (/** @type {any} */ (this)[key]);
  }
}

/** Set the storage of the browser and of the tab; null where it is blocked. @param {Kept | null} local @param {Kept | null} session */
function browserWith(local, session) {
  for (const [name, storage] of Object.entries({ localStorage: local, sessionStorage: session })) {
    Object.defineProperty(globalThis, name, {
      configurable: true,
      get() {
        if (storage === null) throw new DOMException("The operation is insecure.", "SecurityError");
        return storage;
      },
    });
  }
}

/** @type {Kept} */
let kept;

beforeEach(() => {
  kept = new Kept();
  browserWith(kept, new Kept());
});

afterEach(() => {
  for (const name of ["localStorage", "sessionStorage"]) delete (/** @type {any} */ (globalThis)[name]);
});

const unsent = (project = "p", title = "Not sent") => {
  const base = board("ab", { project });
  return { base: { board: base, revision: "r" }, board: { ...base, title } };
};

test("the board and the view are remembered", () => {
  assert.equal(memory.lastBoard(), "");
  assert.equal(memory.lastView(), null);
  memory.rememberBoard("p");
  memory.rememberView("overlay");
  assert.equal(memory.lastBoard(), "p");
  assert.equal(memory.lastView(), "overlay");
});

test("unsent changes are taken once, and only those of their board", () => {
  memory.rememberUnsent(unsent("p"));
  memory.rememberUnsent(unsent("q"));
  assert.deepEqual(memory.takeUnsent("p"), [unsent("p")]);
  assert.deepEqual(memory.takeUnsent("p"), []);
  assert.deepEqual(memory.takeUnsent("q"), [unsent("q")]);
});

test("a tab remembers its newest changes, and forgets them when they are sent", () => {
  memory.rememberUnsent(unsent("p", "Older"));
  memory.rememberUnsent(unsent("p", "Newer"));
  assert.deepEqual(memory.takeUnsent("p").map(({ board: { title } }) => title), ["Newer"]);
  memory.rememberUnsent(unsent("p"));
  memory.forgetUnsent("p");
  assert.deepEqual(memory.takeUnsent("p"), []);
});

test("changes of another tab are kept apart, and taken too", () => {
  memory.rememberUnsent(unsent("p", "First tab"));
  browserWith(kept, new Kept());
  memory.rememberUnsent(unsent("p", "Second tab"));
  memory.forgetUnsent("q");
  assert.deepEqual(memory.takeUnsent("p").map(({ board: { title } }) => title).sort(), ["First tab", "Second tab"]);
});

test("a reload is the same tab", () => {
  memory.rememberUnsent(unsent("p", "Before"));
  const names = Object.keys(kept);
  memory.rememberUnsent(unsent("p", "After"));
  assert.deepEqual(Object.keys(kept), names);
});

test("what cannot be read is left out", () => {
  memory.rememberUnsent(unsent("p"));
  const [key] = Object.keys(kept);
  kept.setItem(`${key}2`, "{ half");
  assert.deepEqual(memory.takeUnsent("p"), [unsent("p")]);
  assert.deepEqual(Object.keys(kept), []);
});

test("where storage is blocked, the page works without", () => {
  browserWith(null, null);
  memory.rememberBoard("p");
  memory.rememberView("overlay");
  memory.rememberUnsent(unsent());
  memory.forgetUnsent("p");
  assert.equal(memory.lastBoard(), "");
  assert.equal(memory.lastView(), null);
  assert.deepEqual(memory.takeUnsent("p"), []);
});

test("where the tab's storage alone is blocked, changes are kept all the same", () => {
  browserWith(kept, null);
  memory.rememberUnsent(unsent());
  assert.deepEqual(memory.takeUnsent("p"), [unsent()]);
});

test("where storage is full, the page works without", () => {
  kept.setItem = () => {
    throw new DOMException("full", "QuotaExceededError");
  };
  memory.rememberUnsent(unsent());
  memory.rememberView("overlay");
  assert.deepEqual(memory.takeUnsent("p"), []);
});
