// The page: its parts, made once, and painted anew whenever the state changes.

/** @import { State } from "./types.js" */

import { button, make, setText } from "./dom.js";
import { makeCard, paintCard } from "./elements/card.js";
import { makeWarnings, paintWarnings } from "./elements/warnings.js";
import { makeBar, makeHead, makePanel, paintBar, paintPanel } from "./elements/panel.js";
import { makePicker, makeViewer, paintViewer } from "./elements/viewer.js";
import { fieldKey } from "./state/bounds.js";
import { isBlank } from "./state/board.js";
import { workOf } from "./state/jobs.js";
import { modelOf, strengthOf } from "./state/models.js";
import { chosenTake, resultsNow } from "./state/results.js";
import { generateLabel } from "./state/renders.js";
import { warningsOf } from "./state/warnings.js";

/**
 * @param {HTMLElement} root
 * @param {State["setup"]} setup
 * @param {object} parts made elsewhere: the banner, the mask editor and the dialog for questions
 */
export function makePage(root, setup, { banner, maskEditor, question }) {
  const viewer = makeViewer();
  const picker = makePicker();
  const warnings = makeWarnings();
  root.hidden = true; // until there is a board to show
  root.replaceChildren(
    makeHead(setup),
    make("div", { class: "tl-lost", role: "status", hidden: true }),
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
    picker,
    maskEditor.dialog,
    question.dialog,
  );
  const cards = root.querySelector(".tl-cards");

  /** @param {State} state */
  function paint(state, { canUndo, canRedo }) {
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
    paintBar(root.querySelector(".tl-bar"), work, board, generateLabel({ ...state, results }));
    paintViews(state.view);
    paintWarnings(warnings, warningsOf(state, null));
    paintLost(root.querySelector(".tl-lost"), state);
    paintSaved(root.querySelector(".tl-saved"), state);
    root.querySelector(".tl-welcome").hidden = !isBlank(board) || Boolean(state.reference.used);
    const control = (action) => root.querySelector(`[data-action="${action}"]`);
    control("archive").disabled = !board.frames.some((frame) => chosenTake(results[frame.id]));
    control("add").disabled = board.frames.length >= setup.limits.frames;
    control("undo").disabled = !canUndo;
    control("redo-change").disabled = !canRedo;
    arrangeCards(board.frames, setup);
    const strength = strengthOf(state);
    const model = modelOf(board, setup);
    board.frames.forEach(({ id }, index) => {
      const facts = { outdated: id in state.outdated, origins: state.origins[id], identity: state.identity === id };
      paintCard(cards.children[index], { board, index, work, result: results[id], preview: state.previews[id], facts, strength, model, refused: state.refused[fieldKey(id, "seed")] });
      paintWarnings(cards.children[index].querySelector(".tl-warnings"), warningsOf(state, id));
    });
    paintLocations(board, model);
    maskEditor.paint(state.reference.draft);
    if (viewer.open) paintViewer(viewer, state, results, viewer.dataset.shows);
  }

  /** Put the cards in the order of the frames; a moved card keeps its focus, caret and text. */
  function arrangeCards(frames, setup) {
    const known = new Map([...cards.children].map((card) => [card.dataset.frame, card]));
    const focused = cards.contains(document.activeElement) ? document.activeElement : null;
    frames.forEach((frame, index) => {
      const card = known.get(frame.id) ?? makeCard(frame, setup);
      known.delete(frame.id);
      if (cards.children[index] !== card) cards.insertBefore(card, cards.children[index] ?? null);
    });
    known.forEach((card) => card.remove());
    if (focused?.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true });
  }

  function paintViews(view) {
    for (const choice of root.querySelectorAll("button[data-view]")) {
      choice.setAttribute("aria-pressed", String(choice.dataset.view === view));
    }
  }

  function paintLocations(board, model) {
    const list = root.querySelector("#tl-locations");
    const known = model?.knows?.locations ?? [];
    const used = [...new Set([...board.frames.map((frame) => frame.location.trim()).filter(Boolean), ...known])];
    if (list.dataset.used === used.join("\n")) return;
    list.dataset.used = used.join("\n");
    list.replaceChildren(...used.map((value) => make("option", { value })));
  }

  return {
    paint,
    viewer,
    picker,
    cardOf: (id) => cards.querySelector(`[data-frame="${id}"]`),
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

/** @param {State} state */
function paintLost(strip, { connection }) {
  strip.hidden = connection === "ok";
  setText(strip, strip.hidden ? "" : "The connection to the server is lost. What you type stays on this page, and is saved when the server is back.");
}

/** @param {State} state */
function paintSaved(line, { saving, connection, board, base }) {
  line.dataset.saved = String(saving === "saved");
  line.hidden = saving === "saved" && base.revision === "" && isBlank(board);
  const words = { saved: "Saved", waiting: connection === "lost" ? "Not saved yet" : "Saving\u2026", refused: "Not saved" };
  setText(line, words[saving]);
}
