// Building blocks: elements, icons, fields and values. Text is inserted as text, never as markup.

/**
 * @typedef {HTMLInputElement} Control
 *   A field or a button. Selections, text areas and buttons have those of its properties that are used of them.
 */

const SVG = "http://www.w3.org/2000/svg";

/** Paths in a square of 24 units. @type {Record<string, string>} */
const ICONS = {
  alert: "M12 8v5M12 16.5v.5M10.3 4 2.6 17.5A2 2 0 0 0 4.3 20.5h15.4a2 2 0 0 0 1.7-3L13.7 4a2 2 0 0 0-3.4 0Z",
  book: "M12 6.5C10 5 7 4.5 3 4.5v13c4 0 7 .5 9 2 2-1.5 5-2 9-2v-13c-4 0-7 .5-9 2Zm0 0v13",
  brush: "M20.5 3.5 11 13M8.5 13c-2.5 0-3.5 1.8-3.5 3.6 0 1.6-.8 2.6-2 3.2 3.6 1.3 8.6.3 8.6-3.6 0-1.8-1.3-3.2-3.1-3.2Z",
  check: "M5 12.5l4.5 4.5L19 7.5",
  close: "M6 6l12 12M18 6 6 18",
  columns: "M4 5h16v14H4zM12 5v14",
  copy: "M9 9h11v11H9zM15 9V4H4v11h5",
  down: "M6 9l6 6 6-6",
  download: "M12 4v11m-5-5 5 5 5-5M5 20h14",
  folder: "M3 6.5h6.5l2 2.5H21v10.5H3z",
  grid: "M4 5h7v6H4zM13 5h7v6h-7zM4 13h7v6H4zM13 13h7v6h-7z",
  grip: "M9 6h.01M15 6h.01M9 12h.01M15 12h.01M9 18h.01M15 18h.01",
  left: "M15 5l-7 7 7 7",
  lock: "M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3",
  minus: "M5 12h14",
  overlay: "M4 5h16v14H4zM12 8.5a2 2 0 1 1 0 4 2 2 0 0 1 0-4ZM8 19c0-3 1.5-4.5 4-4.5s4 1.5 4 4.5",
  pencil: "M4 20l1-4.5L16 4.5l3.5 3.5L8.5 19zM13.5 7l3.5 3.5",
  person: "M12 4a4 4 0 1 1 0 8 4 4 0 0 1 0-8ZM4.5 20.5c0-4 3-6 7.5-6s7.5 2 7.5 6",
  picture: "M4 5h16v14H4zM4 16l5-5 5 5 2-2 4 4M15.5 9h.01",
  pin: "M9 4h6l-1 6 3 3v2H7v-2l3-3zM12 15v6",
  play: "M7 4.5v15l12-7.5z",
  plus: "M12 5v14M5 12h14",
  redo: "M19.5 12a7.5 7.5 0 1 1-2.2-5.3L20 9.5M20 4v5.5h-5.5",
  right: "M9 5l7 7-7 7",
  settings: "M4 7h9M17 7h3M4 17h3M11 17h9M15 4.5v5M9 14.5v5",
  star: "M12 3.5l2.6 5.6 6 .7-4.5 4.1 1.3 6-5.4-3.1-5.4 3.1 1.3-6L3.4 9.8l6-.7z",
  stop: "M6.5 6.5h11v11h-11z",
  trash: "M4.5 7h15M9.5 7V4.5h5V7M6.5 7l1 13h9l1-13M10 11v5.5M14 11v5.5",
  undo: "M4 9.5h10a5.5 5.5 0 0 1 0 11H9M4 9.5 8.5 5M4 9.5 8.5 14",
  upload: "M12 15V4m-5 5 5-5 5 5M5 20h14",
};

/**
 * Make an element. Attributes that are null or false are left out; true gives an empty one.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string | number | boolean | null>} attributes and the "text"
 * @param {(Node | string | null)[]} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") element.textContent = String(value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** Return a part of an element, which is there. @param {ParentNode} root @param {string} selector */
export const part = (root, selector) => /** @type {HTMLElement} */ (root.querySelector(selector));

/** Return a field or a button in an element, which is there. @param {ParentNode} root @param {string} selector */
export const control = (root, selector) => /** @type {Control} */ (root.querySelector(selector));

/** Return all fields or buttons of a kind. @param {ParentNode} root @param {string} selector */
export const controls = (root, selector) => /** @type {NodeListOf<Control>} */ (root.querySelectorAll(selector));

/** @param {string} name */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "tl-icon");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/**
 * Make a button for `action`; without a visible label, `hint` is its name.
 * @param {string} action @param {string} iconName @param {{ label?: string, hint?: string, kind?: string }} words
 */
export function button(action, iconName, { label = "", hint = label, kind = "" } = {}) {
  return make(
    "button",
    {
      type: "button",
      class: `tl-button ${label ? "" : "tl-only-icon"} ${kind}`,
      "data-action": action,
      "aria-label": label ? null : hint,
      title: hint,
    },
    iconName ? icon(iconName) : null,
    label ? make("span", { text: label }) : null,
  );
}

/**
 * Make a labelled field; `data-field` names the part of the document that it edits.
 * @param {string} label @param {Node} control @param {Node | null} hint
 */
export function field(label, control, hint = null) {
  return make("label", { class: "tl-field" }, make("span", { class: "tl-label", text: label }), control, hint);
}

