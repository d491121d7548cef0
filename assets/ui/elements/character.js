// Box of the character: a description, a reference picture, or both.

/** @import { Board, Draft, Model, Reference, Setup } from "../types.js" */

import { button, control, controls, field, icon, make, part, setSource, setText, slider, textArea, textInput } from "../dom.js";
import { modelOf } from "../state/models.js";
import { makeKnown, paintKnown } from "./known.js";
import { licenceLink } from "./licence.js";
import { paintStrength } from "./strength.js";

/** @typedef {Reference & { busy: string }} Picture The server's reference, and what is done with it now. */

const TABS = [
  ["describe", "Describe"],
  ["upload", "Upload a picture"],
];

/** @param {Setup} setup */
export function makeCharacter(setup) {
  return make(
    "section",
    { class: "tl-box tl-character", "aria-label": "Character" },
    make("h2", {}, icon("person"), "Character"),
    field("Name (optional)", textInput("character.name", { placeholder: "Maya" })),
    make("div", { class: "tl-tabs", role: "tablist", "aria-label": "Character in words or as a picture" }, ...TABS.map(makeTab)),
    makePage("describe", makeDescription(setup)),
    makePage("upload", ...makeUpload(setup)),
    make(
      "div",
      { class: "tl-row tl-files", role: "group", "aria-label": "Character file" },
      make("span", { class: "tl-label", text: "As a file" }),
      make("span", { class: "tl-gap" }),
      button("export", "download", { label: "Save", hint: "Save the character as a file, for other storyboards" }),
      button("import", "upload", { label: "Load", hint: "Load a character from a file" }),
    ),
    fileInput("import", ".character"),
  );
}

/** @param {string[]} tab */
function makeTab([name, label]) {
  return make(
    "button",
    { type: "button", role: "tab", id: `tl-tab-${name}`, class: "tl-tab", "data-action": "tab", "data-tab": name, "aria-controls": `tl-page-${name}` },
    label,
    make("span", { class: "tl-dot", title: "In use", hidden: true }, make("span", { class: "tl-unseen", text: ", in use" })),
  );
}

/** @param {string} name @param {Node[]} content */
function makePage(name, ...content) {
  return make(
    "div",
    { role: "tabpanel", id: `tl-page-${name}`, class: "tl-stack", "data-page": name, "aria-labelledby": `tl-tab-${name}` },
    ...content,
  );
}

/** @param {Setup} setup */
function makeDescription(setup) {
  const description = textArea("character.description", {
    placeholder: "a girl with long red hair, wearing a green hoodie and blue jeans",
    longest: setup.limits.long,
    rows: 4,
  });
  return makeKnown(field("Description", description, make("span", { class: "tl-hint tl-words-hint" })));
}

const fileInput = (/** @type {string} */ purpose, /** @type {string} */ accept) =>
  make("input", { type: "file", hidden: true, "data-file": purpose, accept });

/** @param {Setup} setup */
function makeUpload(setup) {
  return [
    make("div", { class: "tl-note tl-cannot", hidden: true }),
    make(
      "div",
      { class: "tl-drop" },
      icon("upload"),
      make("p", {}, "Drop a picture here, paste it, or"),
      button("pick", "", { label: "Choose a file", hint: "Choose a picture of the character" }),
      make("p", { class: "tl-hint", text: "Best: one character, head to toe, on a plain background." }),
    ),
    fileInput("picture", "image/*"),
    make("p", { class: "tl-note tl-fault", role: "alert", hidden: true }),
    make("p", { class: "tl-working", role: "status", hidden: true }, make("span"), make("span", { class: "tl-track tl-unknown" }, make("i"))),
    makeDraft(setup),
    makeUsed(setup),
  ];
}

