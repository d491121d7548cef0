// The page: its parts, made once, and painted anew whenever the state changes.

/** @import { Board, Frame, Model, Setup, State } from "./types.js" */

import { button, control, controls, keepFocus, make, part, setText } from "./dom.js";
import { makeCard, paintCard } from "./elements/card.js";
import { makeWarnings, paintWarnings } from "./elements/warnings.js";
import { makeBar, makeHead, makePanel, paintBar, paintPanel } from "./elements/panel.js";
import { makeSaveAs } from "./elements/save_as.js";
import { makeShelf } from "./elements/shelf.js";
import { makeViewer, paintViewer } from "./elements/viewer.js";
import { isBlank } from "./state/board.js";
import { fieldKey } from "./state/bounds.js";
import { workOf } from "./state/jobs.js";
import { locationHint, locationsNow } from "./state/locations.js";
import { modelOf, strengthOf } from "./state/models.js";
import { resultsNow } from "./state/results.js";
import { generateLabel } from "./state/renders.js";
import { warningsOf } from "./state/warnings.js";

/**
 * @param {HTMLElement} root
 * @param {State["setup"]} setup
 * @param {object} parts made elsewhere
 * @param {HTMLElement} parts.banner
 * @param {import("./elements/mask_editor.js").MaskEditor} parts.maskEditor
 * @param {{ dialog: HTMLElement }} parts.question the dialog for questions
 */
