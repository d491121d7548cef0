// The character's pictures: each question is about the board that was on the page when it was asked.

import assert from "node:assert/strict";
import { test } from "node:test";

import { makePictures } from "../../assets/ui/pictures.js";
import { board, held, settled, storeWith } from "./boards.js";

/** @param {any} parts `ask`, `upload`, and the draft */
function pageWith({ ask = async () => ({}), upload = async () => ({ path: "/up/maya.png" }), draft = null, open = async () => {} }) {
  const store = storeWith(board(), /** @type {any} */ ({ setup: { server: "s", models: [], limits: { upload: 1000 } }, reference: { used: null, draft, fault: "" }, busy: "", tab: null }));
  /** @type {string[]} */
  const said = [];
  /** @type {any[]} */
  const asked = [];
  const counted = (/** @type {string} */ name, /** @type {any} */ data) => {
    asked.push([store.state.board.project, name, data]);
    return ask(name, data);
  };
  const root = /** @type {any} */ ({ querySelector: () => null });
  const parts = { root, store, ask: counted, upload, editing: {}, say: (/** @type {string} */ words) => said.push(words), maskEditor: { open, finish: () => "" } };
  return { pictures: makePictures(/** @type {any} */ (parts)), store, asked, said };
}

const FILE = /** @type {any} */ ({ name: "maya.png", size: 10 });
const other = { board: board("xyz", { project: "q" }), busy: "", reference: { used: null, draft: null, fault: "" } };

test("a picture whose upload ends on another board is not used there", async () => {
  const sent = held();
  const { pictures, store, asked, said } = pageWith({ upload: () => sent.promise });
  const done = pictures.bring(FILE);
  store.set({ ...other, busy: "of the other board" });
  sent.resolve({ path: "/up/maya.png" });
  await done;
  assert.deepEqual(asked, []);
  assert.match(said[0], /maya\.png was not used/);
  assert.equal(store.state.busy, "of the other board");
});

test("an upload that fails on another board is no fault of that one", async () => {
  const { pictures, store } = pageWith({ upload: () => Promise.reject(new Error("away")) });
  const done = pictures.bring(FILE);
  store.set(other);
  await done;
  assert.equal(store.state.reference.fault, "");
  await pictures.bring(FILE);
  assert.match(store.state.reference.fault, /could not be uploaded/);
});

test("questions wait for each other, and those of another board are not asked", async () => {
  const first = held();
  const { pictures, store, asked } = pageWith({ ask: () => first.promise, draft: { id: "d" } });
  const done = [pictures.search(), pictures.use()];
  await settled();
  assert.deepEqual(asked.map(([, name]) => name), ["find_figure"]);
  store.set(other);
  first.resolve({});
  await Promise.all(done);
  assert.deepEqual(asked.map(([project, name]) => [project, name]), [["p", "find_figure"]]);
});

test("a question that breaks does not stop the next", async () => {
  let broken = true;
  const { pictures, asked } = pageWith({
    draft: { id: "d" },
    ask: async () => {
      if (broken) throw new Error("broken");
      return null;
    },
  });
  await assert.rejects(pictures.discard(), /broken/);
  broken = false;
  await pictures.discard();
  assert.equal(asked.length, 2);
});

test("a picture that cannot be loaded for the brush is said so, and other faults are not hidden", async () => {
  const lost = pageWith({ draft: { id: "d" }, open: async () => Promise.reject(new DOMException("no image", "EncodingError")) });
  await lost.pictures.mend();
  assert.match(lost.store.state.reference.fault, /could not be loaded/);
  const broken = pageWith({ draft: { id: "d" }, open: async () => Promise.reject(new TypeError("a bug")) });
  await assert.rejects(broken.pictures.mend(), TypeError);
});

test("strokes that did not arrive are known not to have", async () => {
  for (const [answer, arrived] of [[{}, true], [null, false]]) {
    const { pictures } = pageWith({ ask: async () => answer });
    assert.equal(await pictures.sendStrokes("d", "data:"), arrived);
  }
});
