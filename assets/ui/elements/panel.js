// Parts around the frames: header, character, settings, and the bar with the buttons.

/** @import { Board, Model, Setup, Usable, Work } from "../types.js" */

import { button, control as controlOf, controls, field, icon, make, part as partOf, setSlider, setText, setValue, slider, textInput, toggle } from "../dom.js";
import { guidanceDoubt } from "../state/made_for.js";
import { modelOf } from "../state/models.js";
import { progressWords } from "../state/jobs.js";
import { makeCharacter, paintCharacter } from "./character.js";
import { makeDoubts, makeSteps, makeUsable, paintDoubts, paintLine, paintUsable, titleHere } from "./doubts.js";
import { licenceLink } from "./licence.js";
import { makeStyles, paintStyles } from "./styles.js";

export const VIEWS = [
  ["picture", "picture", "Pictures"],
  ["overlay", "overlay", "Masks over the pictures"],
  ["side", "columns", "Masks beside the pictures"],
  ["grid", "grid", "The whole story, small"],
];

/** @param {Setup} setup */
export function makeHead(setup) {
  const title = textInput("title", { placeholder: "Untitled storyboard" });
  title.classList.add("tl-title");
  title.setAttribute("aria-label", "Title of the storyboard");
  return make(
    "header",
    { class: "tl-head" },
    make("h1", { class: "tl-brand" }, makeMark(), make("span", { text: "Throughline" })),
    title,
    make("span", { class: "tl-saved", role: "status" }),
    make(
      "nav",
      { class: "tl-row", "aria-label": "Storyboards" },
      button("new", "plus", { label: "New", hint: "Start a new storyboard" }),
      button("projects", "folder", { label: "Boards", hint: setup.listed ? "All storyboards, the bin, and files to open" : "Copy or delete this storyboard, or open a file" }),
      button("example", "book", { label: "Example", hint: "Open the example storyboard" }),
    ),
  );
}

function makeMark() {
  const mark = icon("picture");
  mark.classList.add("tl-mark");
  mark.firstElementChild?.setAttribute("d", "M3 6h7v12H3zM14 6h7v12h-7zM1 14.5c5 0 4-5 8-5s5 5 8 5 3-2 6-2");
  return mark;
}

/** @param {Setup} setup */
export function makePanel(setup) {
  return make(
    "aside",
    { class: "tl-panel", "aria-label": "Character and settings" },
    makeCharacter(setup),
    makeSettings(setup),
    make("p", { class: "tl-model" }),
  );
}

/** @param {Setup} setup */
function makeSettings(setup) {
  const model = make("select", { class: "tl-input", "data-field": "settings.model" });
  const size = make("select", { class: "tl-input", "data-field": "settings.size" });
  return make(
    "details",
    { class: "tl-box tl-settings" },
    make("summary", {}, icon("settings"), make("span", { text: "Settings" }), icon("down")),
    make(
      "div",
      { class: "tl-stack" },
      setup.models.length > 1 ? field("Model", model) : null,
      makeUsable(),
      make(
        "div",
        { class: "tl-pair" },
        field("Size", size),
        field("Steps", makeSteps(setup)),
      ),
      makeDoubts(),
      makeGuidance(setup.limits.guidance),
      makeShortcut(),
      toggle(
        "settings.consistent",
        "Keep the character",
        make("span", { class: "tl-hint", text: "All frames show the character of the identity frame." }),
      ),
      toggle(
        "settings.merge",
        "Merge matching parts",
        make("span", { class: "tl-hint", text: "Closer to the identity frame, with less varied poses." }),
      ),
      makeStyles(setup),
    ),
  );
}

/** Make the guidance slider; the mark is the model's default, where the board stores none. @param {[number, number]} limits */
function makeGuidance([lowest, highest]) {
  const control = slider("settings.guidance", { lowest, highest, step: 0.5 });
  control.setAttribute("aria-label", "Guidance");
  return make(
    "label",
    { class: "tl-field tl-guidance" },
    make("span", { class: "tl-label tl-row" }, "Guidance", make("span", { class: "tl-gap" }), make("span", { class: "tl-strength" })),
    control,
    make("span", { class: "tl-hint" }),
    make("span", { class: "tl-doubt", hidden: true }),
  );
}

/** @param {HTMLElement} row @param {Model | undefined} model @param {Board} board */
function paintGuidance(row, model, board) {
  const own = model?.guidance ?? null;
  const strength = board.settings.guidance ?? own;
  const control = controlOf(row, "input");
  const words = own === null ? "" : strength === own ? `${own}, the model's default` : String(strength);
  control.disabled = own === null;
  control.title = own === null ? "" : `The mark shows the model's default: ${own}`;
  setSlider(control, own === null || strength === null ? Number(control.min) : strength, own);
  control.setAttribute("aria-valuetext", words);
  setText(partOf(row, ".tl-strength"), words);
  setText(partOf(row, ".tl-hint"), guidanceHint(model, board));
  paintLine(partOf(row, ".tl-doubt"), guidanceDoubt(model, board.settings));
}

