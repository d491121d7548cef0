// Input of a person: clicks, keys, text, drags, files.

/** @import { Control } from "./dom.js" */
/** @import { App } from "./app.js" */
/** @import { Board } from "./types.js" */
/** @import { Actions } from "./actions.js" */

import { afterPress, controls, part, valueOf } from "./dom.js";
import { fieldKey, refusalOf, withoutRefusal } from "./state/bounds.js";
import { editCharacter, editFrame, editSettings, editStyle, indexOf, moveFrame } from "./state/board.js";
import { modelOf, strengthOf, withModel } from "./state/models.js";

/** @type {Record<string, number>} */
const STEPS = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 };

/** Return the element of an event; of events of the document itself, it is no element. */
const targetOf = (/** @type {Event} */ event) => /** @type {Control} */ (event.target);

/** Return the element around it that a selector names. @param {Event} event @param {string} selector */
const around = (event, selector) => /** @type {HTMLElement | null | undefined} */ (targetOf(event).closest?.(selector));

const isTyping = (/** @type {Event} */ event) => targetOf(event).matches?.("input:not([type=checkbox], [type=range]), textarea, select");

/** @param {MouseEvent} event @param {HTMLElement} box */
function isBeside({ clientX, clientY }, box) {
  const { left, right, top, bottom } = box.getBoundingClientRect();
  return clientX < left || clientX > right || clientY < top || clientY > bottom;
}