export function makePage(root, setup, { banner, maskEditor, question }) {
  const viewer = makeViewer();
  const shelf = makeShelf();
  const saveAs = makeSaveAs();
  const warnings = makeWarnings();
  root.hidden = true; // until there is a board to show
  root.replaceChildren(
    makeHead(setup),
    make("div", { class: "tl-banner tl-lost", role: "status", hidden: true }),
    make(
      "div",
      { class: "tl-body" },
      makePanel(setup),
      make(
        "section",
        { class: "tl-main", "aria-label": "Frames" },
        makeBar(),
        banner,
        warnings,
        makeWelcome(),
        make("div", { class: "tl-cards" }),
        button("add", "plus", { label: "Add frame", kind: "tl-add" }),
      ),
    ),
    make("datalist", { id: "tl-locations" }),
    viewer,
    shelf,
    saveAs,
    maskEditor.dialog,
    question.dialog,
  );
  const cards = part(root, ".tl-cards");
  /** @type {WeakMap<HTMLElement, { values: unknown[], focused: boolean }>} */
  const painted = new WeakMap();
  const cardsNow = () => /** @type {HTMLCollectionOf<HTMLElement>} */ (cards.children);

  /** @param {State} state @param {{ canUndo: boolean, canRedo: boolean }} history */
  function paint(state, { canUndo, canRedo }) {
    const stayFocused = keepFocus(root);
    const { board, setup } = state;
    const work = workOf(state);
    const results = resultsNow(state);
    const tab = state.tab ?? (state.reference.used || state.reference.draft ? "upload" : "describe");
    root.hidden = false;
    root.dataset.status = work.state;
    root.dataset.view = state.view;
    document.title = `${work.active ? `${Math.round(100 * work.fraction)} % \u00b7 ` : ""}${board.title || "Untitled"}`;
    const { usable, refused } = state;
    paintPanel(root, { board, setup, picture: { ...state.reference, busy: state.busy }, tab, usable, refused });
    paintBar(part(root, ".tl-bar"), work, board, generateLabel({ ...state, results }));
    paintViews(state.view);
    paintWarnings(warnings, warningsOf(state, null));
    paintLost(part(root, ".tl-lost"), state);
    paintSaved(part(root, ".tl-saved"), state);
    part(root, ".tl-welcome").hidden = !isBlank(board) || Boolean(state.reference.used);
    const act = (/** @type {string} */ action) => control(root, `[data-action="${action}"]`);
    act("save-as").disabled = state.base.revision === "" && state.saving === "saved";
    act("add").disabled = board.frames.length >= setup.limits.frames;
    act("undo").disabled = !canUndo;
    act("redo-change").disabled = !canRedo;
    arrangeCards(board.frames, setup);
    const strength = strengthOf(state);
    const model = modelOf(board, setup);
    const locations = locationsNow(state);
    board.frames.forEach((frame, index) => {
      const { id } = frame;
      const facts = { outdated: id in state.outdated, identity: state.identity === id };
      const hint = locationHint(state, frame, locations);
      const shown = { board, setup, index, work, result: results[id], preview: state.previews[id], facts, hint, strength, model, refused: state.refused[fieldKey(id, "seed")] };
      const others = [board.frames.length, board.settings.consistent, board.character.name, state.outdated[id], state.kept[id], state.conflicts, state.readNotices, state.progress.notices];
      const card = cardsNow()[index];
      const seen = [frame, index, shown.result, shown.preview, work.frames[id], facts.outdated, facts.identity, hint, strength, model, shown.refused, ...others];
      if (isPainted(card, seen)) return;
      paintCard(card, shown);
      paintWarnings(part(card, ".tl-warnings"), warningsOf(state, id));
    });
    paintLocations(board, model);
    maskEditor.paint(state.reference.draft);
    if (viewer.open) paintViewer(viewer, state, results);
    stayFocused();
  }

  /**
   * Return whether a card shows these values already, so that a key in one card does not paint 47 others. The card
   * that has the focus, or had it the last time, is always painted: there, controls show what is typed.
   * @param {HTMLElement} card @param {unknown[]} values
   */
  function isPainted(card, values) {
    const before = painted.get(card);
    const focused = card.contains(document.activeElement);
    painted.set(card, { values, focused });
    return Boolean(before) && !focused && !before?.focused && values.every((value, index) => value === before?.values[index]);
  }

  /** Put the cards in the order of the frames; a moved card keeps its focus, caret and text. @param {Frame[]} frames @param {Setup} setup */
  function arrangeCards(frames, setup) {
    const known = new Map([...cardsNow()].map((card) => [card.dataset.frame, card]));
    const focused = cards.contains(document.activeElement) ? /** @type {HTMLElement} */ (document.activeElement) : null;
    frames.forEach((frame, index) => {
      const card = known.get(frame.id) ?? makeCard(frame, setup);
      known.delete(frame.id);
      if (cardsNow()[index] !== card) cards.insertBefore(card, cardsNow()[index] ?? null);
    });
    known.forEach((card) => card.remove());
    if (focused?.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true });
  }

  /** @param {string} view */
  function paintViews(view) {
    for (const choice of controls(root, "button[data-view]")) {
      choice.setAttribute("aria-pressed", String(choice.dataset.view === view));
    }
  }

  /** @param {Board} board @param {Model | undefined} model */
  function paintLocations(board, model) {
    const list = part(root, "#tl-locations");
    const known = model?.knows?.locations ?? [];
    const used = [...new Set([...board.frames.map((frame) => frame.location.trim()).filter(Boolean), ...known])];
    if (list.dataset.used === used.join("\n")) return;
    list.dataset.used = used.join("\n");
    list.replaceChildren(...used.map((value) => make("option", { value })));
  }

  return {
    paint,
    viewer,
    shelf,
    saveAs,
    cardOf: (/** @type {string} */ id) => part(cards, `[data-frame="${id}"]`),
    clearCards: () => cards.replaceChildren(),
  };
}

function makeWelcome() {
  return make(
    "p",
    { class: "tl-welcome" },
    "Describe the character or upload a picture, write an action and a location for each frame, then press Generate all. Or ",
    make("button", { type: "button", class: "tl-link", "data-action": "example", text: "open the example" }),
    ".",
  );
}

/** @param {HTMLElement} strip @param {State} state */
function paintLost(strip, { connection }) {
  strip.hidden = connection === "ok";
  setText(strip, strip.hidden ? "" : "The connection to the server is lost. What you type stays on this page, and is saved when the server is back.");
}

/** @param {HTMLElement} line @param {State} state */
function paintSaved(line, { saving, connection, board, base }) {
  line.dataset.saved = String(saving === "saved");
  line.hidden = saving === "saved" && base.revision === "" && isBlank(board);
  const words = { saved: "Saved", waiting: connection === "lost" ? "Not saved yet" : "Saving\u2026", refused: "Not saved" };
  setText(line, words[saving]);
}
