// Input of a person: clicks, keys, text, drags, files.

/** @import { App } from "./main.js" */
/** @import { Actions } from "./actions.js" */

import { afterPress, valueOf } from "./dom.js";
import { fieldKey, refusalOf, withoutRefusals } from "./state/bounds.js";
import { editCharacter, editFrame, editSettings, editStyle, indexOf, moveFrame } from "./state/board.js";
import { modelOf, strengthOf } from "./state/models.js";

const STEPS = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 };

const isTyping = (target) => target.matches?.("input:not([type=checkbox], [type=range]), textarea, select");

/** @param {App} app @param {Actions} actions */
export function listen(app, actions) {
  const { root, store, editing, page, pictures, saving } = app;

  // ---- fields

  /** Edit the part of the board that a control stands for. */
  function edit(control) {
    const id = control.closest("[data-frame]")?.dataset.frame;
    const style = control.closest("[data-style]")?.dataset.style;
    const name = control.dataset.field;
    const value = valueOf(control); // before anything is painted
    const refused = control.type === "number" ? refusal(control) : "";
    const key = fieldKey(id, name);
    const { refused: before } = store.state;
    if (refused) {
      store.set({ refused: { ...before, [key]: refused } });
      return;
    }
    // A model brings its own steps.
    const settled = name === "settings.model" ? [fieldKey(undefined, "settings.steps")] : [key];
    if (settled.some((other) => other in before)) store.set({ refused: withoutRefusals(before, ...settled) });
    const where = `${id ?? style ?? ""} ${name}`;
    const typing = control.type === "checkbox" || control.tagName === "SELECT" ? "" : where;
    const number = indexOf(store.state.board, id) + 1;
    const words = id ? `Frame ${number} edited` : style ? "Style edited" : name === "title" ? "Title edited" : name.startsWith("settings") ? "Settings changed" : "Character edited";
    editing.change((board) => edited(board, { id, style, name, value }), { words, frame: id ?? null, typing });
  }

  function refusal({ dataset, value, min, max, validity }) {
    return refusalOf(dataset.field, value, { lowest: Number(min), highest: Number(max), isNumber: !validity.badInput });
  }

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
    if (key === "model") return app.withModel(board, value);
    return editSettings(board, { [key]: key === "guidance" && value === model?.guidance ? null : value });
  }

  // ---- keys

  function pressed(event) {
    if (!store.state.board) return;
    const dialog = root.querySelector("dialog[open]");
    const command = event.ctrlKey || event.metaKey;
    const card = event.target.closest?.("[data-frame]");
    if (command && event.key === "Enter") {
      event.preventDefault();
      if (card) actions.redo(card.dataset.frame);
      else actions.generate();
    } else if (command && ["z", "y"].includes(event.key.toLowerCase()) && !isTyping(event.target) && !dialog) {
      event.preventDefault();
      if (event.key.toLowerCase() === "y" || event.shiftKey) editing.redo();
      else editing.undo();
    } else if (event.key === "Escape" && !dialog) {
      actions.stop();
    } else if (event.key === "m" && !isTyping(event.target) && !command && !event.altKey) {
      actions["next-view"]();
    } else if (dialog === page.viewer && event.key in STEPS) {
      if (STEPS[event.key] < 0) actions.previous();
      else actions.next();
    } else if (card && event.altKey && event.key in STEPS && !isTyping(event.target)) {
      event.preventDefault();
      actions.move(card.dataset.frame, STEPS[event.key]);
    } else if (event.target.role === "tab" && ["ArrowLeft", "ArrowRight"].includes(event.key)) {
      event.preventDefault();
      const other = root.querySelector('[role="tab"]:not([aria-selected="true"])');
      other.click();
      other.focus();
    }
  }

  // ---- cards that are dragged; touch cannot drag this way, it has the buttons

  let dragged = null;

  function dropSide(event, card) {
    const box = card.getBoundingClientRect();
    return event.clientX < box.left + box.width / 2 ? "before" : "after";
  }

  function clearDrop() {
    for (const card of root.querySelectorAll("[data-drop]")) delete card.dataset.drop;
  }

  const DRAGGING = {
    dragstart: (event) => {
      const card = event.target.closest?.(".tl-card-head")?.parentElement;
      if (!card) return;
      dragged = card.dataset.frame;
      event.dataTransfer.effectAllowed = "move";
      event.dataTransfer.setData("text/plain", dragged);
      event.dataTransfer.setDragImage(card, 24, 24);
    },
    dragover: (event) => {
      const card = event.target.closest?.("[data-frame]");
      if (!dragged || !card) return;
      event.preventDefault();
      clearDrop();
      if (card.dataset.frame !== dragged) card.dataset.drop = dropSide(event, card);
    },
    drop: (event) => {
      const card = event.target.closest?.("[data-frame]");
      if (!dragged || !card) return;
      event.preventDefault();
      const id = dragged;
      const from = indexOf(store.state.board, id);
      const to = indexOf(store.state.board, card.dataset.frame) + (dropSide(event, card) === "after" ? 1 : 0);
      const words = `Frame ${from + 1} moved`;
      editing.change((board) => moveFrame(board, id, to > from ? to - 1 : to), { words, frame: id, soon: true });
    },
    dragend: () => {
      dragged = null;
      clearDrop();
    },
  };

  // ---- files that are dropped or pasted anywhere on the page

  const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  let leaving;

  const DROPPING = {
    dragover: (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      event.dataTransfer.dropEffect = "copy";
      root.dataset.dropping = "true";
      clearTimeout(leaving);
      leaving = setTimeout(() => delete root.dataset.dropping, 300);
    },
    drop: (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      delete root.dataset.dropping;
      const [file] = event.dataTransfer.files;
      if (file) pictures.bring(file);
    },
  };

  function pasted(event) {
    const { files, types } = event.clipboardData;
    const file = [...files].find(({ type }) => type.startsWith("image/"));
    // Office programs copy text also as a picture.
    const meansWords = isTyping(event.target) && types.includes("text/plain");
    if (!file || meansWords) return;
    event.preventDefault();
    pictures.bring(file);
  }

  // ---- listeners

  for (const [name, listener] of Object.entries(DRAGGING)) root.addEventListener(name, listener);
  for (const [name, listener] of Object.entries(DROPPING)) document.addEventListener(name, listener);
  const growing = CSS.supports("field-sizing", "content");
  root.addEventListener("input", (event) => {
    if (!growing && event.target.matches("textarea")) {
      event.target.style.height = "auto";
      event.target.style.height = `${event.target.scrollHeight + 2}px`;
    }
    if (event.target.dataset.field) edit(event.target);
  });
  root.addEventListener("change", (event) => {
    const [file] = (event.target.dataset.file && event.target.files) || [];
    if (!file) return;
    event.target.value = ""; // so that the same file can be chosen again
    pictures.bring(file);
  });
  root.addEventListener("click", (event) => {
    const control = event.target.closest("[data-action]");
    if (event.target.matches("dialog:not(.tl-mender)")) event.target.close();
    else if (control) actions[control.dataset.action]?.(control.closest("[data-frame]")?.dataset.frame, control);
  });
  root.addEventListener("focusin", (event) => {
    if (event.target.closest(".tl-known")) store.set({}); // to suggest phrases
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
