// Dialog of the enlarged frame, which can be saved as a file.

import { button, icon, make, setText } from "../dom.js";
import { indexOf } from "../state/board.js";
import { chosenTake, frameBeside, takeFacts } from "../state/results.js";
import { fileStem } from "../state/shelf.js";
import { frameWords, makeShot, paintShot } from "./card.js";

export function makeViewer() {
  return make(
    "dialog",
    { class: "tl-dialog tl-viewer", "aria-label": "Frame" },
    makeShot(),
    make(
      "div",
      { class: "tl-row" },
      button("previous", "left", { hint: "Previous frame" }),
      make("p", { class: "tl-viewer-words" }, make("strong"), make("span")),
      button("next", "right", { hint: "Next frame" }),
      makeLink("picture", "download", "Save this picture; it carries its own frame\u2019s prompt and settings, and no other frame\u2019s"),
      makeLink("mask", "overlay", "Save its mask"),
      button("shut", "close", { hint: "Close" }),
    ),
  );
}

function makeLink(part, iconName, hint) {
  return make("a", { class: "tl-button tl-only-icon", "data-part": part, title: hint, "aria-label": hint }, icon(iconName));
}

/** Show a frame's chosen take; `id` is the frame's. */
export function paintViewer(viewer, board, results, id) {
  const index = indexOf(board, id);
  const take = chosenTake(results[id]);
  if (index < 0 || !take) {
    viewer.close();
    return;
  }
  const words = frameWords(board.frames[index], index);
  viewer.dataset.shows = id;
  paintShot(viewer.querySelector(".tl-shot"), take, words);
  setText(viewer.querySelector("strong"), words);
  setText(viewer.querySelector(".tl-viewer-words span"), takeFacts(take));
  const stem = fileStem(board, index);
  setDownload(viewer.querySelector('[data-part="picture"]'), take.image, `${stem}.png`);
  setDownload(viewer.querySelector('[data-part="mask"]'), take.mask, `${stem}-mask.png`);
  viewer.querySelector('[data-action="previous"]').disabled = !frameBeside(board, results, id, -1);
  viewer.querySelector('[data-action="next"]').disabled = !frameBeside(board, results, id, 1);
}

function setDownload(link, address, name) {
  link.href = address;
  link.download = name;
}
