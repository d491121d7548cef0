// A frame's card: built once, painted from what is known, and never in the way of a person who types.

import assert from "node:assert/strict";
import { test } from "node:test";

import { shown, type } from "../document.js";
import { makeCard, paintCard } from "../../../assets/ui/elements/card.js";
import { idle, workOf } from "../../../assets/ui/state/jobs.js";
import { editFrame } from "../../../assets/ui/state/board.js";
import { SETUP, board, take } from "../boards.js";

/** Paint the first card of a board. @param {HTMLElement} card @param {any} parts */
function paint(card, { of = board(), takes = [], chosen = takes.at(-1)?.id ?? null, progress = idle(), ...more } = {}) {
  const work = workOf({ progress, asked: [], stopping: false });
  const facts = { outdated: false, identity: false };
  const result = takes.length ? { chosen, takes } : undefined;
  paintCard(card, { board: of, setup: SETUP, index: 0, result, preview: undefined, work, facts, hint: "", strength: null, model: SETUP.models[0], refused: undefined, ...more });
}

const newCard = (/** @type {any} */ parts = {}) => {
  const card = shown(makeCard((parts.of ?? board()).frames[0], SETUP));
  paint(card, parts);
  return card;
};

const find = (/** @type {HTMLElement} */ card, /** @type {string} */ selector) => /** @type {HTMLInputElement} */ (card.querySelector(selector));
const texts = (/** @type {HTMLElement} */ card, /** @type {string[]} */ ...selectors) => selectors.map((selector) => find(card, selector).textContent);

test("a frame without a take can be generated, and nothing of a take is offered", () => {
  const card = newCard();
  assert.equal(card.getAttribute("aria-label"), "Frame 1");
  assert.equal(card.dataset.state, "empty");
  assert.deepEqual(texts(card, ".tl-number", ".tl-state", '[data-action="redo"] span'), ["1", "Not generated yet", "Generate"]);
  for (const action of ["look", "lock", "keep-take", "earlier", "later", "back"]) assert.ok(find(card, `[data-action="${action}"]`).disabled, action);
  assert.ok(find(card, ".tl-picture").hidden && find(card, ".tl-take-words").hidden);
  assert.equal(find(card, '[data-field="seed"]').placeholder, "random");
});

test("a frame shows its chosen take, the way to the others, and its seed", () => {
  const card = newCard({ takes: [take("one"), take("two", { seed: 9 })] });
  assert.equal(card.dataset.state, "rendered");
  assert.equal(find(card, ".tl-picture").getAttribute("src"), "/two.png");
  assert.equal(find(card, ".tl-picture").getAttribute("alt"), "Frame 1: action a, beach");
  assert.deepEqual(texts(card, ".tl-take-words", '[data-action="redo"] span'), ["Take 2 of 2", "Redo"]);
  assert.deepEqual(["earlier", "later"].map((name) => find(card, `[data-action="${name}"]`).disabled), [false, true]);
  assert.equal(find(card, '[data-field="seed"]').placeholder, "9");
});

test("a frame that renders shows its step, and cannot be generated twice", () => {
  const frames = { a: { state: "rendering", phase: "render", step: 3, steps: 12 } };
  const card = newCard({ progress: { state: "running", frames }, preview: "/early.png" });
  assert.deepEqual(texts(card, ".tl-state"), ["Generating, step 3 of 12"]);
  assert.equal(find(card, ".tl-track i").style.width, "25%");
  assert.ok(find(card, '[data-action="redo"]').disabled);
  assert.ok(find(card, ".tl-preview").classList.contains("tl-shown"));
  paint(card, { takes: [take("one")] });
  assert.ok(!find(card, ".tl-preview").classList.contains("tl-shown"));
  assert.ok(find(card, ".tl-state").hidden);
});

test("painting leaves the focus, the text and the caret of a person who types", () => {
  const card = newCard();
  const action = find(card, "textarea");
  type(action, "waving a hat");
  action.setSelectionRange(3, 3);
  paint(card, { of: editFrame(board(), "a", { action: "waving a hat", location: "forest" }), takes: [take("one")] });
  assert.equal(document.activeElement, action);
  assert.deepEqual([action.value, action.selectionStart], ["waving a hat", 3]);
  assert.equal(find(card, '[data-field="location"]').value, "forest");
});

test("a text that was changed elsewhere is shown also where a person is in its field", () => {
  const card = newCard();
  const action = find(card, "textarea");
  action.focus();
  paint(card, { of: editFrame(board(), "a", { action: "changed in another tab" }) });
  assert.equal(action.value, "changed in another tab");
  assert.equal(document.activeElement, action);
});

test("a number that is being typed, and one that was refused, stay", () => {
  const card = newCard();
  const seed = find(card, '[data-field="seed"]');
  type(seed, "007");
  paint(card, { of: editFrame(board(), "a", { seed: 7 }) });
  assert.equal(seed.value, "007");
  seed.value = "4294967296";
  seed.blur();
  paint(card, { refused: "4294967296 was not taken." });
  assert.deepEqual([seed.value, seed.getAttribute("aria-invalid")], ["4294967296", "true"]);
  paint(card, { of: editFrame(board(), "a", { seed: 7 }) });
  assert.deepEqual([seed.value, find(card, ".tl-refused").hidden], ["7", true]);
});

test("a character of the frame's own has a field once there is one, and while it is emptied", () => {
  const card = newCard();
  assert.equal(find(card, '[data-field="character"]'), null);
  paint(card, { of: editFrame(board(), "a", { character: "an old man" }) });
  const own = find(card, '[data-field="character"]');
  assert.equal(own.value, "an old man");
  paint(card);
  assert.equal(find(card, '[data-field="character"]'), own);
  assert.equal(own.value, "");
});

test("words that the model does not know are named, and phrases are offered where a person types", () => {
  const card = newCard({ of: editFrame(board(), "a", { action: "juggling" }) });
  const [hint, phrases] = [find(card, ".tl-unknown-words"), find(card, ".tl-phrases")];
  assert.equal(hint.textContent, "Miniature does not know: juggling.");
  assert.equal(phrases.children.length, 0);
  type(find(card, "textarea"), "juggling ");
  paint(card, { of: editFrame(board(), "a", { action: "juggling " }) });
  assert.deepEqual([...phrases.children].map((phrase) => phrase.textContent), ["waving"]);
});

test("words stay words", () => {
  const words = '<img src=x onerror="1">';
  const card = newCard({ of: editFrame(board(), "a", { action: words, location: words }), hint: words });
  assert.equal(card.querySelectorAll("[onerror]").length, 0);
  assert.equal(find(card, ".tl-caption").textContent, `${words}, ${words}`);
});
