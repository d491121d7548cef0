// Under a field of words: those that the model does not know, and phrases that it does.

/** @import { Knows, Model } from "../types.js" */

import { afterPress, control as controlOf, make, part, setText } from "../dom.js";
import { suggestionsFor, unknownHint, unknownWords } from "../state/knowledge.js";

/**
 * Make a field with its hints; the phrases show while the field or one of them has the focus.
 * @param {HTMLElement} field as `field` in dom.js makes it
 * @param {"actions" | "locations" | null} kind the phrases that are suggested
 * @param {boolean} eager whether phrases are suggested also for an empty field
 */
export function makeKnown(field, kind = null, eager = false) {
  const hint = make("p", { class: "tl-doubt tl-unknown-words", hidden: true });
  const box = make("div", { class: "tl-known", "data-kind": kind, "data-eager": eager }, field, hint);
  if (kind) {
    const phrases = make("div", { class: "tl-phrases", role: "group", "aria-label": `Known ${kind}`, hidden: true });
    // The field keeps the focus, so that the phrases stay until the click ends.
    phrases.addEventListener("mousedown", (event) => event.preventDefault());
    box.append(phrases);
  }
  // Not `:focus-within`: hints come and phrases go only when a click that ends the typing is over.
  box.addEventListener("focusin", () => box.classList.add("tl-entered"));
  box.addEventListener("focusout", ({ relatedTarget }) => {
    if (box.contains(/** @type {Node | null} */ (relatedTarget))) return;
    afterPress(() => box.classList.toggle("tl-entered", box.contains(document.activeElement)));
  });
  return box;
}

/**
 * What the hints of fields were painted from, as a board has many.
 * @type {WeakMap<HTMLElement, { field: import("../dom.js").Control, text: string, caret: number | null, model: Model | undefined, names: string }>}
 */
const shown = new WeakMap();

/**
 * Update the hints of a field.
 * @param {HTMLElement} box
 * @param {Model | undefined} model
 * @param {string} names names of the story, which are no words of a prompt
 */
export function paintKnown(box, model, names) {
  const before = shown.get(box);
  const field = before?.field ?? controlOf(box, "[data-field]");
  const text = field.value;
  const entered = box.classList.contains("tl-entered");
  const caret = entered ? field.selectionStart : null;
  if (before && before.text === text && before.caret === caret && before.model === model && before.names === names) return;
  shown.set(box, { field, text, caret, model, names });
  const knows = model?.knows ?? null;
  const words = knows ? unknownWords(text, knows, { names, caret }) : [];
  const hint = part(box, ".tl-unknown-words");
  hint.hidden = !words.length;
  setText(hint, model ? unknownHint(words, model.title) : "");
  // Phrases are hidden outside (see advice.css), so they are made only where somebody types.
  if (entered) paintPhrases(box, knows, text, words.length > 0);
}

/** @param {HTMLElement} box @param {Knows | null} knows @param {string} text @param {boolean} lost whether there are unknown words */
function paintPhrases(box, knows, text, lost) {
  const row = /** @type {HTMLElement | null} */ (box.querySelector(".tl-phrases"));
  if (!row) return;
  const wanted = knows && (lost || ("eager" in box.dataset && !text.trim()));
  row.hidden = !wanted;
  if (!wanted) return;
  const phrases = suggestionsFor(text, knows[/** @type {"actions" | "locations"} */ (box.dataset.kind)]);
  if (row.dataset.phrases === phrases.join("\n")) return;
  row.dataset.phrases = phrases.join("\n");
  row.scrollLeft = 0;
  row.replaceChildren(
    ...phrases.map((phrase) => make("button", { type: "button", class: "tl-phrase", "data-action": "suggest", text: phrase })),
  );
}

/** Write a suggested phrase into its field, as if a person had typed it. @param {HTMLElement} phrase */
export function takePhrase(phrase) {
  const field = controlOf(/** @type {HTMLElement} */ (phrase.closest(".tl-known")), "[data-field]");
  field.focus();
  field.value = phrase.textContent;
  field.dispatchEvent(new Event("input", { bubbles: true }));
}
