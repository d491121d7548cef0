// Card of one frame: picture and mask, takes, fields and tools.

/** @import { Board, Frame, FrameProgress, Model, Result, Setup, Take, Work } from "../types.js" */

import { button, control as controlOf, controls, field, icon, make, numberInput, paintRefusal, part as partOf, setSource, setText, setValue, slider, textArea, textInput, toggle } from "../dom.js";
import { stepWords } from "../state/jobs.js";
import { chosenTake, takeFacts } from "../state/results.js";
import { makeKnown, paintKnown } from "./known.js";
import { paintStrength } from "./strength.js";
import { makeWarnings } from "./warnings.js";

/** Make a picture with its mask, for the chosen view; it says where the picture turns out to be damaged. */
export function makeShot() {
  const shot = makePictures();
  const picture = partOf(shot, ".tl-picture");
  picture.addEventListener("error", () => shot.classList.add("tl-broken"));
  picture.addEventListener("load", () => shot.classList.remove("tl-broken"));
  return shot;
}

function makePictures() {
  return make(
    "span",
    { class: "tl-shot" },
    make(
      "span",
      { class: "tl-half" },
      make("img", { class: "tl-picture", alt: "", decoding: "async", draggable: "false" }),
      make("img", { class: "tl-preview", alt: "", draggable: "false" }),
      make("span", { class: "tl-tint" }),
      make("img", { class: "tl-early-mask", alt: "", draggable: "false" }),
    ),
    make("span", { class: "tl-half tl-second" }, make("img", { class: "tl-mask", alt: "", draggable: "false" })),
  );
}

/**
 * Show a take, if there is one, with its mask smooth or `raw`; while it renders, also its mask and its `preview`.
 * @param {HTMLElement} shot @param {Take | null} take @param {string} words
 * @param {{ earlyMask?: string | null, preview?: string | null, raw?: boolean }} more
 */
export function paintShot(shot, take, words, { earlyMask = null, preview = null, raw = false } = {}) {
  const [picture, tint, early, mask] = [".tl-picture", ".tl-tint", ".tl-early-mask", ".tl-mask"].map((name) =>
    controlOf(shot, name),
  );
  const whole = take && !take.fault;
  picture.hidden = mask.hidden = !whole;
  tint.hidden = !whole || Boolean(preview);
  if (whole) {
    setSource(picture, take.image);
    const shape = raw ? take.mask : take.smooth;
    setSource(mask, shape);
    picture.alt = words;
    mask.alt = "Foreground mask: the character is white";
    tint.style.setProperty("--tl-mask", `url("${shape}")`);
  }
  early.hidden = !earlyMask;
  if (earlyMask) setSource(early, earlyMask);
  if (!whole) shot.classList.remove("tl-broken");
  shot.classList.toggle("tl-empty", !whole && !earlyMask && !preview);
}

/**
 * Show the preview of a frame that renders, sharper with every step. Without a `preview` the last
 * one fades out over the take.
 * @param {HTMLElement} image @param {string | null} preview @param {FrameProgress | undefined} doing
 */
function paintPreview(image, preview, doing) {
  image.classList.toggle("tl-shown", Boolean(preview));
  if (!preview) return;
  setSource(image, preview);
  image.style.setProperty("--tl-soft", doing?.steps ? (1 - (doing.step ?? 0) / doing.steps).toFixed(3) : "1");
}

/** @param {Frame} frame @param {Setup} setup @returns {HTMLElement} */
export function makeCard(frame, setup) {
  const open = make("button", { type: "button", class: "tl-open", "data-action": "look" }, makeShot());
  return make(
    "article",
    { class: "tl-card", "data-frame": frame.id, tabindex: -1 },
    make(
      "header",
      { class: "tl-card-head", draggable: "true", title: "Drag to move (or Alt + arrow keys)" },
      make("span", { class: "tl-number" }),
      make("span", { class: "tl-gap" }),
      button("identity", "person", { hint: "Let the other frames keep the character of this one", kind: "tl-small" }),
      button("keep-take", "lock", { hint: "Keep this take: do not generate it with the others", kind: "tl-small" }),
      icon("grip"),
    ),
    make("div", { class: "tl-stage" }, open, makeBadges(), make("span", { class: "tl-state" }), make("span", { class: "tl-track" }, make("i"))),
    make("p", { class: "tl-caption", dir: "auto" }),
    makeTakes(setup, frame),
    make("p", { class: "tl-refused", id: `tl-seed-${frame.id}`, role: "status", hidden: true }),
    makeWarnings(),
    make(
      "div",
      { class: "tl-stack tl-fields" },
      makeKnown(field("Action", textArea("action", { placeholder: "waving", longest: setup.limits.short, rows: 1 })), "actions", true),
      makeKnown(
        field(
          "Location",
          textInput("location", { placeholder: "on a sunny beach", longest: setup.limits.short, list: "tl-locations" }),
        ),
        "locations",
      ),
      toggle("share_background", "Keep this location", make("span", { class: "tl-hint tl-place" })),
      makeCloseness(setup),
    ),
    makeTools(),
  );
}

