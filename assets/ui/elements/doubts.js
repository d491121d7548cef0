// In the settings: whether the model runs here, what it was made for, and numbers that were refused.

/** @import { Model, Settings, Setup, Usable } from "../types.js" */

import { control, make, numberInput, paintRefusal, part, setText } from "../dom.js";
import { fieldKey } from "../state/bounds.js";
import { sizeDoubt, stepsDoubt } from "../state/made_for.js";

/** Make the field of the steps. @param {Setup} setup */
export function makeSteps(setup) {
  const steps = numberInput("settings.steps", { lowest: 1, highest: setup.limits.steps });
  steps.setAttribute("aria-describedby", "tl-steps-refused tl-doubts");
  return steps;
}

/** Make the lines on size and steps, below their fields. */
export function makeDoubts() {
  return make(
    "div",
    { class: "tl-stack tl-under-steps" },
    make("p", { class: "tl-refused", id: "tl-steps-refused", role: "status", hidden: true }),
    make("p", { class: "tl-doubt", id: "tl-doubts", hidden: true }),
  );
}

/**
 * @param {HTMLElement} root
 * @param {{ model: Model | undefined, settings: Settings, refused: Record<string, string> }} shown
 */
export function paintDoubts(root, { model, settings, refused }) {
  const [refusal, doubt] = ["#tl-steps-refused", "#tl-doubts"].map((name) => part(root, name));
  paintRefusal(control(root, '[data-field="settings.steps"]'), refusal, refused[fieldKey("", "settings.steps")]);
  paintLine(doubt, [sizeDoubt(model, settings), stepsDoubt(model, settings)].filter(Boolean).join(" "));
  part(root, ".tl-under-steps").hidden = refusal.hidden && doubt.hidden;
}

export const makeUsable = () => make("p", { class: "tl-usable", role: "status", hidden: true });

/** Say whether the chosen model can render here. @param {HTMLElement} line @param {Usable | undefined} found undefined where it is not known */
export function paintUsable(line, found) {
  paintLine(line, found?.words ?? "");
  line.classList.toggle("tl-doubt", found?.usable === false);
  line.classList.toggle("tl-hint", found?.usable !== false);
}

/** Mark a model's title in a list. @param {Model} model @param {Record<string, Usable>} usable */
export const titleHere = ({ name, title }, usable) => (usable[name]?.usable === false ? `${title} \u2013 does not run here` : title);

/** Show a line of words, or hide it where there are none. @param {HTMLElement} line @param {string} words */
export function paintLine(line, words) {
  line.hidden = !words;
  setText(line, words);
}
