// Dialog with a question that a person answers by one of two buttons.

import { button, make, part } from "../dom.js";

/**
 * @typedef {object} Question
 * @property {string} title
 * @property {(string | Node)[]} paragraphs
 * @property {string} yes label of the button that agrees
 * @property {string} [no] label of the other one
 */

export function makeQuestion() {
  const heading = make("h2");
  const words = make("div", { class: "tl-stack tl-terms" });
  const yes = button("", "check", { label: "Yes", kind: "tl-primary" });
  const no = button("shut", "", { label: "No" });
  const dialog = make(
    "dialog",
    { class: "tl-dialog tl-question" },
    heading,
    words,
    make("div", { class: "tl-row" }, make("span", { class: "tl-gap" }), no, yes),
  );
  yes.addEventListener("click", () => dialog.close("yes"));

  /** @type {Promise<unknown>} */
  let last = Promise.resolve();

  /** Ask, once earlier questions are answered; return whether the person agrees. @param {Question} question @returns {Promise<boolean>} */
  function ask(question) {
    const answer = last.then(() => show(question));
    last = answer;
    return answer;
  }

  /** @param {Question} question @returns {Promise<boolean>} */
  function show({ title, paragraphs, yes: agree, no: refuse = "Not now" }) {
    heading.textContent = title;
    dialog.setAttribute("aria-label", title);
    words.replaceChildren(...paragraphs.map((paragraph) => make("p", {}, paragraph)));
    part(yes, "span").textContent = agree;
    part(no, "span").textContent = refuse;
    no.title = refuse;
    yes.title = agree;
    dialog.returnValue = "";
    dialog.showModal();
    return new Promise((answer) => {
      dialog.addEventListener("close", () => answer(dialog.returnValue === "yes"), { once: true });
    });
  }

  return { dialog, ask };
}