/** Give a card a field for the frame's own character, which most frames have not. @param {HTMLElement} card @param {Setup} setup */
function addOwnCharacter(card, setup) {
  if (card.querySelector('[data-field="character"]')) return; // it stays while it is emptied
  partOf(card, ".tl-fields").append(makeKnown(field("Character in this frame", textArea("character", { longest: setup.limits.long }))));
}

/** @param {Setup} setup */
function makeCloseness(setup) {
  const [lowest, highest] = setup.limits.strength;
  const control = slider("reference_strength", { lowest, highest, step: 0.05 });
  return make(
    "label",
    { class: "tl-field tl-closeness" },
    make("span", { class: "tl-label tl-row" }, "Reference strength", make("span", { class: "tl-gap" }), make("span", { class: "tl-strength" })),
    control,
  );
}

function makeBadges() {
  return make(
    "span",
    { class: "tl-badges" },
    make("span", { class: "tl-badge tl-identity", title: "The other frames keep the character of this frame", text: "Identity frame" }),
    make("span", { class: "tl-badge tl-edited", text: "Out of date" }),
  );
}

/** @param {Setup} setup @param {Frame} frame */
function makeTakes(setup, frame) {
  return make(
    "div",
    { class: "tl-takes" },
    button("earlier", "left", { hint: "Previous take" }),
    make("span", { class: "tl-take-words" }),
    button("later", "right", { hint: "Next take" }),
    make("span", { class: "tl-gap" }),
    makeSeed(setup, frame),
  );
}

/** Make the field of the seed; it shows the take's seed where the frame has none of its own. @param {Setup} setup @param {Frame} frame */
function makeSeed(setup, frame) {
  const seed = numberInput("seed", { lowest: 0, highest: setup.limits.seed });
  seed.setAttribute("aria-label", "Seed");
  seed.setAttribute("aria-describedby", `tl-seed-${frame.id}`);
  return make(
    "span",
    { class: "tl-seed" },
    make("span", { class: "tl-label", text: "Seed" }),
    seed,
    button("lock", "pin", { hint: "Keep the seed of this take" }),
  );
}

function makeTools() {
  return make(
    "footer",
    { class: "tl-tools tl-row" },
    button("back", "left", { hint: "Move earlier" }),
    button("forth", "right", { hint: "Move later" }),
    button("duplicate", "copy", { hint: "Duplicate" }),
    button("remove", "trash", { hint: "Remove" }),
    make("span", { class: "tl-gap" }),
    button("redo", "redo", { label: "Redo", hint: "Generate this frame again (Ctrl+Enter)" }),
  );
}

/**
 * @typedef {object} CardShown
 * @property {Board} board
 * @property {Setup} setup
 * @property {number} index of the frame
 * @property {Result | undefined} result
 * @property {string | undefined} preview
 * @property {Work} work
 * @property {{ outdated: boolean, identity: boolean }} facts
 * @property {string} hint sentence about the frames that share its location
 * @property {number | null} strength the storyboard's reference strength; null where no reference picture is used
 * @property {Model | undefined} model
 * @property {string | undefined} refused why the seed that was typed was refused
 */

