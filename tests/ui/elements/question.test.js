// Questions: each has an answer of its own.

import assert from "node:assert/strict";
import { test } from "node:test";

import { shown } from "../document.js";
import { makeQuestion } from "../../../assets/ui/elements/question.js";
import { settled } from "../boards.js";

/** @param {string} title */
const asking = (title) => ({ title, paragraphs: ["Really?"], yes: `Yes to ${title}`, no: `No to ${title}` });

test("a question that comes while another is open waits, and is not answered with it", async () => {
  const { dialog, ask } = makeQuestion();
  shown(dialog);
  const answers = [ask(asking("one")), ask(asking("two"))];
  await settled();
  assert.equal(dialog.querySelector("h2")?.textContent, "one");
  dialog.close("yes");
  await settled();
  assert.equal(await answers[0], true);
  assert.ok(dialog.open);
  assert.equal(dialog.querySelector("h2")?.textContent, "two");
  dialog.close();
  assert.equal(await answers[1], false);
});

test("the button that agrees says to what, and agrees", async () => {
  const { dialog, ask } = makeQuestion();
  shown(dialog);
  const answer = ask(asking("one"));
  await settled();
  const yes = /** @type {HTMLElement} */ (dialog.querySelector(".tl-primary"));
  assert.equal(yes.textContent, "Yes to one");
  yes.click();
  assert.equal(await answer, true);
  assert.ok(!dialog.open);
});
