// The shelf: all boards with a picture each, and the bin.

/** @import { BoardInfo } from "../types.js" */
/** @import { Shelf } from "../shelf.js" */

import { button, icon, make, setText } from "../dom.js";
import { boardWords, countWords, matching, titleOf } from "../state/shelf.js";

export function makeShelf() {
  return make(
    "dialog",
    { class: "tl-dialog tl-shelf", "aria-labelledby": "tl-shelf-title" },
    make(
      "header",
      { class: "tl-row tl-shelf-head" },
      button("shelf", "left", { hint: "Back to the storyboards", kind: "tl-shelf-back" }),
      make("h2", { id: "tl-shelf-title" }),
      make("input", { type: "search", class: "tl-input tl-search", dir: "auto", placeholder: "Search", "aria-label": "Search the storyboards", autocomplete: "off" }),
      button("pick-board", "upload", { label: "Open a file", hint: "Open a ZIP, a storyboard.json or a story file (or drop it on the page)" }),
      button("bin", "trash", { label: "Bin", hint: "Deleted storyboards" }),
      button("shut", "close", { hint: "Close" }),
    ),
    make("p", { class: "tl-shelf-fault", role: "alert", hidden: true }),
    make("p", { class: "tl-hint tl-shelf-count", role: "status" }),
    make("div", { class: "tl-shelf-list" }),
    make("input", { type: "file", hidden: true, multiple: true, "data-file": "board", accept: ".zip,.json,.yaml,.yml,.txt" }),
  );
}

/** @param {HTMLElement} dialog @param {Shelf} shelf @param {boolean} listed whether all boards are listed */
export function paintShelf(dialog, shelf, listed) {
  const inBin = shelf.view === "bin";
  const find = (/** @type {string} */ name) => /** @type {HTMLElement} */ (dialog.querySelector(name));
  const shown = inBin ? shelf.bin : shelf.boards;
  const found = matching(shown, shelf.query);
  setText(find("h2"), inBin ? "Bin" : listed || shown.length > 1 ? "Storyboards" : "This storyboard");
  dialog.classList.toggle("tl-short", !listed);
  find(".tl-shelf-back").hidden = !inBin;
  find('[data-action="pick-board"]').hidden = inBin;
  find('[data-action="bin"]').hidden = inBin || !listed || !shelf.deleted;
  setText(find('[data-action="bin"] span'), `Bin (${shelf.deleted})`);
  find(".tl-search").hidden = !listed;
  const fault = find(".tl-shelf-fault");
  fault.hidden = !shelf.fault;
  setText(fault, shelf.fault);
  setText(find(".tl-shelf-count"), wordsAbove(shelf, shown, found, listed));
  arrange(find(".tl-shelf-list"), found, shelf);
}

/** @param {Shelf} shelf @param {BoardInfo[]} shown @param {BoardInfo[]} found @param {boolean} listed */
function wordsAbove(shelf, shown, found, listed) {
  if (shelf.busy) return shelf.busy;
  if (!shown.length) {
    if (shelf.view === "bin") return "The bin is empty.";
    return listed ? "Nothing has been saved yet." : "This storyboard is saved with its first change.";
  }
  const left = found.filter(({ id }) => shelf.doing[id] !== "deleted");
  return listed || shelf.view === "bin" ? countWords(left.length, shelf.query) : "";
}

/**
 * Show an entry for each board, in order; an entry that has not changed stays, with its picture and focus.
 * @param {HTMLElement} list @param {BoardInfo[]} boards @param {Shelf} shelf
 */
function arrange(list, boards, shelf) {
  const shown = /** @type {HTMLElement[]} */ ([...list.children]);
  const known = new Map(shown.map((entry) => [entry.dataset.board, entry]));
  boards.forEach((board, index) => {
    const state = JSON.stringify([board, shelf.view, board.id === shelf.current, shelf.doing[board.id] ?? ""]);
    const old = known.get(board.id);
    known.delete(board.id);
    const entry = old?.dataset.state === state ? old : makeEntry(board, shelf);
    entry.dataset.state = state;
    if (old && old !== entry) old.replaceWith(entry);
    if (list.children[index] !== entry) list.insertBefore(entry, list.children[index] ?? null);
  });
  known.forEach((entry) => entry.remove());
}