/** @param {Model | undefined} model @param {Board} board */
function guidanceHint(model, board) {
  if (!model) return `The guidance of ${board.settings.model} is not known.`;
  return model.guidance === null ? `${model.title} does not use guidance.` : "How closely pictures match the prompt.";
}

/** Make the choice of shortcuts with their measured costs, and advice on fewer steps. */
function makeShortcut() {
  const control = make("select", {
    class: "tl-input",
    "data-field": "settings.shortcut",
    "aria-label": "Shortcut",
    "aria-describedby": "tl-shortcut-note",
  });
  return make(
    "div",
    { class: "tl-field tl-shortcut" },
    field("Shortcut", control),
    make("span", { class: "tl-hint", id: "tl-shortcut-note" }),
    make("dl", { class: "tl-costs" }),
    make("span", { class: "tl-hint" }),
    make("span", { class: "tl-hint" }),
  );
}

/** @param {HTMLElement} box @param {Board} board @param {Setup} setup */
function paintShortcut(box, board, setup) {
  const model = modelOf(board, setup);
  const { shortcut, consistent } = board.settings;
  const choices = (model ?? setup.models[0]).shortcuts;
  const chosen = choices.find(({ name }) => name === shortcut);
  const [, note, costs, conditions, fewer] = /** @type {HTMLCollectionOf<HTMLElement>} */ (box.children);
  paintOptions(controlOf(box, "select"), choices.map(({ name, title }) => [name, title]), shortcut);
  const alone = chosen?.probe && !consistent ? " Without \u201cKeep the character\u201d there is no probe." : "";
  setText(note, (model ? (chosen?.note ?? "") : `Not measured on ${board.settings.model}.`) + alone);
  paintCosts(costs, (model && chosen?.cost) || []);
  conditions.hidden = costs.hidden;
  setText(conditions, `${chosen?.conditions ?? ""}; 95 % intervals on the right.`);
  setText(fewer, model?.fewer_steps ?? "");
  fewer.hidden = !fewer.textContent;
}

/** Show the costs: each with its name, change and interval. @param {HTMLElement} list @param {string[][]} cost */
function paintCosts(list, cost) {
  const known = JSON.stringify(cost);
  list.hidden = !cost.length;
  if (list.dataset.cost === known) return;
  list.dataset.cost = known;
  list.replaceChildren(
    ...cost.map(([what, change, ends]) =>
      make("div", {}, make("dt", { text: what }), make("dd", { text: change }), make("dd", { class: "tl-ends", text: ends })),
    ),
  );
}

/**
 * @typedef {object} PanelShown
 * @property {Board} board
 * @property {Setup} setup
 * @property {import("./character.js").Picture} picture
 * @property {string} tab
 * @property {Record<string, Usable>} usable
 * @property {Record<string, string>} refused
 */

/** @param {HTMLElement} root @param {PanelShown} shown */
export function paintPanel(root, { board, setup, picture, tab, usable, refused }) {
  const model = modelOf(board, setup);
  paintDoubts(root, { model, settings: board.settings, refused });
  for (const control of controls(root, "[data-field]")) {
    if (control.closest("[data-frame], [data-style]")) continue;
    const [part, name] = (control.dataset.field ?? "").split(".");
    const values = /** @type {Record<string, any>} */ (board);
    if (name === "model") paintOptions(control, modelOptions(board, setup, usable), board.settings.model);
    else if (name === "size") paintOptions(control, sizeOptions(board, setup), sizeName(board.settings));
    else if (["guidance", "strength", "shortcut"].includes(name)) continue;
    else setValue(control, name ? values[part][name] : values[part]);
  }
  paintUsable(partOf(root, ".tl-usable"), usable[board.settings.model]);
  const steps = controlOf(root, '[data-field="settings.steps"]');
  steps.placeholder = model ? String(model.steps) : "";
  paintGuidance(partOf(root, ".tl-guidance"), model, board);
  paintShortcut(partOf(root, ".tl-shortcut"), board, setup);
  controlOf(root, '[data-field="settings.merge"]').disabled = !board.settings.consistent;
  paintCharacter(partOf(root, ".tl-character"), { board, setup, picture, tab });
  paintStyles(partOf(root, ".tl-styles"), { board, setup });
  paintModel(partOf(root, ".tl-model"), model, board);
  root.style.setProperty("--tl-shape", `${board.settings.width} / ${board.settings.height}`);
}

