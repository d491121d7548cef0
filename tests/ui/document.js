// A document outside a browser, by happy-dom; a test that imports this module needs it (see test_scripts.py).

import { pathToFileURL } from "node:url";

const { Window } = await import(pathToFileURL(`${process.env.NODE_PACKAGES}/happy-dom/lib/index.js`).href);

/** @type {any} */
const window = new Window({ url: "http://localhost/" });
const NAMES = ["document", "location", "Event", "FocusEvent", "KeyboardEvent", "MouseEvent", "HTMLElement", "HTMLDialogElement", "localStorage"];
for (const name of NAMES) Object.defineProperty(globalThis, name, { value: window[name], configurable: true, writable: true });
Object.defineProperty(globalThis, "window", { value: window, configurable: true });

/** Put an element into an empty document. @template {HTMLElement} T @param {T} element @returns {T} */
export function shown(element) {
  document.body.replaceChildren(element);
  return element;
}

/** Type into a field, as a person who is in it. @param {any} field @param {string} text */
export function type(field, text) {
  field.focus();
  field.value = text;
  if (field.type !== "number") field.setSelectionRange(text.length, text.length);
  field.dispatchEvent(new Event("input", { bubbles: true }));
}
