// Messages: what they offer is of the board, and of the change, that they speak of.

import assert from "node:assert/strict";
import { mock, test } from "node:test";

import { shown } from "./document.js";
import { make } from "../../assets/ui/dom.js";
import { makeMessages } from "../../assets/ui/messages.js";

mock.timers.enable({ apis: ["setTimeout"] });

function page() {
  const messages = makeMessages(shown(make("div", { class: "tl" })));
  return { ...messages, act: () => /** @type {HTMLElement} */ (messages.toast.querySelector("button")) };
}

test("a message offers its action once", () => {
  const { say, toast, act } = page();
  let count = 0;
  say("Frame 2 removed.", "Undo", () => (count += 1));
  act().click();
  assert.deepEqual([count, toast.hidden], [1, true]);
  say("Saved.");
  assert.deepEqual([toast.hidden, act(), toast.textContent], [false, null, "Saved."]);
});

test("the offer of an action is taken back without the others", () => {
  const { say, toast, withdraw } = page();
  const [undo, other] = [() => {}, () => {}];
  say("Frame 2 removed.", "Undo", undo);
  withdraw(other);
  assert.ok(!toast.hidden);
  withdraw(undo);
  assert.ok(toast.hidden);
  say("Take removed.", "Undo", other);
  withdraw(undo);
  assert.ok(!toast.hidden);
  withdraw();
  assert.ok(toast.hidden);
});

test("a problem is shown with its remedy until it is read, and a deleted board can come back", () => {
  const { banner, paintBanner } = page();
  const fault = { problem: "It was deleted.", remedy: "Restore it.", deleted: { project: "p", restorable: true } };
  paintBanner(fault);
  const kept = banner.firstChild;
  paintBanner(fault);
  assert.equal(banner.firstChild, kept); // not read out a second time
  assert.match(banner.textContent ?? "", /^It was deleted\. Restore it\./);
  const actions = [...banner.querySelectorAll("button")].map((control) => control.dataset.action);
  assert.deepEqual(actions, ["restore-here", "dismiss"]);
  paintBanner(null);
  assert.ok(banner.hidden);
});

test("a short message goes by itself, and one with an action stays longer", () => {
  const { say, toast } = page();
  say("Saved.");
  mock.timers.tick(4000);
  assert.ok(toast.hidden);
  say("Frame 2 removed.", "Undo", () => {});
  mock.timers.tick(4000);
  assert.ok(!toast.hidden);
  mock.timers.tick(4000);
  assert.ok(toast.hidden);
});