/** @param {App} app @param {Actions} actions */
export function listen(app, actions) {
  const { root, store, editing, page, pictures, saving } = app;

  // ---- fields

  /** Edit the part of the board that a control stands for. @param {Control} control */
  function edit(control) {
    const closest = (/** @type {string} */ selector) => /** @type {HTMLElement | null} */ (control.closest(selector));
    const id = closest("[data-frame]")?.dataset.frame ?? "";
    const style = closest("[data-style]")?.dataset.style;
    const name = control.dataset.field ?? "";
    const value = valueOf(control); // before anything is painted
    const refused = control.type === "number" ? refusal(control) : "";
    const key = fieldKey(id, name);
    const { refused: before } = store.state;
    if (refused) {
      store.set({ refused: { ...before, [key]: refused } });
      return;
    }
    // A model brings its own steps.
    const settled = name === "settings.model" ? fieldKey("", "settings.steps") : key;
    if (settled in before) store.set({ refused: withoutRefusal(before, settled) });
    const where = `${id || style || ""} ${name}`;
    const typing = control.type === "checkbox" || control.tagName === "SELECT" ? "" : where;
    const number = indexOf(store.state.board, id) + 1;
    const words = id ? `Frame ${number} edited` : style ? "Style edited" : name === "title" ? "Title edited" : name.startsWith("settings") ? "Settings changed" : "Character edited";
    editing.change((board) => edited(board, { id, style, name, value }), { words, frame: id || null, typing });
  }

  /** @param {Control} control */
  function refusal({ dataset, value, min, max, validity }) {
    return refusalOf(dataset.field ?? "", value, { lowest: Number(min), highest: Number(max), isNumber: !validity.badInput });
  }

  /** @param {Board} board @param {{ id: string, style: string | undefined, name: string, value: any }} change @returns {Board} */
  function edited(board, { id, style, name, value }) {
    if (style) return editStyle(board, Number(style), { [name]: value });
    if (id) return editFrame(board, id, { [name]: name === "reference_strength" && value === strengthOf(store.state) ? null : value });
    const [part, key] = name.split(".");
    const model = modelOf(board, store.state.setup);
    if (!key) return { ...board, [part]: value };
    if (part === "character") return editCharacter(board, { [key]: key === "strength" && value === model?.subject?.strength ? null : value });
    if (key === "size") {
      const [width, height] = value.split("x").map(Number);
      return editSettings(board, { width, height });
    }
    if (key === "model") return withModel(board, store.state.setup, value);
    return editSettings(board, { [key]: key === "guidance" && value === model?.guidance ? null : value });
  }

  // ---- keys

  /** @param {KeyboardEvent} event */
  function pressed(event) {
    if (!store.state.board || event.isComposing) return;
    const dialog = root.querySelector("dialog[open]");
    const command = event.ctrlKey || event.metaKey;
    const card = around(event, "[data-frame]");
    if (command && event.key === "Enter" && !dialog) {
      event.preventDefault();
      if (card) actions.redo(card.dataset.frame);
      else actions.generate();
    } else if (command && ["z", "y"].includes(event.key.toLowerCase()) && !isTyping(event) && !dialog) {
      event.preventDefault();
      if (event.key.toLowerCase() === "y" || event.shiftKey) editing.redo();
      else editing.undo();
    } else if (event.key === "Escape" && !dialog) {
      if (!actions["hide-choices"]()) actions.stop();
    } else if (event.key === "m" && !isTyping(event) && !command && !event.altKey) {
      actions["next-view"]();
    } else if (dialog === page.viewer && event.key in STEPS && !command && !event.altKey) {
      if (STEPS[event.key] < 0) actions.previous();
      else actions.next();
    } else if (card && event.altKey && event.key in STEPS && !isTyping(event)) {
      event.preventDefault();
      actions.move(card.dataset.frame, STEPS[event.key]);
    } else if (targetOf(event).role === "tab" && ["ArrowLeft", "ArrowRight"].includes(event.key)) {
      event.preventDefault();
      const other = part(root, '[role="tab"]:not([aria-selected="true"])');
      other.click();
      other.focus();
    }
  }

  // ---- cards that are dragged; touch cannot drag this way, it has the buttons

  /** The frame that is dragged; empty for none. */
  let dragged = "";

  /** @param {DragEvent} event @param {HTMLElement} card */
  function dropSide(event, card) {
    const box = card.getBoundingClientRect();
    return event.clientX < box.left + box.width / 2 ? "before" : "after";
  }

  function clearDrop() {
    for (const card of controls(root, "[data-drop]")) delete card.dataset.drop;
  }

  /** @type {Record<string, (event: DragEvent) => void>} */
  const DRAGGING = {
    dragstart: (event) => {
      const card = around(event, ".tl-card-head")?.parentElement;
      if (!card || !event.dataTransfer) return;
      dragged = card.dataset.frame ?? "";
      event.dataTransfer.effectAllowed = "move";
      event.dataTransfer.setData("text/plain", dragged);
      event.dataTransfer.setDragImage(card, 24, 24);
    },
    dragover: (event) => {
      const card = around(event, "[data-frame]");
      if (!dragged || !card) return;
      event.preventDefault();
      clearDrop();
      if (card.dataset.frame !== dragged) card.dataset.drop = dropSide(event, card);
    },
    drop: (event) => {
      const card = around(event, "[data-frame]");
      if (!dragged || !card) return;
      event.preventDefault();
      const id = dragged;
      const from = indexOf(store.state.board, id);
      const to = indexOf(store.state.board, card.dataset.frame ?? "") + (dropSide(event, card) === "after" ? 1 : 0);
      const words = `Frame ${from + 1} moved`;
      editing.change((board) => moveFrame(board, id, to > from ? to - 1 : to), { words, frame: id, soon: true });
    },
    dragend: () => {
      dragged = "";
      clearDrop();
    },
  };

  // ---- files that are dropped or pasted anywhere on the page

  /** Open storyboards; use any other file for the character. @param {File[]} files */
  function bring(files) {
    const boards = files.filter(({ name }) => app.shelf.isBoardFile(name));
    if (boards.length) app.shelf.bring(boards);
    else if (files.length) pictures.bring(files[0]);
  }

  const hasFiles = (/** @type {DragEvent} */ event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let leaving;

  /** @type {Record<string, (event: DragEvent) => void>} */
  const DROPPING = {
    dragover: (event) => {
      if (!event.dataTransfer || !hasFiles(event)) return;
      event.preventDefault();
      event.dataTransfer.dropEffect = "copy";
      root.dataset.dropping = "true";
      clearTimeout(leaving);
      leaving = setTimeout(() => delete root.dataset.dropping, 300);
    },
    drop: (event) => {
      if (!event.dataTransfer || !hasFiles(event)) return;
      event.preventDefault();
      delete root.dataset.dropping;
      bring([...event.dataTransfer.files]);
    },
  };

  /** @param {ClipboardEvent} event */
  function pasted(event) {
    if (!event.clipboardData) return;
    const { files, types } = event.clipboardData;
    const file = [...files].find(({ type }) => type.startsWith("image/"));
    // Office programs copy text also as a picture.
    const meansWords = isTyping(event) && types.includes("text/plain");
    if (!file || meansWords) return;
    event.preventDefault();
    pictures.bring(file);
  }

  // ---- listeners

  for (const [target, listeners] of /** @type {const} */ ([[root, DRAGGING], [document, DROPPING]])) {
    for (const [name, listener] of Object.entries(listeners)) {
      target.addEventListener(name, (event) => listener(/** @type {DragEvent} */ (event)));
    }
  }
  const growing = CSS.supports("field-sizing", "content");
  root.addEventListener("input", (event) => {
    const target = targetOf(event);
    if (!growing && target.matches("textarea")) {
      target.style.height = "auto";
      target.style.height = `${target.scrollHeight + 2}px`;
    }
    if (target.dataset.field) edit(target);
  });
  root.addEventListener("change", (event) => {
    const target = targetOf(event);
    const purpose = target.dataset.file;
    const files = [...((purpose && target.files) || [])];
    if (!files.length) return;
    target.value = ""; // so that the same file can be chosen again
    if (purpose === "board") app.shelf.bring(files);
    else pictures.bring(files[0]);
  });
  /** @type {EventTarget | null} */
  let pressedOn = null;
  root.addEventListener("pointerdown", (event) => (pressedOn = event.target));
  root.addEventListener("click", (event) => {
    const control = around(event, "[data-action]");
    const dialog = event.target;
    if (dialog instanceof HTMLDialogElement) {
      // Beside the dialog, and not where a text was selected out of it.
      if (pressedOn === dialog && isBeside(event, dialog) && !dialog.matches(".tl-mender")) dialog.close();
    } else if (control) actions[control.dataset.action ?? ""]?.(around(event, "[data-frame]")?.dataset.frame, control);
  });
  root.addEventListener("focusin", (event) => {
    if (around(event, ".tl-known")) store.set({}); // to suggest phrases
  });
  root.addEventListener("focusout", () => {
    saving.flush();
    // Words are checked to the last one, once nobody types there.
    afterPress(() => store.set({}));
  });
  document.addEventListener("keydown", pressed);
  document.addEventListener("paste", pasted);
  document.addEventListener("pointerdown", () => saving.flush(), true);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) saving.flush();
    else app.look();
  });
  window.addEventListener("pagehide", saving.keep);
}
