// Slider of a strength, with a mark at its default.

import { setSlider, setText } from "../dom.js";

/** Show a strength on its slider: `asked`, or else the default `own`, which has a mark. */
export function paintStrength(row, asked, own, whose) {
  const value = asked ?? own;
  const control = row.querySelector("input");
  const words = value === 0 ? "off" : String(value);
  control.title = `The mark shows ${whose}: ${own}`;
  setSlider(control, value, own);
  control.setAttribute("aria-valuetext", value === own ? `${words}, ${whose}` : words);
  setText(row.querySelector(".tl-strength"), words);
}
