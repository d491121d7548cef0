// Styles: LoRAs for all frames.

/** @import { Board, Setup } from "../types.js" */

import { button, control, field, make, part, setSlider, setText, setValue, slider, textInput } from "../dom.js";

const WORDS = /** @type {const} */ (["source", "trigger"]);

/** @param {Setup} setup */
export function makeStyles(setup) {
  return make(
    "div",
    { class: "tl-stack tl-styles", role: "group", "aria-label": "Style (LoRA)" },
    make("span", { class: "tl-label", text: "Style (LoRA)" }),
    make("div", { class: "tl-stack tl-style-list" }),
    button("style", "plus", { label: "Add a style", hint: "Generate all frames with a LoRA" }),
    make("span", {
      class: "tl-hint",
      text: setup.listed
        ? "A FLUX LoRA on the Hugging Face hub (owner/name), or a .safetensors file on this machine."
        : "A FLUX LoRA on the Hugging Face hub: owner/name.",
    }),
  );
}

/** @param {Setup} setup */
function makeStyle(setup) {
  const [lowest, highest] = setup.limits.style_weight;
  const weight = slider("weight", { lowest, highest, step: 0.05 });
  weight.setAttribute("aria-label", "Weight of the style");
  const source = textInput("source", { placeholder: "owner/name", longest: setup.limits.short });
  source.setAttribute("aria-label", "LoRA");
  return make(
    "div",
    { class: "tl-style" },
    make("div", { class: "tl-row" }, source, button("unstyle", "trash", { hint: "Remove this style" })),
    make("label", { class: "tl-row tl-width" }, make("span", { class: "tl-label", text: "Weight" }), weight, make("span", { class: "tl-strength" })),
    field("Trigger words (optional)", textInput("trigger", { placeholder: "in the style of\u2026", longest: setup.limits.short })),
  );
}

/** @param {HTMLElement} box @param {{ board: Board, setup: Setup }} shown */
export function paintStyles(box, { board, setup }) {
  const { styles } = board.settings;
  const list = part(box, ".tl-style-list");
  while (list.children.length > styles.length) list.lastElementChild?.remove();
  while (list.children.length < styles.length) list.append(makeStyle(setup));
  styles.forEach((style, index) => {
    const row = /** @type {HTMLElement} */ (list.children[index]);
    row.dataset.style = String(index);
    row.setAttribute("aria-label", `Style ${index + 1}`);
    for (const name of WORDS) setValue(control(row, `[data-field="${name}"]`), style[name]);
    setSlider(control(row, '[data-field="weight"]'), style.weight, 1);
    setText(part(row, ".tl-strength"), style.weight.toFixed(2));
  });
  list.hidden = !styles.length;
  control(box, '[data-action="style"]').disabled = styles.length >= setup.limits.styles;
}
