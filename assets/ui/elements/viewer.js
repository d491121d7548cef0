// Dialog of the enlarged frame with all of its takes, each of which can be saved as a file.

/** @import { Result, Results, State, Take } from "../types.js" */

import { button, control, icon, make, part, setSource, setText } from "../dom.js";
import { indexOf } from "../state/board.js";
import { chosenTake, frameBeside, takeFacts } from "../state/results.js";
import { fileStem } from "../state/shelf.js";
import { frameWords, makeShot, paintShot } from "./card.js";

export function makeViewer() {
  return make(
    "dialog",
    { class: "tl-dialog tl-viewer", "aria-label": "Frame", tabindex: -1 },
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
    make("div", { class: "tl-viewer-shots" }, makeFigure("tl-viewer-chosen"), makeFigure("tl-viewer-shown")),
    make("div", { class: "tl-film", role: "listbox", "aria-label": "Takes of this frame" }),
    make(
      "div",
      { class: "tl-row tl-viewer-tools" },
      button("use-take", "check", { label: "Use this take" }),
      button("compare", "columns", { label: "Compare", hint: "Show this take beside the one in use" }),
      button("raw-mask", "grid", { hint: "Show the mask as its raw tokens" }),
      button("star", "star", { hint: "Mark as a favourite" }),
      make("span", { class: "tl-gap" }),
      button("use-words", "undo", { label: "Use its words", hint: "Give the frame the words of this take again" }),
      button("remove-take", "trash", { hint: "Remove this take" }),
    ),
  );
}

/** @param {string} part @param {string} iconName @param {string} hint */
function makeLink(part, iconName, hint) {
  return make("a", { class: "tl-button tl-only-icon", "data-part": part, title: hint, "aria-label": hint }, icon(iconName));
}

/** @param {string} name */
function makeFigure(name) {
  return make("figure", { class: name }, makeShot(), make("figcaption"));
}

/**
 * Show the takes of a frame.
 * @param {HTMLDialogElement} viewer it keeps the frame and the take that are shown, and whether it is compared
 * @param {State} state @param {Results} results
 */
export function paintViewer(viewer, { board, takeWords }, results) {
  const id = viewer.dataset.shows ?? "";
  const index = indexOf(board, id);
  const result = results[id];
  const chosen = chosenTake(result);
  if (index < 0 || !chosen) {
    viewer.close();
    return;
  }
  const shown = result.takes.find((take) => take.id === viewer.dataset.take) ?? chosen;
  const compared = viewer.dataset.compare === "true" && shown !== chosen;
  const frame = board.frames[index];
  const words = frameWords(frame, index);
  const find = (/** @type {string} */ name) => control(viewer, name);
  setText(find("strong"), words);
  setText(find(".tl-viewer-words span"), takeFacts(shown));
  find(".tl-viewer-chosen").hidden = !compared;
  const raw = viewer.dataset.raw === "true";
  paintFigure(find(".tl-viewer-chosen"), chosen, words, result, raw, "In use");
  paintFigure(find(".tl-viewer-shown"), shown, words, result, raw, compared ? "" : null);
  find('[data-action="raw-mask"]').setAttribute("aria-pressed", String(raw));
  paintFilm(find(".tl-film"), result, chosen, shown);
  const stem = fileStem(board, index);
  const take = shown === chosen ? stem : `${stem}-take-${result.takes.indexOf(shown) + 1}`;
  setDownload(find('[data-part="picture"]'), shown.image, `${take}.png`);
  setDownload(find('[data-part="mask"]'), shown.mask, `${take}-mask.png`);
  find('[data-action="previous"]').disabled = !frameBeside(board, results, id, -1);
  find('[data-action="next"]').disabled = !frameBeside(board, results, id, 1);
  find('[data-action="use-take"]').disabled = shown === chosen;
  find('[data-action="compare"]').disabled = shown === chosen;
  find('[data-action="compare"]').setAttribute("aria-pressed", String(compared));
  find('[data-action="star"]').setAttribute("aria-pressed", String(shown.starred));
  const then = takeWords[shown.id];
  find('[data-action="use-words"]').hidden = !then || (then.action === frame.action && then.location === frame.location);
}

/**
 * @param {HTMLElement} figure @param {Take} take @param {string} words @param {Result} result
 * @param {boolean} raw whether the mask shows its tokens
 * @param {string | null} note null for no caption
 */
function paintFigure(figure, take, words, result, raw, note) {
  paintShot(part(figure, ".tl-shot"), take, words, { raw });
  const caption = part(figure, "figcaption");
  caption.hidden = note === null;
  const position = `Take ${result.takes.indexOf(take) + 1}`;
  setText(caption, note ? `${position}, ${note.toLowerCase()}` : position);
}

/** Show the takes as a strip of small pictures. @param {HTMLElement} film @param {Result} result @param {Take} chosen @param {Take} shown */
function paintFilm(film, result, chosen, shown) {
  film.hidden = result.takes.length < 2;
  const known = result.takes.map((take) => `${take.id}${take.starred}`).join();
  if (film.dataset.takes !== known) {
    film.dataset.takes = known;
    film.replaceChildren(...result.takes.map(makeFilmTake));
  }
  result.takes.forEach((take, index) => {
    const control = film.children[index];
    control.setAttribute("aria-selected", String(take === shown));
    control.classList.toggle("tl-in-use", take === chosen);
  });
}

/** @param {Take} take @param {number} index */
function makeFilmTake(take, index) {
  const picture = make("img", { alt: "", draggable: "false" });
  setSource(picture, take.image);
  const mark = icon("star");
  mark.toggleAttribute("hidden", !take.starred);
  return make(
    "button",
    { type: "button", role: "option", class: "tl-film-take", "data-action": "show-take", "data-take": take.id, "aria-label": `Take ${index + 1}${take.starred ? ", a favourite" : ""}` },
    picture,
    mark,
  );
}

/** @param {any} link @param {string} address @param {string} name */
function setDownload(link, address, name) {
  link.href = address;
  link.download = name;
}
