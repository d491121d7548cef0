// Dialog that edits the mask of an uploaded picture with a brush.

/** @import { Draft } from "../types.js" */

import { button, control, controls, make, part, setSlider, slider } from "../dom.js";
import { BRUSH, makeBrush } from "./brush.js";
import { makeDoubt, makePrepared, paintDoubt, paintPrepared } from "./character.js";

const WAIT = 250; // milliseconds after a stroke before it is sent

/** Make the dialog. @param {(draft: string, strokes: string) => Promise<boolean>} send sends all strokes of a draft; returns whether they arrived */
export function makeMaskEditor(send) {
  const brush = makeBrush({ done: strokeDone, turned: paintTool });
  /** @type {Draft | null} */
  let draft = null;
  let made = 0; // strokes so far
  let sent = 0; // strokes that the server has
  let sending = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  const width = slider("", { lowest: BRUSH.smallest, highest: BRUSH.largest, step: 1 });
  width.removeAttribute("data-field");
  width.setAttribute("aria-label", "Brush width");
  width.addEventListener("input", () => brush.turn({ size: width.valueAsNumber }));
  const dialog = make(
    "dialog",
    { class: "tl-dialog tl-mender", "aria-label": "Edit the mask" },
    make("div", { class: "tl-row" }, make("h2", { text: "Edit the mask" }), make("span", { class: "tl-gap" }), button("shut", "close", { hint: "Close; your changes are kept" })),
    make(
      "div",
      { class: "tl-mender-body" },
      make("div", { class: "tl-easel" }, brush.box),
      make(
        "div",
        { class: "tl-stack" },
        make(
          "div",
          { class: "tl-tool-row" },
          make("div", { class: "tl-views", role: "group", "aria-label": "Brush" }, makeTool("add", "plus", "Add"), makeTool("remove", "minus", "Erase")),
          make("label", { class: "tl-row tl-width" }, make("span", { class: "tl-label", text: "Width" }), width),
          make(
            "div",
            { class: "tl-row" },
            button("undo-stroke", "undo", { label: "Undo", hint: "Undo the last stroke (Ctrl+Z)" }),
            button("restore", "redo", { label: "Start over", hint: "Back to the detected mask" }),
          ),
        ),
        makePrepared("Reference picture"),
        makeDoubt(),
        button("use", "check", { label: "Use this picture", kind: "tl-primary" }),
      ),
    ),
  );
  dialog.addEventListener("close", sendStrokes);
  dialog.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.key !== "z") return;
    event.preventDefault();
    event.stopPropagation();
    brush.undo();
  });

  /** @param {string} mode @param {string} iconName @param {string} label */
  function makeTool(mode, iconName, label) {
    const choice = button("tool", iconName, { label });
    choice.dataset.mode = mode;
    return choice;
  }

  function strokeDone() {
    made += 1;
    clearTimeout(timer);
    timer = setTimeout(sendStrokes, WAIT);
    paint(draft);
  }

  /** Send the strokes that the server does not have, one request at a time. */
  async function sendStrokes() {
    clearTimeout(timer);
    if (sending) return;
    sending = true;
    try {
      while (draft && made > sent) {
        const [count, { id }] = [made, draft];
        const arrived = await send(id, brush.marked());
        if (!arrived || draft?.id !== id) break; // they go with the next stroke, or when the dialog is closed
        sent = count;
      }
    } finally {
      sending = false;
    }
    if (draft) paint(draft);
  }

  /** @param {Draft} shown */
  async function open(shown) {
    if (draft?.id !== shown.id) {
      await brush.load({ picture: shown.view, mask: shown.mask, earlier: shown.strokes });
      draft = shown;
      sent = made;
      brush.turn({ mode: "add" });
    }
    if (!dialog.open) dialog.showModal();
    paint(shown);
  }

  /** Show the draft as it is now; close where it is gone. @param {Draft | null} shown */
  function paint(shown) {
    if (!draft) return;
    if (shown?.id !== draft.id) {
      draft = null;
      dialog.close();
      return;
    }
    draft = shown;
    paintPrepared(part(dialog, ".tl-prepared"), draft.prepared);
    part(dialog, ".tl-prepared").classList.toggle("tl-stale", made > sent);
    paintDoubt(part(dialog, ".tl-doubt"), draft);
    control(dialog, '[data-action="use"]').disabled = !draft.prepared && made === sent;
    control(dialog, '[data-action="undo-stroke"]').disabled = !brush.canUndo();
  }

  /** @param {import("./brush.js").Tool} tool */
  function paintTool({ mode, size }) {
    for (const choice of controls(dialog, "[data-mode]")) choice.setAttribute("aria-pressed", String(choice.dataset.mode === mode));
    setSlider(width, size, null);
  }

  return {
    dialog,
    open,
    paint,
    turn: brush.turn,
    undo: brush.undo,
    restore: brush.restore,
    /** Return all strokes of a draft, empty where there are none; later strokes are not sent. @param {string} id */
    finish(id) {
      clearTimeout(timer);
      const strokes = draft?.id === id ? brush.marked() : "";
      sent = made;
      dialog.close();
      return strokes;
    },
  };
}

/** @typedef {ReturnType<typeof makeMaskEditor>} MaskEditor */