const sizeName = (/** @type {{ width: number, height: number }} */ { width, height }) => `${width}x${height}`;

/** @param {Board} board @param {Setup} setup @param {Record<string, Usable>} usable */
function modelOptions(board, setup, usable) {
  const options = setup.models.map((model) => [model.name, titleHere(model, usable)]);
  return modelOf(board, setup) ? options : [...options, [board.settings.model, board.settings.model]];
}

/** @param {Board} board @param {Setup} setup */
function sizeOptions(board, setup) {
  const sizes = modelOf(board, setup)?.sizes ?? [];
  const options = sizes.map((size) => [sizeName(size), `${size.ratio} (${size.width} \u00d7 ${size.height})`]);
  const own = sizeName(board.settings);
  if (options.some(([name]) => name === own)) return options;
  return [...options, [own, `${board.settings.width} \u00d7 ${board.settings.height}`]];
}

/** @param {HTMLElement & { value: string }} select @param {string[][]} options values and texts @param {string} chosen */
function paintOptions(select, options, chosen) {
  const known = JSON.stringify(options);
  if (select.dataset.options !== known) {
    select.dataset.options = known;
    select.replaceChildren(...options.map(([value, text]) => make("option", { value, text })));
  }
  select.value = chosen;
}

/** @param {HTMLElement} line @param {Model | undefined} model @param {Board} board */
function paintModel(line, model, board) {
  if (line.dataset.model === board.settings.model) return;
  line.dataset.model = board.settings.model;
  if (!model) {
    line.replaceChildren(`Model: ${board.settings.model}.`);
    return;
  }
  line.replaceChildren(
    make("strong", { text: model.title }),
    ` ${model.note} Licence: `,
    licenceLink(model),
    model.non_commercial ? " (not for commercial use)." : ".",
  );
}

export function makeBar() {
  return make(
    "div",
    { class: "tl-bar" },
    button("generate", "play", { label: "Generate all", hint: "Generate all frames (Ctrl+Enter)", kind: "tl-primary" }),
    makeChoices(),
    button("cancel", "stop", { label: "Cancel", hint: "Stop generating (Esc)", kind: "tl-stop" }),
    make(
      "div",
      { class: "tl-progress" },
      make("span", { class: "tl-progress-words" }),
      make("div", {
        class: "tl-track",
        role: "progressbar",
        "aria-label": "Progress of the storyboard",
        "aria-valuemin": 0,
        "aria-valuemax": 100,
      }, make("i")),
    ),
    make(
      "div",
      { class: "tl-views", role: "group", "aria-label": "How frames are shown (m)" },
      ...VIEWS.map(([view, iconName, hint]) => {
        const choice = button("view", iconName, { hint: `${hint} (m)` });
        choice.dataset.view = view;
        return choice;
      }),
    ),
    button("undo", "undo", { hint: "Undo (Ctrl+Z)" }),
    button("redo-change", "redo", { hint: "Redo (Ctrl+Y)" }),
    button("save-as", "download", { label: "Save as", hint: "Save the storyboard as a file: ZIP, JSON or YAML" }),
  );
}

/** Make the menu of what to generate. */
function makeChoices() {
  const open = button("choices", "down", { hint: "Choose what to generate" });
  open.setAttribute("aria-expanded", "false");
  open.setAttribute("aria-haspopup", "true");
  return make(
    "div",
    { class: "tl-choices" },
    open,
    make(
      "div",
      { class: "tl-menu", hidden: true },
      button("generate-new", "", { label: "New and out of date" }),
      button("generate-all", "", { label: "Everything again" }),
    ),
  );
}

/**
 * Update the bar.
 * @param {HTMLElement} bar @param {Work} work see `workOf` in state/jobs.js
 * @param {Board} board @param {string} label of what Generate does
 */
export function paintBar(bar, work, board, label) {
  const [generate, cancel] = ["generate", "cancel"].map((name) => controlOf(bar, `[data-action="${name}"]`));
  generate.disabled = work.active;
  setText(partOf(generate, "span"), label);
  cancel.hidden = !work.active;
  cancel.disabled = work.state === "cancelling";
  const progress = partOf(bar, ".tl-progress");
  progress.hidden = !work.active;
  if (!work.active) return;
  setText(partOf(progress, ".tl-progress-words"), progressWords(work, board));
  const percent = Math.round(100 * work.fraction);
  const track = partOf(progress, ".tl-track");
  track.classList.toggle("tl-unknown", work.state === "loading" || work.state === "queued");
  track.setAttribute("aria-valuenow", String(percent));
  partOf(track, "i").style.width = `${percent}%`;
}
