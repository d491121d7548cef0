// Dialogs: the enlarged frame, and the list of storyboards.

/** @import { Board, BoardInfo, Results } from "../types.js" */

import { button, control, make, part, setText } from "../dom.js";
import { indexOf } from "../state/board.js";
import { chosenTake, frameBeside, takeFacts } from "../state/results.js";
import { plural } from "../words.js";
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
      button("shut", "close", { hint: "Close" }),
    ),
  );
}

/**
 * Show a frame's chosen take; `id` is the frame's.
 * @param {HTMLDialogElement} viewer @param {Board} board @param {Results} results @param {string} id
 */
export function paintViewer(viewer, board, results, id) {
  const index = indexOf(board, id);
  const take = chosenTake(results[id]);
  if (index < 0 || !take) {
    viewer.close();
    return;
  }
  const words = frameWords(board.frames[index], index);
  viewer.dataset.shows = id;
  paintShot(part(viewer, ".tl-shot"), take, words);
  setText(part(viewer, "strong"), words);
  setText(part(viewer, ".tl-viewer-words span"), takeFacts(take));
  control(viewer, '[data-action="previous"]').disabled = !frameBeside(board, results, id, -1);
  control(viewer, '[data-action="next"]').disabled = !frameBeside(board, results, id, 1);
}

export function makePicker() {
  return make(
    "dialog",
    { class: "tl-dialog tl-picker", "aria-label": "Open a storyboard" },
    make("div", { class: "tl-row" }, make("h2", { text: "Storyboards" }), make("span", { class: "tl-gap" }), button("shut", "close", { hint: "Close" })),
    make("div", { class: "tl-list" }),
  );
}

/** @param {HTMLElement} picker @param {BoardInfo[]} items @param {string} current the board that is open */
export function paintPicker(picker, items, current) {
  const when = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  const entries = items.map((item) =>
    make(
      "button",
      { type: "button", class: "tl-entry", "data-action": "open", "data-project": item.id, "aria-current": item.id === current ? "true" : null },
      make("strong", { text: item.title || "Untitled storyboard" }),
      make("span", { text: `${plural(item.frames, "frame")}, ${when.format(new Date(item.modified))}` }),
    ),
  );
  const list = part(picker, ".tl-list");
  list.replaceChildren(...(entries.length ? entries : [make("p", { class: "tl-hint", text: "Nothing has been saved yet." })]));
}
