// Parts around the frames: header, character, settings, and the bar with the buttons.

import { button, field, icon, make, numberInput, paintRefusal, setSlider, setText, setValue, slider, textInput, toggle } from "../dom.js";
import { fieldKey } from "../state/bounds.js";
import { guidanceDoubt, sizeDoubt, stepsDoubt } from "../state/made_for.js";
import { modelOf } from "../state/models.js";
import { progressWords } from "../state/jobs.js";
import { makeCharacter, paintCharacter } from "./character.js";
import { licenceLink } from "./licence.js";
import { makeStyles, paintStyles } from "./styles.js";

export const VIEWS = [
  ["picture", "picture", "Pictures"],
  ["overlay", "overlay", "Masks over the pictures"],
  ["side", "columns", "Masks beside the pictures"],
  ["grid", "grid", "The whole story, small"],
];

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
      setup.listed ? button("projects", "folder", { label: "Open", hint: "Open another storyboard" }) : null,
      button("example", "book", { label: "Example", hint: "Open the example storyboard" }),
    ),
  );
}

function makeMark() {
  const mark = icon("picture");
  mark.classList.add("tl-mark");
  mark.firstChild.setAttribute("d", "M3 6h7v12H3zM14 6h7v12h-7zM1 14.5c5 0 4-5 8-5s5 5 8 5 3-2 6-2");
  return mark;
}

export function makePanel(setup) {
  return make(
    "aside",
    { class: "tl-panel", "aria-label": "Character and settings" },
    makeCharacter(setup),
    makeSettings(setup),
    make("p", { class: "tl-model" }),
  );
}

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
      make("p", { class: "tl-usable", role: "status", hidden: true }),
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
        make("span", { class: "tl-hint", text: "All frames show the character of the first frame." }),
      ),
      toggle(
        "settings.merge",
        "Merge matching parts",
        make("span", { class: "tl-hint", text: "Closer to the first frame, with less varied poses." }),
      ),
      makeStyles(setup),
    ),
  );
}

function makeSteps(setup) {
  const steps = numberInput("settings.steps", { lowest: 1, highest: setup.limits.steps });
  steps.setAttribute("aria-describedby", "tl-steps-refused tl-doubts");
  return steps;
}

/** Make the lines on size and steps, below the pair of fields. */
function makeDoubts() {
  return make(
    "div",
    { class: "tl-stack tl-doubts" },
    make("p", { class: "tl-refused", id: "tl-steps-refused", role: "status", hidden: true }),
    make("p", { class: "tl-doubt", id: "tl-doubts", hidden: true }),
  );
}

function paintDoubts(part, steps, { model, settings, refused }) {
  const [refusal, doubt] = part.children;
  paintRefusal(steps, refusal, refused[fieldKey(undefined, "settings.steps")]);
  paintLine(doubt, [sizeDoubt(model, settings), stepsDoubt(model, settings)].filter(Boolean).join(" "));
  part.hidden = refusal.hidden && doubt.hidden;
}

/** Show a line of words, or hide it where there are none. */
function paintLine(line, words) {
  line.hidden = !words;
  setText(line, words);
}

/** Make the guidance slider; the mark is the model's default, where the board stores none. */
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

function paintGuidance(row, model, board) {
  const own = model?.guidance ?? null;
  const strength = board.settings.guidance ?? own;
  const control = row.querySelector("input");
  const words = own === null ? "" : strength === own ? `${own}, the model's default` : String(strength);
  control.disabled = own === null;
  control.title = own === null ? "" : `The mark shows the model's default: ${own}`;
  setSlider(control, own === null ? control.min : strength, own);
  control.setAttribute("aria-valuetext", words);
  setText(row.querySelector(".tl-strength"), words);
  setText(row.querySelector(".tl-hint"), guidanceHint(model, board));
  paintLine(row.querySelector(".tl-doubt"), guidanceDoubt(model, board.settings));
}

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

function paintShortcut(part, board, setup) {
  const model = modelOf(board, setup);
  const { shortcut, consistent } = board.settings;
  const choices = (model ?? setup.models[0]).shortcuts;
  const chosen = choices.find(({ name }) => name === shortcut);
  const [, note, costs, conditions, fewer] = part.children;
  paintOptions(part.querySelector("select"), choices.map(({ name, title }) => [name, title]), shortcut);
  const alone = chosen.probe && !consistent ? " Without \u201cKeep the character\u201d there is no probe." : "";
  setText(note, (model ? chosen.note : `Not measured on ${board.settings.model}.`) + alone);
  paintCosts(costs, model ? chosen.cost : []);
  conditions.hidden = costs.hidden;
  setText(conditions, `${chosen.conditions}; 95 % intervals on the right.`);
  setText(fewer, model?.fewer_steps ?? "");
  fewer.hidden = !fewer.textContent;
}

