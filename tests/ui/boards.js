// Boards, and a store with one, for tests.

import { makeStore } from "../../assets/ui/store.js";

/** @import { Board, Frame, State } from "../../assets/ui/types.js" */

/** @param {string} id @param {Partial<Frame>} fields @returns {Frame} */
export const frame = (id, fields = {}) => ({
  id,
  action: `action ${id}`,
  location: "beach",
  share_background: false,
  character: "",
  reference_strength: null,
  seed: null,
  locked: false,
  ...fields,
});

/** @param {string} ids one letter a frame @param {Partial<Board>} fields @returns {Board} */
export const board = (ids = "abc", fields = {}) => ({
  project: "p",
  title: "A day",
  character: { name: "", description: "a girl", strength: null },
  frames: [...ids].map((id) => frame(id)),
  settings: {
    model: "miniature",
    width: 256,
    height: 256,
    steps: null,
    guidance: null,
    shortcut: "exact",
    consistent: true,
    merge: true,
    identity: "",
    styles: [],
  },
  ...fields,
});

/** Change some frames of a board. @param {Board} from @param {Record<string, Partial<Frame>>} changes */
export const withFrames = (from, changes) => ({
  ...from,
  frames: from.frames.map((each) => ({ ...each, ...changes[each.id] })),
});

/** @param {Board} of */
export const ids = (of) => of.frames.map(({ id }) => id).join("");

/** Return data as it comes back from the server, with fields in another order. @param {any} data @returns {any} */
export function asSent(data) {
  if (Array.isArray(data)) return data.map(asSent);
  if (data === null || typeof data !== "object") return data;
  return Object.fromEntries(Object.entries(data).reverse().map(([key, value]) => [key, asSent(value)]));
}

/** Make the store of a page that shows a saved board. @param {Board} shown @param {Partial<State>} parts */
export const storeWith = (shown = board(), parts = {}) =>
  makeStore(
    /** @type {State} */ ({
      setup: { server: "s" },
      board: shown,
      base: { board: shown, revision: "r0" },
      saving: "saved",
      connection: "ok",
      results: {},
      wished: {},
      outdated: {},
      kept: {},
      origins: {},
      identity: null,
      locations: null,
      progress: { state: "idle", frames: {} },
      previews: {},
      asked: [],
      stopping: false,
      usable: {},
      refused: {},
      conflicts: [],
      fault: null,
      ...parts,
    }),
  );

/** Make a promise that a test settles. @returns {{ promise: Promise<any>, resolve: (value: any) => void }} */
export function held() {
  /** @type {(value: any) => void} */
  let resolve = () => {};
  const promise = new Promise((settle) => (resolve = settle));
  return { promise, resolve };
}

/** Let what waits on settled promises run. */
export const settled = () => new Promise((resolve) => setImmediate(resolve));
