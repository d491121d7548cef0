// Dialog for saving a board as a file: says what each kind holds, and what its pictures carry.

/** @import { State } from "../types.js" */

import { button, icon, make } from "../dom.js";

const FORMS = [
  ["zip", "ZIP", "Everything: pictures, masks, all takes, words and settings. It opens again as it is here."],
  ["json", "storyboard.json", "All words, seeds and settings, without pictures. It opens again here."],
  ["yaml", "story.yaml", "The same as a text to read and edit. It opens here, and renders on the command line."],
];

export function makeSaveAs() {
  return make(
    "dialog",
    { class: "tl-dialog tl-save-as", "aria-labelledby": "tl-save-as-title" },
    make("div", { class: "tl-row" }, make("h2", { id: "tl-save-as-title", text: "Save as" }), make("span", { class: "tl-gap" }), button("shut", "close", { hint: "Close" })),
    ...FORMS.map(([form, title, words]) =>
      make(
        "button",
        { type: "button", class: "tl-form", "data-action": "archive", "data-form": form },
        icon("download"),
        make("span", {}, make("strong", { text: title }), make("span", { text: words })),
      ),
    ),
    make("p", { class: "tl-hint tl-inside" }),
  );
}

/** @param {HTMLElement} dialog @param {State} state */
export function paintSaveAs(dialog, { results, reference }) {
  const pictures = Object.keys(results).length > 0;
  const words = [
    pictures
      ? "Each picture carries the prompt and the settings of its own frame in its metadata, and no other frame\u2019s."
      : "No frame has been generated yet, so the ZIP holds no pictures of frames.",
  ];
  if (pictures) words.push("In the ZIP, the folder takes and storyboard.json hold the words of all frames.");
  if (reference.used) words.push("The ZIP also holds the picture that you uploaded of the character; the other two do not.");
  /** @type {HTMLElement} */ (dialog.querySelector(".tl-inside")).textContent = words.join(" ");
}