/** Show the costs: each with its name, change and interval. */
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

export function paintPanel(root, { board, setup, picture, tab, usable, refused }) {
  const model = modelOf(board, setup);
  const steps = root.querySelector('[data-field="settings.steps"]');
  paintDoubts(root.querySelector(".tl-doubts"), steps, { model, settings: board.settings, refused });
  for (const control of root.querySelectorAll("[data-field]")) {
    if (control.closest("[data-frame], [data-style]")) continue;
    const [part, name] = control.dataset.field.split(".");
    if (name === "model") paintOptions(control, modelOptions(board, setup, usable), board.settings.model);
    else if (name === "size") paintOptions(control, sizeOptions(board, setup), sizeName(board.settings));
    else if (["guidance", "strength", "shortcut"].includes(name)) continue;
    else setValue(control, name ? board[part][name] : board[part]);
  }
  paintUsable(root.querySelector(".tl-usable"), usable[board.settings.model]);
  steps.placeholder = model ? String(model.steps) : "";
  paintGuidance(root.querySelector(".tl-guidance"), model, board);
  paintShortcut(root.querySelector(".tl-shortcut"), board, setup);
  root.querySelector('[data-field="settings.merge"]').disabled = !board.settings.consistent;
  paintCharacter(root.querySelector(".tl-character"), { board, setup, picture, tab });
  paintStyles(root.querySelector(".tl-styles"), { board, setup });
  paintModel(root.querySelector(".tl-model"), model, board);
  root.style.setProperty("--tl-shape", `${board.settings.width} / ${board.settings.height}`);
}

const sizeName = ({ width, height }) => `${width}x${height}`;

/** Say whether the chosen model can render here; nothing where that is not known yet. */
function paintUsable(line, found) {
  paintLine(line, found?.words ?? "");
  line.classList.toggle("tl-doubt", found?.usable === false);
  line.classList.toggle("tl-hint", found?.usable !== false);
}

function modelOptions(board, setup, usable) {
  const missing = ({ name }) => (usable[name]?.usable === false ? " \u2013 not on this machine" : "");
  const options = setup.models.map((model) => [model.name, model.title + missing(model)]);
  return modelOf(board, setup) ? options : [...options, [board.settings.model, board.settings.model]];
}

function sizeOptions(board, setup) {
  const sizes = modelOf(board, setup)?.sizes ?? [];
  const options = sizes.map((size) => [sizeName(size), `${size.ratio} (${size.width} \u00d7 ${size.height})`]);
  const own = sizeName(board.settings);
  if (options.some(([name]) => name === own)) return options;
  return [...options, [own, `${board.settings.width} \u00d7 ${board.settings.height}`]];
}

function paintOptions(select, options, chosen) {
  const known = JSON.stringify(options);
  if (select.dataset.options !== known) {
    select.dataset.options = known;
    select.replaceChildren(...options.map(([value, text]) => make("option", { value, text })));
  }
  select.value = chosen;
}

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
    button("archive", "download", { label: "ZIP", hint: "Download the frames and masks as a ZIP file" }),
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

/** Update the bar from `work` (see `workOf` in state/jobs.js). */
export function paintBar(bar, work, board, label) {
  const [generate, cancel] = ["generate", "cancel"].map((name) => bar.querySelector(`[data-action="${name}"]`));
  generate.disabled = work.active;
  setText(generate.querySelector("span"), label);
  cancel.hidden = !work.active;
  cancel.disabled = work.state === "cancelling";
  const progress = bar.querySelector(".tl-progress");
  progress.hidden = !work.active;
  if (!work.active) return;
  setText(progress.firstChild, progressWords(work, board));
  const percent = Math.round(100 * work.fraction);
  const track = progress.lastChild;
  track.classList.toggle("tl-unknown", work.state === "loading" || work.state === "queued");
  track.setAttribute("aria-valuenow", percent);
  track.firstChild.style.width = `${percent}%`;
}
