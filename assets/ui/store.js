// The one store of the page's state.

/** @import { State } from "./types.js" */

/**
 * @typedef {{ state: State, set: (changes: Partial<State>) => void, subscribe: (listener: () => void) => void }} Store
 *   `set` replaces some parts and calls the listeners at once.
 */

/** @param {State} initial @returns {Store} */
export function makeStore(initial) {
  /** @type {(() => void)[]} */
  const listeners = [];
  const store = {
    state: initial,
    set(/** @type {Partial<State>} */ changes) {
      store.state = { ...store.state, ...changes };
      for (const listener of listeners) listener();
    },
    subscribe: (/** @type {() => void} */ listener) => void listeners.push(listener),
  };
  return store;
}
