// The list of boards: entries stay while nothing about them changes.

import assert from "node:assert/strict";
import { test } from "node:test";

import { shown } from "../document.js";
import { makeShelf, paintShelf } from "../../../assets/ui/elements/shelf.js";

const info = (/** @type {string} */ id, /** @type {object} */ fields = {}) => ({ id, title: `Board ${id}`, frames: 2, modified: "2026-01-02T03:04:05Z", picture: null, ...fields });
const shelf = (/** @type {object} */ parts = {}) =>
  /** @type {any} */ ({ view: "boards", boards: [info("x"), info("y"), info("z")], bin: [], deleted: 0, query: "", current: "x", doing: {}, fault: "", busy: "", ...parts });

function page() {
  const dialog = shown(makeShelf());
  const entries = () => /** @type {HTMLElement[]} */ ([...dialog.querySelectorAll(".tl-entry")]);
  const ids = () => entries().map((entry) => entry.dataset.board);
  return { dialog, entries, ids, text: (/** @type {string} */ selector) => dialog.querySelector(selector)?.textContent };
}

test("only an entry that changes is built again, so that a title that is being typed stays", () => {
  const { dialog, entries } = page();
  paintShelf(dialog, shelf({ doing: { y: "renaming" } }), true);
  const before = entries();
  const input = /** @type {HTMLInputElement} */ (before[1].querySelector("input"));
  input.focus();
  input.value = "A new tit";
  paintShelf(dialog, shelf({ doing: { y: "renaming", z: "deleted" } }), true);
  const after = entries();
  assert.deepEqual([after[0] === before[0], after[1] === before[1], after[2] === before[2]], [true, true, false]);
  assert.deepEqual([document.activeElement, input.value], [input, "A new tit"]);
});

test("a search leaves what it finds, and counts it", () => {
  const { dialog, ids, text } = page();
  paintShelf(dialog, shelf({ query: "BOARD y" }), true);
  assert.deepEqual(ids(), ["y"]);
  assert.equal(text(".tl-shelf-count"), "1 storyboard found");
  paintShelf(dialog, shelf(), true);
  assert.deepEqual(ids(), ["x", "y", "z"]);
  paintShelf(dialog, shelf({ doing: { x: "deleted" } }), true);
  assert.equal(text(".tl-shelf-count"), "2 storyboards");
});

test("the bin offers to restore, and asks before it deletes for good", () => {
  const { dialog, entries, text } = page();
  const binned = shelf({ view: "bin", bin: [info("w", { deleted: "2026-01-03T00:00:00Z" })], deleted: 1 });
  paintShelf(dialog, binned, true);
  assert.equal(text("h2"), "Bin");
  const actions = () => [...entries()[0].querySelectorAll("[data-action]")].map((control) => control.getAttribute("data-action"));
  assert.deepEqual(actions(), ["restore-board", "ask-empty"]);
  paintShelf(dialog, { ...binned, doing: { w: "asked" } }, true);
  assert.deepEqual(actions(), ["empty-board", "keep-binned"]);
});

test("where boards are not listed, there is neither a search nor a bin", () => {
  const { dialog, text } = page();
  paintShelf(dialog, shelf({ boards: [info("x")], deleted: 3 }), false);
  assert.equal(text("h2"), "This storyboard");
  for (const name of [".tl-search", '[data-action="bin"]']) assert.ok(/** @type {HTMLElement} */ (dialog.querySelector(name)).hidden);
});
