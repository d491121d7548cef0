// Slider of a strength, with a mark at its default.

import { control as controlOf, part, setSlider, setText } from "../dom.js";

/**
 * Show a strength on its slider: `asked`, or else the default `own`, which has a mark.
 * @param {HTMLElement} row @param {number | null} asked @param {number} own @param {string} whose
 */
export function paintStrength(row, asked, own, whose) {
  const value = asked ?? own;
  const control = controlOf(row, "input");
  const words = value === 0 ? "off" : String(value);
  control.title = `The mark shows ${whose}: ${own}`;
  setSlider(control, value, own);
  control.setAttribute("aria-valuetext", value === own ? `${words}, ${whose}` : words);
  setText(part(row, ".tl-strength"), words);
}
