// Messages for a person: a banner that stays until it is read, and a short one that goes by itself.

/** @import { Fault } from "./types.js" */

import { button, icon, make } from "./dom.js";

const SHORT = 4000; // milliseconds
const WITH_ACTION = 8000;

/** Make the button that brings back a board that was deleted elsewhere. @param {{ restorable: boolean }} deleted */
const makeRemedy = ({ restorable }) =>
  restorable ? button("restore-here", "undo", { label: "Restore" }) : button("keep-here", "check", { label: "Keep the words" });

/** @param {HTMLElement} root */
export function makeMessages(root) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const banner = make("div", { class: "tl-banner", role: "alert", hidden: true });
  const toast = make("div", { class: "tl-toast", role: "status", hidden: true });
  const live = make("div", { class: "tl-unseen", role: "status" });
  /** @type {Fault | null} */
  let shown = null;
  /** The action of the short message. @type {(() => void) | null} */
  let offered = null;
  root.addEventListener("close", () => root.append(toast), true);

  /** @param {Fault | null} fault */
  function paintBanner(fault) {
    if (fault === shown) return;
    shown = fault;
    banner.hidden = !fault;
    if (!fault) return;
    banner.dataset.kind = fault.kind ?? "fault";
    banner.replaceChildren(
      icon("alert"),
      make("p", {}, make("strong", { text: fault.problem }), fault.remedy ? ` ${fault.remedy}` : ""),
      ...(fault.deleted ? [makeRemedy(fault.deleted)] : []),
      button("dismiss", "close", { hint: "Dismiss" }),
    );
    banner.scrollIntoView({ block: "nearest" });
  }

  /** Show a short message, with a button for an action where there is one. */
  function say(/** @type {string} */ text, label = "", /** @type {(() => void) | null} */ action = null) {
    toast.replaceChildren(make("span", { text }));
    offered = action;
    if (action) {
      const act = button("", "undo", { label });
      act.addEventListener("click", () => {
        toast.hidden = true;
        action();
      });
      toast.append(act);
    }
    // Behind an open dialog nothing can be clicked.
    (root.querySelector("dialog[open]") ?? root).append(toast);
    toast.hidden = false;
    clearTimeout(timer);
    timer = setTimeout(() => (toast.hidden = true), action ? WITH_ACTION : SHORT);
  }

  /** Take back a message that offers an action; any message where none is named. @param {(() => void) | null} action */
  function withdraw(action = null) {
    if (!action || action === offered) toast.hidden = true;
  }

  /** Tell a screen reader. */
  function announce(/** @type {string} */ words) {
    live.textContent = words;
  }

  return { banner, toast, live, paintBanner, say, withdraw, announce };
}
