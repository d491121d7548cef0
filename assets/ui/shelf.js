// Boards as a whole: the shelf, the bin, boards as files, and a board that was deleted elsewhere.

/** @import { BoardInfo } from "./types.js" */
/** @import { Store } from "./store.js" */
/** @import { Call } from "./call.js" */

import { paintSaveAs } from "./elements/save_as.js";
import { paintShelf } from "./elements/shelf.js";
import { knownBoards } from "./memory.js";
import { withFault } from "./state/faults.js";
import { isBoardFile, titleOf } from "./state/shelf.js";
import { plural } from "./words.js";

/**
 * @typedef {object} Shelf
 * @property {"boards" | "bin"} view
 * @property {BoardInfo[]} boards
 * @property {BoardInfo[]} bin
 * @property {number} deleted the number of boards in the bin
 * @property {string} query
 * @property {string} current the board on the page
 * @property {Record<string, string>} doing what is done to a board: "renaming", "deleted" or "asked"
 * @property {string} fault
 * @property {string} busy shown meanwhile
 */

const NO_CONNECTION = "The connection to the server is lost. Try again when it is back.";

/**
 * @param {object} parts
 * @param {Store} parts.store
 * @param {Call} parts.call
 * @param {string} parts.base address of the application
 * @param {HTMLDialogElement} parts.dialog
 * @param {HTMLDialogElement} parts.saveAs
 * @param {(file: File) => Promise<{ path: string }>} parts.upload
 * @param {import("./editing.js").Editing} parts.editing
 * @param {() => Promise<boolean>} parts.flush sends unsent changes
 * @param {(how: "open" | "new", project?: string) => Promise<void>} parts.open
 * @param {(text: string, label?: string, action?: () => void) => void} parts.say
 */
