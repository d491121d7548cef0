// The enlarged frame: the take that is shown, beside the one in use.

import assert from "node:assert/strict";
import { test } from "node:test";

import { shown } from "../document.js";
import { makeViewer, paintViewer } from "../../../assets/ui/elements/viewer.js";
import { board, storeWith, take } from "../boards.js";

const TAKES = [take("one"), take("two", { starred: true })];

/** Open the viewer on the first frame. @param {Record<string, string>} data @param {any} parts of the state */
function opened(data = {}, parts = {}) {
  const viewer = shown(makeViewer());
  Object.assign(viewer.dataset, { shows: "a", ...data });
  viewer.showModal();
  const results = { a: { chosen: "two", takes: TAKES }, c: { chosen: "three", takes: [take("three")] } };
  const paint = (/** @type {any} */ now = results) => paintViewer(viewer, storeWith(board(), { takeWords: {}, ...parts }).state, now);
  paint();
  const find = (/** @type {string} */ selector) => /** @type {HTMLButtonElement} */ (viewer.querySelector(selector));
  return { viewer, paint, find };
}

test("the chosen take is shown, with the way to the next frame that has one", () => {
  const { find } = opened();
  assert.equal(find("strong").textContent, "Frame 1: action a, beach");
  assert.equal(find(".tl-viewer-shown .tl-picture").getAttribute("src"), "/two.png");
  const disabled = (/** @type {string} */ action) => find(`[data-action="${action}"]`).disabled;
  assert.deepEqual(["previous", "next", "use-take", "compare"].map(disabled), [true, false, true, true]);
  assert.ok(find(".tl-viewer-chosen").hidden);
  assert.equal(find('[data-part="picture"]').getAttribute("download"), "01-action-a-beach.png");
});

test("another take is compared with the one in use, and saved under its own name", () => {
  const { find } = opened({ take: "one", compare: "true" });
  assert.deepEqual([".tl-viewer-chosen", ".tl-viewer-shown"].map((box) => find(`${box} figcaption`).textContent), ["Take 2, in use", "Take 1"]);
  assert.equal(find('[data-part="mask"]').getAttribute("download"), "01-action-a-beach-take-1-mask.png");
  assert.ok(!find('[data-action="use-take"]').disabled);
});

test("the strip of takes is built once, and marks what is shown and what is in use", () => {
  const { viewer, paint, find } = opened();
  const film = [...find(".tl-film").children];
  viewer.dataset.take = "one";
  paint();
  assert.deepEqual([...find(".tl-film").children], film);
  assert.deepEqual(film.map((each) => [each.getAttribute("aria-selected"), each.classList.contains("tl-in-use")]), [["true", false], ["false", true]]);
  assert.equal(film[1].getAttribute("aria-label"), "Take 2, a favourite");
});

test("a frame whose takes are gone closes the viewer", () => {
  const { viewer, paint } = opened();
  paint({});
  assert.ok(!viewer.open);
});

test("the words of a take are offered where the frame has others", () => {
  const words = (/** @type {string} */ action) => opened({}, { takeWords: { two: { action, location: "beach" } } }).find('[data-action="use-words"]').hidden;
  assert.deepEqual([words("action a"), words("singing")], [true, false]);
});
