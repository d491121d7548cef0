// Dialog for the terms of a download.

/** @import { Consent } from "../types.js" */

import { button, make, setText } from "../dom.js";
import { licenceLink } from "./licence.js";

export function makeConsent() {
  const agree = button("", "check", { label: "Agree", kind: "tl-primary" });
  const dialog = make(
    "dialog",
    { class: "tl-dialog tl-consent", "aria-label": "Download terms" },
    make("h2", { text: "Before the first download" }),
    make("p", { class: "tl-terms" }),
    make("p", { class: "tl-hint" }),
    make("div", { class: "tl-row" }, make("span", { class: "tl-gap" }), button("shut", "", { label: "Not now" }), agree),
  );
  agree.addEventListener("click", () => dialog.close("agreed"));

  /** Ask for an agreement. @param {Consent} consent @returns {Promise<boolean>} */
  function ask(consent) {
    const { terms, download_bytes: bytes } = consent;
    const [words, size] = dialog.querySelectorAll("p");
    words.replaceChildren(`${terms} Licence: `, licenceLink(consent), ".");
    const amount = bytes ? `About ${(bytes / 1e9).toFixed(bytes < 1e10 ? 1 : 0)} GB will be downloaded, once. ` : "";
    setText(size, `${amount}Nothing is downloaded unless you agree.`);
    dialog.returnValue = "";
    dialog.showModal();
    return new Promise((answer) => {
      dialog.addEventListener("close", () => answer(dialog.returnValue === "agreed"), { once: true });
    });
  }

  return { dialog, ask };
}