export function makeShelfParts({ store, call, base, dialog, saveAs, upload, editing, flush, open, say }) {
  const { listed } = store.state.setup;
  const search = /** @type {HTMLInputElement} */ (dialog.querySelector(".tl-search"));
  const list = /** @type {HTMLElement} */ (dialog.querySelector(".tl-shelf-list"));
  /** @type {Shelf} */
  let shelf = { view: "boards", boards: [], bin: [], deleted: 0, query: "", current: "", doing: {}, fault: "", busy: "" };
  // Boards that were made or restored here, for where boards are not listed.
  /** @type {string[]} */
  const made = [];

  /** @param {Partial<Shelf>} changes */
  function set(changes) {
    shelf = { ...shelf, ...changes };
    paintShelf(dialog, shelf, listed);
  }

  const titled = (/** @type {string} */ id) => titleOf([...shelf.boards, ...shelf.bin].find((board) => board.id === id) ?? /** @type {any} */ ({ title: "" }));

  /** Ask the server; a problem is shown in the dialog. @param {string} name @param {object} data @returns {Promise<any>} */
  async function ask(name, data = {}) {
    const answer = await call(name, /** @type {any} */ (data));
    if ("ok" in answer) {
      set({ fault: "" });
      return answer.ok;
    }
    set({ fault: "problem" in answer ? `${answer.problem} ${answer.remedy}` : NO_CONNECTION });
    return null;
  }

  const withPictures = (/** @type {any[]} */ rows) => rows.map((row) => ({ ...row, picture: row.picture && `${base}/tl/${row.picture.at}` }));

  /** Load the list anew; boards that were just deleted keep their place, with Undo. */
  async function load() {
    const current = store.state.board.project;
    const wanted = listed ? [current] : [...new Set([current, ...made, ...knownBoards()])];
    const answers = await Promise.all(wanted.map((project) => ask("boards", { project })));
    if (answers.includes(null)) return;
    const rows = withPictures(answers.flatMap(({ boards }) => boards));
    const gone = shelf.boards.filter(({ id }) => shelf.doing[id] === "deleted");
    const boards = [...rows, ...gone].sort((one, other) => (one.modified < other.modified ? 1 : -1));
    set({ boards, deleted: answers[0].deleted, current });
  }

  async function show() {
    await flush();
    set({ view: "boards", query: "", doing: {}, fault: "", busy: "", current: store.state.board.project });
    search.value = "";
    await load();
    if (!dialog.open) dialog.showModal();
    list.scrollTop = 0;
    if (listed && matchMedia("(hover: hover)").matches) search.focus();
  }

  async function showBin() {
    const answer = await ask("bin");
    if (answer) set({ view: "bin", bin: withPictures(answer.bin), deleted: answer.bin.length, doing: {}, query: "" });
    search.value = "";
  }

  /** @param {string} id @param {string} what */
  function doing(id, what) {
    const { [id]: _, ...others } = shelf.doing;
    set({ doing: what ? { ...others, [id]: what } : others });
  }

  const entry = (/** @type {string} */ id) => dialog.querySelector(`[data-board="${CSS.escape(id)}"]`);
  const titleField = (/** @type {string} */ id) => /** @type {HTMLInputElement | null | undefined} */ (entry(id)?.querySelector("input"));

  /** @param {string} id @param {string} action */
  function focusIn(id, action) {
    const control = /** @type {HTMLElement | null | undefined} */ (entry(id)?.querySelector(`[data-action="${action}"]`));
    control?.focus();
  }

  /** @param {string} id */
  function rename(id) {
    doing(id, "renaming");
    const input = titleField(id);
    if (!input) return;
    input.focus();
    input.select();
    input.addEventListener("keydown", (event) => {
      if (!["Enter", "Escape"].includes(event.key)) return;
      event.preventDefault();
      event.stopPropagation();
      if (event.key === "Enter") renamed(id);
      else doing(id, "");
      focusIn(id, "rename-board");
    });
    // Not at once: the field also loses the focus where it is just taken away.
    input.addEventListener("blur", () => setTimeout(() => shelf.doing[id] === "renaming" && renamed(id)));
  }

  /** Store the title that was typed. @param {string} id */
  async function renamed(id) {
    const title = titleField(id)?.value.trim();
    if (title === undefined) return; // the shelf shows something else by now
    const before = shelf.boards.find((board) => board.id === id)?.title;
    const { [id]: _, ...others } = shelf.doing;
    set({ boards: shelf.boards.map((board) => (board.id === id ? { ...board, title } : board)), doing: others });
    if (title === before) return;
    if (id === store.state.board.project) editing.change((board) => ({ ...board, title }), { words: "Title edited", soon: true });
    else if (!(await ask("rename_board", { project: id, title }))) await load();
  }

  /** @param {string} id */
  async function copy(id) {
    if (id === store.state.board.project) await flush();
    set({ busy: `Duplicating ${titled(id)}\u2026` });
    const answer = await ask("duplicate_board", { project: id });
    if (answer) made.push(answer.project);
    set({ busy: "" });
    if (!answer) return;
    await load();
    entry(answer.project)?.scrollIntoView({ block: "nearest" });
    focusIn(answer.project, "open");
  }

  /** @param {string} id */
  async function remove(id) {
    const current = id === store.state.board.project;
    if (current) await flush();
    if (!(await ask("delete_board", { project: id }))) return;
    set({ deleted: shelf.deleted + 1 });
    doing(id, "deleted");
    focusIn(id, "restore-board");
    if (!current) return;
    await open("new");
    set({ current: store.state.board.project });
  }

  /** Take a board out of the bin; one that was on the page until now is shown again. @param {string} id */
  async function restore(id) {
    if (!(await ask("restore_board", { project: id }))) return;
    made.push(id);
    set({ deleted: shelf.deleted - 1, bin: shelf.bin.filter((board) => board.id !== id) });
    doing(id, "");
    if (shelf.view === "boards") focusIn(id, "open");
    else say(`${titled(id)} is back among the storyboards.`);
    await load();
  }

  /** @param {string} id */
  async function empty(id) {
    if (!(await ask("empty_board", { project: id }))) return;
    set({ deleted: shelf.deleted - 1, bin: shelf.bin.filter((board) => board.id !== id) });
    doing(id, "");
  }

  // ---- files

  /** Open storyboards from files. @param {File[]} files */
  async function bring(files) {
    dialog.close();
    const opened = [];
    const notes = [];
    for (const file of files) {
      const answer = await bringOne(file);
      if (!answer) return;
      opened.push(...answer.boards);
      notes.push(...answer.notes);
    }
    made.push(...opened.map(({ project }) => project));
    await open("open", opened[0].project);
    const names = files.map(({ name }) => name).join(", ");
    if (notes.length) store.set(withFault(store.state, { problem: `${names} was opened, but not all of it.`, remedy: notes.join(" "), kind: "note" }));
    if (opened.length > 1) say(`${plural(opened.length, "storyboard")} were opened from ${names}.`, "Show", show);
    else say(`${names} opened as a new storyboard.`);
  }

  /** @param {File} file */
  async function bringOne(file) {
    const most = store.state.setup.limits.board;
    const refuse = (/** @type {string} */ problem, /** @type {string} */ remedy) => store.set(withFault(store.state, { problem, remedy }));
    if (file.size > most) return refuse(`${file.name} is larger than ${Math.round(most / 1e6)} MB.`, "Open it with \u201cpython -m storyboard import\u201d.");
    say(`Opening ${file.name}\u2026`);
    let path;
    try {
      ({ path } = await upload(file));
    } catch {
      return refuse(`${file.name} could not be uploaded.`, "Check the connection, then try again.");
    }
    const answer = await call("import_board", { path });
    if ("ok" in answer) return answer.ok;
    return "problem" in answer ? refuse(answer.problem, answer.remedy) : store.set({ connection: "lost" });
  }

  search.addEventListener("input", () => set({ query: search.value }));

  const boardOf = (/** @type {HTMLElement} */ control) => /** @type {HTMLElement} */ (control.closest("[data-board]")).dataset.board ?? "";
  const on = (/** @type {(id: string) => void} */ act) => (/** @type {unknown} */ _, /** @type {HTMLElement} */ control) => act(boardOf(control));

  return {
    isBoardFile,
    bring,
    actions: {
      projects: show,
      shelf: async () => {
        set({ view: "boards", query: "", doing: {} });
        search.value = "";
        await load();
      },
      bin: showBin,
      open: (/** @type {unknown} */ _, /** @type {HTMLElement} */ control) => {
        dialog.close();
        open("open", control.dataset.project);
      },
      "pick-board": () => /** @type {HTMLElement} */ (dialog.querySelector('[data-file="board"]')).click(),
      "rename-board": on(rename),
      "rename-done": on((id) => shelf.doing[id] === "renaming" && renamed(id)),
      "copy-board": on(copy),
      "delete-board": on(remove),
      "restore-board": on(restore),
      "ask-empty": on((id) => {
        doing(id, "asked");
        focusIn(id, "keep-binned");
      }),
      "keep-binned": on((id) => doing(id, "")),
      "empty-board": on(empty),
      "save-as": () => {
        paintSaveAs(saveAs, store.state);
        saveAs.showModal();
      },
    },
  };
}
