// The character's reference picture: upload, mask, use and removal; and character files.

/** @import { Store } from "./store.js" */

import { strengthOf } from "./state/models.js";
import { editCharacter } from "./state/board.js";

const CHARACTER_FILE = /\.character$/i;

/**
 * @param {object} parts
 * @param {HTMLElement} parts.root
 * @param {Store} parts.store
 * @param {(name: string, data?: Record<string, unknown>) => Promise<any>} parts.ask asks the server; gives null after a problem
 * @param {(file: File) => Promise<{ path: string }>} parts.upload
 * @param {import("./editing.js").Editing} parts.editing
 * @param {(text: string, label?: string, action?: () => void) => void} parts.say
 * @param {import("./elements/mask_editor.js").MaskEditor} parts.maskEditor
 */
export function makePictures({ root, store, ask, upload, editing, say, maskEditor }) {
  // One question at a time, so that answers come in their order.
  /** @type {Promise<unknown>} */
  let last = Promise.resolve();

  /** Return a check of whether the board is still the one on the page. */
  function staying() {
    const { project } = store.state.board;
    return () => project === store.state.board.project;
  }

  /** @param {string} name @param {Record<string, unknown>} data @param {string} busy shown meanwhile */
  function inTurn(name, data = {}, busy = "") {
    const stays = staying();
    if (busy) store.set({ busy });
    const next = last.then(() => (stays() ? ask(name, data) : null));
    last = next.catch(() => {}); // whoever asked hears of it
    return next.finally(() => busy && stays() && store.set({ busy: "" }));
  }

  /** @param {string} fault */
  function complain(fault) {
    store.set({ reference: { ...store.state.reference, fault }, busy: "", tab: "upload" });
  }

  /** Upload a picture of the character, or a character's file. @param {File} file */
  async function bring(file) {
    const isCharacter = CHARACTER_FILE.test(file.name);
    const { reference, setup, tab } = store.state;
    const most = setup.limits.upload;
    if (file.size > most) {
      complain(`${file.name} is larger than ${Math.round(most / 1e6)} MB. Choose a smaller file.`);
      return;
    }
    const busy = isCharacter ? "Loading the character\u2026" : "Looking for the character\u2026";
    store.set({ busy, reference: { ...reference, fault: "" }, tab: isCharacter ? tab : "upload" });
    const stays = staying();
    let path;
    try {
      ({ path } = await upload(file));
    } catch {
      if (stays()) complain(`${file.name} could not be uploaded. Check the connection, then try again.`);
      return;
    }
    if (!stays()) {
      say(`${file.name} was not used: its storyboard is no longer open.`);
      return;
    }
    if (isCharacter) await loadCharacter(path);
    else await inTurn("upload_picture", { path }, busy);
    if (stays()) store.set({ busy: "" });
  }

  /** @param {string} path */
  async function loadCharacter(path) {
    const { board, reference } = store.state;
    const before = { character: board.character, name: reference.used?.name ?? "" };
    if (!(await inTurn("load_character", { path }))) return;
    say(`${store.state.board.character.name || "Character"} loaded.`, "Undo", async () => {
      editing.change((now) => editCharacter(now, before.character), { words: "Character loaded", soon: true });
      await inTurn("set_reference", { name: before.name });
    });
  }

  /** Use the picture, with all strokes on its mask. */
  async function use() {
    const { draft } = store.state.reference;
    if (!draft) return;
    const strokes = maskEditor.finish(draft.id);
    if (!(await inTurn("use_picture", { draft: draft.id, strokes }, "Preparing the picture\u2026"))) return;
    const used = strengthOf(store.state) !== null;
    say(used ? "Frames are generated with this picture." : "Reference picture saved. This model cannot use it.");
    keepFocus();
  }

  async function unuse() {
    const name = store.state.reference.used?.name;
    if (!name || !(await inTurn("set_reference", { name: "" }))) return;
    say("Reference picture removed.", "Undo", () => inTurn("set_reference", { name }));
    keepFocus();
  }

  async function discard() {
    const { draft } = store.state.reference;
    if (draft && (await inTurn("discard_picture", { draft: draft.id }))) keepFocus();
  }

  /** Find the figure with the network; its mask replaces the strokes. */
  async function search() {
    const { reference, setup } = store.state;
    if (reference.draft) await inTurn("find_figure", { draft: reference.draft.id }, `${setup.matting} is looking for the character\u2026`);
  }

  /** Edit the mask of the picture in use. */
  async function retouch() {
    if (await inTurn("reopen_picture")) await mend();
  }

  /** Edit the mask of the picture that is not in use yet. */
  async function mend() {
    const { draft } = store.state.reference;
    if (!draft) return;
    try {
      await maskEditor.open(draft);
    } catch (fault) {
      if (!(fault instanceof DOMException)) throw fault;
      complain("The picture could not be loaded. Check the connection, then try again.");
    }
  }

  /** Move the focus to the tab where the button that had it is gone. */
  function keepFocus() {
    const focused = document.activeElement;
    if (!focused || focused === document.body || !focused.checkVisibility()) {
      /** @type {HTMLElement | null} */ (root.querySelector('[role="tab"][aria-selected="true"]'))?.focus();
    }
  }

  return {
    bring,
    use,
    unuse,
    discard,
    search,
    retouch,
    mend,
    sendStrokes: async (/** @type {string} */ draft, /** @type {string} */ strokes) =>
      Boolean(await inTurn("edit_mask", { draft, strokes })),
  };
}
