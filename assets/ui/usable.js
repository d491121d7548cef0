// Whether the models can render on the server's machine: asked in the background, and again when settings are looked at.

/** @import { Call } from "./call.js" */
/** @import { Store } from "./store.js" */

const KEPT = 30_000; // milliseconds; free memory changes
const SETTLED = 1_500; // milliseconds after which an opened page is quiet

/** @param {{ root: HTMLElement, store: Store, call: Call }} parts */
export function askForUsableModels({ root, store, call }) {
  let asked = -Infinity;

  async function ask() {
    if (performance.now() - asked < KEPT) return;
    asked = performance.now();
    const answer = await call("models");
    if ("ok" in answer) store.set({ usable: answer.ok.usable });
    else asked = -Infinity;
  }

  root.addEventListener("focusin", (event) => {
    if (/** @type {Element} */ (event.target).closest(".tl-settings")) ask();
  });
  // The first answer takes seconds, as the server loads libraries for it.
  setTimeout(() => (window.requestIdleCallback ?? setTimeout)(ask), SETTLED);
}