/** Make the part for an uploaded picture that is not in use yet. @param {Setup} setup */
function makeDraft(setup) {
  return make(
    "div",
    { class: "tl-stack tl-draft" },
    make(
      "div",
      { class: "tl-two" },
      make("figure", {}, makeCutout(), make("figcaption", { text: "Found in your picture" })),
      makePrepared("Reference picture"),
    ),
    makeDoubt(),
    button("use", "check", { label: "Use this picture", kind: "tl-primary" }),
    make(
      "div",
      { class: "tl-row tl-even" },
      button("mend", "brush", { label: "Edit mask", hint: "Correct the mask with a brush" }),
      button("discard", "trash", { label: "Remove", hint: "Remove this picture" }),
    ),
    setup.matting ? makeSearch(setup.matting) : null,
    make("p", { class: "tl-hint tl-still", text: "Until you use this picture, frames are generated with the previous one.", hidden: true }),
  );
}

/** Make the offer to find the figure with a network. @param {string} network its name */
function makeSearch(network) {
  return make(
    "p",
    { class: "tl-hint" },
    "Not cut out well? Edit the mask, or ",
    make("button", { type: "button", class: "tl-link", "data-action": "search", text: `find the character with ${network}` }),
    ".",
  );
}

/** Make a picture in which everything but the figure is faint. */
function makeCutout() {
  const layer = (/** @type {string} */ alt, /** @type {string} */ kind) => make("img", { class: kind, alt, draggable: "false" });
  return make("span", { class: "tl-cutout" }, layer("", "tl-faint"), layer("Your picture, with everything but the character faded", "tl-clear"));
}

/** @param {string} caption */
export function makePrepared(caption) {
  return make(
    "figure",
    { class: "tl-prepared" },
    make("span", { class: "tl-white" }, make("img", { alt: "The character on a white background", draggable: "false" })),
    make("figcaption", { text: caption }),
  );
}

export const makeDoubt = () => make("p", { class: "tl-note tl-doubt", role: "status", hidden: true });

/** Make the part for the reference picture in use, with its strength. @param {Setup} setup */
function makeUsed(setup) {
  const [lowest, highest] = setup.limits.strength;
  const control = slider("character.strength", { lowest, highest, step: 0.05 });
  control.setAttribute("aria-label", "Reference strength");
  return make(
    "div",
    { class: "tl-stack tl-used" },
    make(
      "div",
      { class: "tl-row tl-used-head" },
      makePrepared("Reference picture"),
      make(
        "div",
        { class: "tl-stack" },
        make("p", { class: "tl-hint tl-follows" }),
        button("retouch", "brush", { label: "Edit mask", hint: "Edit the mask of the reference picture" }),
        button("pick", "upload", { label: "Replace", hint: "Choose another picture" }),
        button("unuse", "trash", { label: "Remove", hint: "Remove the reference picture" }),
      ),
    ),
    make(
      "label",
      { class: "tl-field tl-closeness" },
      make("span", { class: "tl-label tl-row" }, "Reference strength", make("span", { class: "tl-gap" }), make("span", { class: "tl-strength" })),
      control,
      make("span", { class: "tl-row tl-ends", "aria-hidden": "true" }, make("span", { class: "tl-hint", text: "Loose" }), make("span", { class: "tl-gap" }), make("span", { class: "tl-hint", text: "Exact" })),
    ),
    make("p", { class: "tl-hint tl-adapter" }),
  );
}

/**
 * Update the character's box.
 * @param {HTMLElement} box @param {{ board: Board, setup: Setup, picture: Picture, tab: string }} shown
 */
export function paintCharacter(box, { board, setup, picture, tab }) {
  const model = modelOf(board, setup);
  for (const choice of controls(box, '[role="tab"]')) {
    const chosen = choice.dataset.tab === tab;
    choice.setAttribute("aria-selected", String(chosen));
    choice.tabIndex = chosen ? 0 : -1;
    part(choice, ".tl-dot").hidden = choice.dataset.tab === "upload" ? !picture.used : !board.character.description.trim();
  }
  for (const page of controls(box, "[data-page]")) page.hidden = page.dataset.page !== tab;
  setText(part(box, ".tl-words-hint"), wordsHint(picture));
  paintKnown(part(box, ".tl-known"), model, board.character.name);
  paintCannot(part(box, ".tl-cannot"), model, board, setup);
  part(box, ".tl-drop").hidden = Boolean(picture.used || picture.draft);
  paintFault(part(box, ".tl-fault"), picture.fault);
  const working = part(box, ".tl-working");
  working.hidden = !picture.busy;
  setText(part(working, "span"), picture.busy);
  paintDraft(part(box, ".tl-draft"), picture);
  paintUsed(part(box, ".tl-used"), { board, model, picture });
  control(box, '[data-action="export"]').disabled = !picture.used && !board.character.description.trim() && !board.character.name.trim();
}

