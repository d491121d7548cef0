// Boards, and a store with one, for tests.

import { makeStore } from "../../assets/ui/store.js";

/** @import { Board, Frame, Setup, State, Take } from "../../assets/ui/types.js" */

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
      damaged: [],
      left: [],
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
      unread: [],
      ...parts,
    }),
  );

/** Facts that stay the same while a server runs. @type {Setup} */
export const SETUP = {
  models: [
    {
      name: "miniature", title: "Miniature", note: "Small.", licence: "MIT", licence_url: "", non_commercial: false, steps: 20, guidance: 3.5,
      sizes: [{ ratio: "1:1", width: 256, height: 256 }], shortcuts: [{ name: "exact", title: "Exact", note: "", probe: true, conditions: "", cost: [] }],
      fewer_steps: "", made_for: null, knows: { words: ["a", "girl", "beach", "waving"], locations: ["on a beach"], actions: ["waving"] }, subject: null,
    },
  ],
  listed: true,
  matting: null,
  server: "s",
  limits: {
    frames: 24, guidance: [1, 10], long: 2000, seed: 4294967295, short: 500, steps: 200, strength: [0, 2], style_weight: [0, 2], styles: 4,
    upload: 1000, board: 1000,
  },
};

/** Make a take. @param {string} id @param {Partial<Take>} fields @returns {Take} */
export const take = (id, fields = {}) => ({
  id, image: `/${id}.png`, mask: `/${id}-mask.png`, smooth: `/${id}-smooth.png`, seed: 7, seconds: 1.5, foreground: 0.25, matches: null, starred: false, ...fields,
});

/** Make a promise that a test settles. @returns {{ promise: Promise<any>, resolve: (value: any) => void }} */
export function held() {
  /** @type {(value: any) => void} */
  let resolve = () => {};
  const promise = new Promise((settle) => (resolve = settle));
  return { promise, resolve };
}

/** Let what waits on settled promises run. */
export const settled = () => new Promise((resolve) => setImmediate(resolve));