/** Update a card from the board, its takes and the running jobs. @param {HTMLElement} card @param {CardShown} shown */
export function paintCard(card, { board, setup, index, result, preview, work, facts, hint, strength, model, refused }) {
  const frame = board.frames[index];
  const doing = work.frames[frame.id];
  const take = chosenTake(result);
  const find = (/** @type {string} */ name) => controlOf(card, name);
  card.setAttribute("aria-label", `Frame ${index + 1}`);
  card.dataset.state = doing?.state ?? (take ? "rendered" : "empty");
  setText(find(".tl-number"), String(index + 1));
  setText(find(".tl-caption"), [frame.action, frame.location].filter(Boolean).join(", "));
  const identity = facts.identity && board.settings.consistent;
  find(".tl-identity").hidden = !identity;
  find(".tl-edited").hidden = !facts.outdated;
  find('[data-action="identity"]').setAttribute("aria-pressed", String(identity));
  find('[data-action="keep-take"]').setAttribute("aria-pressed", String(frame.locked));
  find('[data-action="keep-take"]').disabled = !take && !frame.locked;
  paintRefusal(find("[data-field=seed]"), find(".tl-refused"), refused);
  if (frame.character) addOwnCharacter(card, setup);
  for (const control of controls(card, "[data-field]:not([type=range])")) {
    setValue(control, frame[/** @type {keyof Frame} */ (control.dataset.field)]);
  }
  for (const box of controls(card, ".tl-known")) paintKnown(box, model, board.character.name);
  paintCloseness(find(".tl-closeness"), frame, strength);
  setText(find(".tl-place"), hint);
  const becoming = (doing?.phase === "render" && preview) || null;
  paintShot(find(".tl-shot"), take, frameWords(frame, index), { earlyMask: doing?.mask, preview: becoming });
  paintPreview(find(".tl-preview"), becoming, doing);
  const look = find(".tl-open");
  look.disabled = !take;
  look.setAttribute("aria-label", take ? `Enlarge frame ${index + 1}` : `Frame ${index + 1} is not generated yet`);
  paintDoing(card, doing, take);
  paintTakes(find(".tl-takes"), result, take);
  paintTools(card, { frame, index, count: board.frames.length, take, doing });
}

/** @param {HTMLElement} row @param {Frame} frame @param {number | null} strength */
function paintCloseness(row, frame, strength) {
  row.hidden = strength === null || Boolean(frame.character.trim());
  if (strength !== null && !row.hidden) paintStrength(row, frame.reference_strength, strength, "the storyboard's strength");
}

/** @param {HTMLElement} card @param {FrameProgress | undefined} doing @param {Take | null} take */
function paintDoing(card, doing, take) {
  const rendering = doing?.state === "rendering";
  /** @type {Record<string, string>} */
  const doings = { waiting: "Waiting", rendering: stepWords(doing) };
  const words = doings[doing?.state ?? ""] ?? (take ? (take.fault ? "No picture" : "") : "Not generated yet");
  const state = partOf(card, ".tl-state");
  setText(state, words);
  state.hidden = !words;
  const track = partOf(card, ".tl-stage > .tl-track");
  track.hidden = !rendering;
  partOf(track, "i").style.width = rendering && doing.steps ? `${(100 * (doing.step ?? 0)) / doing.steps}%` : "0";
}

/** @param {HTMLElement} row @param {Result | undefined} result @param {Take | null} take the chosen one */
function paintTakes(row, result, take) {
  const takes = result?.takes ?? [];
  const position = take ? takes.indexOf(take) : -1;
  const part = (/** @type {string} */ name) => controlOf(row, name);
  for (const name of ['[data-action="earlier"]', ".tl-take-words", '[data-action="later"]']) part(name).hidden = !take;
  part('[data-action="earlier"]').disabled = position <= 0;
  part('[data-action="later"]').disabled = !take || position === takes.length - 1;
  setText(part(".tl-take-words"), take ? `Take ${position + 1} of ${takes.length}` : "");
  part(".tl-take-words").title = take ? takeFacts(take) : "";
  part('[data-field="seed"]').placeholder = take ? String(take.seed) : "random";
}

/**
 * @param {HTMLElement} card
 * @param {{ frame: Frame, index: number, count: number, take: Take | null, doing: FrameProgress | undefined }} shown
 */
function paintTools(card, { frame, index, count, take, doing }) {
  const tool = (/** @type {string} */ action) => controlOf(card, `[data-action="${action}"]`);
  tool("back").disabled = index === 0;
  tool("forth").disabled = index === count - 1;
  tool("redo").disabled = doing !== undefined && doing.state !== "rendered";
  setText(partOf(tool("redo"), "span"), take ? "Redo" : "Generate");
  partOf(tool("redo"), "svg").toggleAttribute("hidden", !take);
  const lock = tool("lock");
  const kept = frame.seed !== null;
  lock.setAttribute("aria-pressed", String(kept));
  lock.disabled = !kept && !take;
  lock.title = kept ? "Use a new seed each time" : take ? `Keep the seed of this take (${take.seed})` : "Generate the frame first";
  lock.setAttribute("aria-label", kept ? "Use a new seed each time" : "Keep the seed of this take");
}

/** Describe a frame in words. @param {import("../types.js").Frame} frame @param {number} index */
export const frameWords = (frame, index) =>
  `Frame ${index + 1}: ${[frame.action, frame.location].filter(Boolean).join(", ") || "no description"}`;
