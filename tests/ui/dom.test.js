// The focus and presses of a person while the page is painted.

import assert from "node:assert/strict";
import { test } from "node:test";

import { shown } from "./document.js";
import { afterPress, keepFocus, make } from "../../assets/ui/dom.js";
import { settled } from "./boards.js";

const button = (/** @type {object} */ attributes = {}) => make("button", { type: "button", ...attributes });

function page() {
  const [generate, cancel] = [button({ class: "generate" }), button({ class: "cancel" })];
  const [later, field] = [button(), make("textarea")];
  const card = make("article", { class: "tl-card", tabindex: -1 }, later, field);
  const root = shown(make("div", { class: "tl" }, make("div", { class: "tl-bar" }, generate, cancel), card));
  return { root, card, later, field, generate, cancel };
}

test("the card has the focus where its button is disabled or taken away", () => {
  for (const how of ["disabled", "removed"]) {
    const { root, card, later } = page();
    later.focus();
    const done = keepFocus(root);
    if (how === "disabled") later.disabled = true;
    else later.remove();
    done();
    assert.equal(document.activeElement, card, how);
  }
});

test("the next button above the frames has the focus of one that is disabled there", () => {
  const { root, generate, cancel } = page();
  generate.focus();
  const done = keepFocus(root);
  generate.disabled = true;
  done();
  assert.equal(document.activeElement, cancel);
});

test("a focus that is still good, or was moved on purpose, stays", () => {
  const { root, later, field } = page();
  field.focus();
  keepFocus(root)();
  assert.equal(document.activeElement, field);
  later.focus();
  const done = keepFocus(root);
  later.disabled = true;
  field.focus();
  done();
  assert.equal(document.activeElement, field);
});

/** Let a document say that something is pressed. @param {boolean} pressed */
function press(pressed) {
  const { body } = document;
  /** @type {any} */ (document).querySelector = (/** @type {string} */ selector) => (selector === ":active" && pressed ? body : null);
}

test("what waits for the end of a press comes once, however it ends", async () => {
  for (const end of ["mouseup", "keyup", "dragend", "pointercancel"]) {
    let count = 0;
    press(true);
    afterPress(() => (count += 1));
    await settled();
    assert.equal(count, 0);
    for (const each of [end, "dragend", "mouseup"]) document.dispatchEvent(new Event(each));
    await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(count, 1, end);
  }
  press(false);
  let at_once = 0;
  afterPress(() => (at_once += 1));
  await settled();
  assert.equal(at_once, 1);
});