/** @param {string} name @param {{ placeholder?: string, longest?: number, list?: string | null }} options */
export function textInput(name, { placeholder = "", longest = 500, list = null } = {}) {
  return make("input", {
    type: "text",
    class: "tl-input",
    "data-field": name,
    placeholder,
    maxlength: longest,
    list,
    autocomplete: "off",
    spellcheck: "true",
    dir: "auto",
  });
}

/** @param {string} name @param {{ placeholder?: string, longest?: number, rows?: number }} options */
export function textArea(name, { placeholder = "", longest = 500, rows = 2 } = {}) {
  return make("textarea", {
    class: "tl-input",
    "data-field": name,
    placeholder,
    maxlength: longest,
    rows,
    spellcheck: "true",
    dir: "auto",
  });
}

/** @param {string} name @param {string} label @param {Node | null} hint */
export function toggle(name, label, hint = null) {
  return make(
    "label",
    { class: "tl-toggle" },
    make("input", { type: "checkbox", role: "switch", "data-field": name }),
    make("span", { class: "tl-toggle-words" }, make("span", { text: label }), hint),
  );
}

/** @param {string} name @param {{ lowest: number, highest: number, placeholder?: string }} options */
export function numberInput(name, { lowest, highest, placeholder = "" }) {
  return make("input", {
    type: "number",
    class: "tl-input",
    "data-field": name,
    min: lowest,
    max: highest,
    step: 1,
    placeholder,
    inputmode: "numeric",
  });
}

/** @param {string} name @param {{ lowest: number, highest: number, step: number }} options */
export function slider(name, { lowest, highest, step }) {
  return make("input", {
    type: "range",
    class: "tl-slider",
    "data-field": name,
    min: lowest,
    max: highest,
    step,
  });
}

/**
 * Set a text only where it differs, so that screen readers and selections are not disturbed.
 * @param {Node} element @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Set a control's value where it differs, unless what was typed was refused and stays. A text that is changed
 * elsewhere while a person is in it keeps its caret; a number is left until the person is done.
 * @param {Control} control @param {unknown} value
 */
export function setValue(control, value) {
  const entered = control === document.activeElement;
  if (control.hasAttribute("aria-invalid") || (entered && control.type === "number")) return;
  const text = String(value ?? "");
  if (control.type === "checkbox") control.checked = Boolean(value);
  else if (control.value !== text) {
    const { selectionStart: start, selectionEnd: end } = control;
    control.value = text;
    if (entered) control.setSelectionRange(start, end);
  }
}

/**
 * Move a slider and the mark below it, which a `mark` of null hides.
 * @param {Control} control @param {number} value @param {number | null} mark
 */
export function setSlider(control, value, mark) {
  const [lowest, highest] = [Number(control.min), Number(control.max)];
  const share = (/** @type {number} */ number) => String((number - lowest) / (highest - lowest));
  control.value = String(value);
  control.style.setProperty("--tl-at", share(control.valueAsNumber));
  control.style.setProperty("--tl-mark-at", mark === null ? null : share(mark));
  control.classList.toggle("tl-marked", mark !== null);
}

/** @param {HTMLElement} image @param {string} address */
export function setSource(image, address) {
  if (image.getAttribute("src") !== address) image.setAttribute("src", address);
}

/**
 * Watch the focus while the page is painted: where its control is disabled, hidden or gone then, the card or the
 * dialog around it has the focus, or else the first button above the frames.
 * @param {HTMLElement} root
 * @returns {() => void} to be called when all is painted
 */
export function keepFocus(root) {
  const focused = /** @type {HTMLElement | null} */ (document.activeElement);
  const around = /** @type {HTMLElement | null | undefined} */ (focused?.closest(".tl-card, dialog"));
  const watched = focused && root.contains(focused);
  return () => {
    if (!watched || ![focused, document.body].includes(/** @type {HTMLElement} */ (document.activeElement))) return;
    // Not checkVisibility(), which lays the page out at every paint.
    if (focused.isConnected && !focused.matches(":disabled") && !focused.closest("[hidden], dialog:not([open])")) return;
    const next = around?.isConnected ? around : part(root, ".tl-bar button:not(:disabled, [hidden])");
    next?.focus({ preventScroll: true });
  };
}

/** Call back once nothing is pressed, so that nothing moves under a click. @param {() => void} then */
export function afterPress(then) {
  if (!document.querySelector(":active")) {
    queueMicrotask(then);
    return;
  }
  const waiting = new AbortController();
  const done = () => {
    waiting.abort();
    setTimeout(then);
  };
  for (const end of ["mouseup", "keyup", "dragend", "pointercancel"]) {
    document.addEventListener(end, done, { capture: true, signal: waiting.signal });
  }
}

/**
 * Mark a number field whose content was refused, and say why in its message; empty words unmark it.
 * @param {Control} control @param {HTMLElement} message @param {string} [words]
 */
export function paintRefusal(control, message, words = "") {
  if (words) control.setAttribute("aria-invalid", "true");
  else control.removeAttribute("aria-invalid");
  message.hidden = !words;
  setText(message, words);
}

/** Return a control's value: a boolean, a slider's number, a number or null, or a text. @param {Control} control */
export function valueOf(control) {
  if (control.type === "checkbox") return control.checked;
  if (control.type === "range") return control.valueAsNumber;
  if (control.type !== "number") return control.value;
  return control.value === "" ? null : Number(control.value);
}
