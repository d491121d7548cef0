// Warnings that a person can read and answer, on a card or above the frames.

import { button, icon, make } from "../dom.js";

/**
 * @typedef {object} Warning
 * @property {string} key tells warnings apart
 * @property {string} words
 * @property {{ action: string, label: string, data?: Record<string, string> }[]} answers
 */

export const makeWarnings = () => make("div", { class: "tl-warnings", hidden: true });

/** Show warnings; those that are shown already stay as they are. @param {HTMLElement} box @param {Warning[]} warnings */
export function paintWarnings(box, warnings) {
  const known = JSON.stringify(warnings);
  if (box.dataset.shown === known) return;
  box.dataset.shown = known;
  box.hidden = !warnings.length;
  box.replaceChildren(...warnings.map(makeWarning));
}

/** @param {Warning} warning */
function makeWarning({ words, answers }) {
  const buttons = answers.map(({ action, label, data = {} }) => {
    const answer = label ? button(action, "", { label, kind: "tl-small" }) : button(action, "close", { hint: "Dismiss", kind: "tl-small" });
    Object.assign(answer.dataset, data);
    return answer;
  });
  return make("p", { class: "tl-warning", role: "status" }, icon("alert"), make("span", { text: words }), ...buttons);
}