/** @param {Picture} picture */
function wordsHint(picture) {
  if (picture.used) return "Used together with the picture. Describe what the picture does not show.";
  return "Added to every frame's prompt, without the name.";
}

/** @param {HTMLElement} line @param {string} fault */
function paintFault(line, fault) {
  line.hidden = !fault;
  if (fault && line.textContent !== fault) line.replaceChildren(icon("alert"), make("span", { text: fault }));
}

/** @param {HTMLElement} line @param {Draft} draft */
export function paintDoubt(line, draft) {
  paintFault(line, draft.fault || draft.doubt);
  line.classList.toggle("tl-fault", Boolean(draft.fault));
}

/** @param {HTMLElement} box @param {Picture} picture */
function paintDraft(box, { draft, used, busy }) {
  box.hidden = !draft;
  if (!draft) return;
  const layers = controls(part(box, ".tl-cutout"), "img");
  for (const layer of layers) setSource(layer, draft.view);
  layers[1].style.setProperty("--tl-mask", `url("${draft.mended}")`);
  paintPrepared(part(box, ".tl-prepared"), draft.prepared);
  paintDoubt(part(box, ".tl-doubt"), draft);
  for (const choice of controls(box, '[data-action="search"], [data-action="discard"]')) choice.disabled = Boolean(busy);
  control(box, '[data-action="use"]').disabled = !draft.prepared || Boolean(busy);
  part(box, ".tl-still").hidden = !used;
}

/** @param {HTMLElement} figure @param {string | null} file */
export function paintPrepared(figure, file) {
  const image = part(figure, "img");
  image.hidden = !file;
  if (file) setSource(image, file);
}

/** @param {HTMLElement} box @param {{ board: Board, model: Model | undefined, picture: Picture }} shown */
function paintUsed(box, { board, model, picture }) {
  box.hidden = !picture.used || Boolean(picture.draft);
  if (!picture.used) return;
  paintPrepared(part(box, ".tl-prepared"), picture.used.picture);
  setText(part(box, ".tl-follows"), model?.subject ? "Frames are generated with this picture." : "This model cannot use a reference picture.");
  const row = part(box, ".tl-closeness");
  row.hidden = !model?.subject;
  if (model?.subject) paintStrength(row, board.character.strength, model.subject.strength, "the model's default");
  paintAdapter(part(box, ".tl-adapter"), model?.subject ?? null);
}

/** Show the adapter that uses reference pictures, and its licence. @param {HTMLElement} line @param {Model["subject"]} subject */
function paintAdapter(line, subject) {
  line.hidden = !subject?.research_only;
  if (!subject?.research_only || line.dataset.adapter === subject.title) return;
  line.dataset.adapter = subject.title;
  line.replaceChildren(`Reference pictures are used by ${subject.title}. Licence: `, licenceLink(subject), ".");
}

/**
 * Show that the model cannot use reference pictures, and which models can.
 * @param {HTMLElement} note @param {Model | undefined} model @param {Board} board @param {Setup} setup
 */
function paintCannot(note, model, board, setup) {
  note.hidden = Boolean(model?.subject);
  if (note.hidden || note.dataset.model === board.settings.model) return;
  note.dataset.model = board.settings.model;
  const able = setup.models.filter((other) => other.subject);
  const choices = able.map((other) => {
    const choice = make("button", { type: "button", class: "tl-link", "data-action": "model", "data-model": other.name, text: other.title });
    return make("li", {}, "Use ", choice);
  });
  const remedy = able.length ? "These models can:" : "No other model can be chosen here, so describe the character.";
  note.replaceChildren(
    icon("alert"),
    make("div", {}, make("strong", { text: `${model?.title ?? board.settings.model} cannot use a reference picture.` }), ` ${remedy}`, make("ul", {}, ...choices)),
  );
}