/** @param {BoardInfo} board @param {Shelf} shelf */
function makeEntry(board, shelf) {
  const doing = shelf.doing[board.id] ?? "";
  const current = board.id === shelf.current;
  const entry = make("article", { class: "tl-entry", "data-board": board.id, "aria-label": titleOf(board), "data-doing": doing || null, "aria-current": current ? "true" : null, "data-damaged": board.fault ? "" : null });
  if (doing === "deleted") entry.append(makePicture(board, false), ...makeDeleted(board));
  else if (doing === "asked") entry.append(makePicture(board, false), ...makeQuestion(board));
  else entry.append(...(shelf.view === "bin" ? makeBinned(board) : makeKept(board, current, doing === "renaming")));
  return entry;
}

const makeTitle = (/** @type {BoardInfo} */ board) => make("strong", { text: titleOf(board), dir: "auto" });

/** @param {BoardInfo} board @param {boolean} current @param {boolean} renaming */
function makeKept(board, current, renaming) {
  const title = renaming
    ? make("input", { type: "text", class: "tl-input tl-rename", dir: "auto", value: board.title, maxlength: 500, "aria-label": "New title" })
    : makeTitle(board);
  const words = make("span", { class: "tl-entry-words", text: boardWords(board, new Date()) });
  const picture = makePicture(board, current);
  const open = (/** @type {Node[]} */ ...parts) => make("button", { type: "button", class: "tl-entry-open", "data-action": "open", "data-project": board.id, "aria-label": renaming ? `Open ${titleOf(board)}` : null, title: `Open ${titleOf(board)}` }, ...parts);
  const remove = button("delete-board", "trash", { hint: "Delete: move to the bin" });
  if (board.fault) return [picture, title, words, make("div", { class: "tl-row tl-entry-tools" }, remove)];
  return [
    ...(renaming ? [open(picture), title, words] : [open(picture, title, words)]),
    make(
      "div",
      { class: "tl-row tl-entry-tools" },
      renaming ? button("rename-done", "check", { hint: "Keep this title" }) : button("rename-board", "pencil", { hint: "Rename" }),
      button("copy-board", "copy", { hint: "Duplicate, with all takes" }),
      remove,
    ),
  ];
}

/** @param {BoardInfo} board */
function makeBinned(board) {
  return [
    makePicture(board, false),
    makeTitle(board),
    make("span", { class: "tl-entry-words", text: boardWords(board, new Date()) }),
    make(
      "div",
      { class: "tl-row tl-entry-tools" },
      button("restore-board", "undo", { label: "Restore" }),
      make("span", { class: "tl-gap" }),
      button("ask-empty", "trash", { hint: "Delete for good" }),
    ),
  ];
}

/** @param {BoardInfo} board */
function makeDeleted(board) {
  return [
    make("p", { class: "tl-entry-note" }, makeTitle(board), " is in the bin."),
    make("div", { class: "tl-row tl-entry-tools" }, button("restore-board", "undo", { label: "Undo", hint: "Take it out of the bin" })),
  ];
}

/** @param {BoardInfo} board */
function makeQuestion(board) {
  return [
    make("p", { class: "tl-entry-note" }, "Delete ", makeTitle(board), " with all its pictures for good? Nobody can bring it back."),
    make(
      "div",
      { class: "tl-row tl-entry-tools" },
      button("empty-board", "", { label: "Delete for good", kind: "tl-stop" }),
      button("keep-binned", "", { label: "Keep" }),
    ),
  ];
}

/** @param {BoardInfo} board @param {boolean} current */
function makePicture(board, current) {
  return make(
    "span",
    { class: "tl-entry-picture" },
    board.picture ? make("img", { src: board.picture, alt: "", loading: "lazy", decoding: "async", draggable: "false" }) : icon("picture"),
    current ? make("span", { class: "tl-badge", text: "Open now" }) : null,
  );
}
