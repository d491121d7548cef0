// Clicks on Generate: what is asked first, and what is rendered then.

import assert from "node:assert/strict";
import { test } from "node:test";

import { makeActions } from "../../assets/ui/actions.js";
import { board, held, settled, storeWith } from "./boards.js";

const TAKE = { results: { a: { chosen: "t", takes: [{ id: "t" }] } } };

const plan = (/** @type {object} */ parts) => ({ targets: [], extra: [], empty: [], locked: [], unchanged: [], ...parts });

/**
 * Make the actions of a page with one rendered frame.
 * @param {(name: string, data: any) => any} answer of the server
 * @param {boolean} agrees whether a person agrees to every question
 */
function pageWith(answer, agrees = true) {
  /** @type {[string, any][]} */
  const asked = [];
  /** @type {string[]} */
  const said = [];
  /** @type {string[]} */
  const questions = [];
  const store = storeWith(board(), /** @type {any} */ (TAKE));
  const app = {
    root: new EventTarget(),
    store,
    ask: async (/** @type {string} */ name, /** @type {any} */ data) => {
      asked.push([name, data]);
      return answer(name, data);
    },
    question: {
      ask: async (/** @type {{ title: string }} */ { title }) => {
        questions.push(title);
        return agrees;
      },
    },
    say: (/** @type {string} */ words) => said.push(words),
    editing: {},
    shelf: { actions: {} },
    pictures: {},
    maskEditor: {},
    dismiss() {},
    witness() {},
    look() {},
  };
  return { actions: makeActions(/** @type {any} */ (app)), asked, said, questions, store };
}

test("everything is generated again where a person agrees to that", async () => {
  const answer = (/** @type {string} */ name, /** @type {any} */ { which }) => (name === "plan" ? plan(which === "all" ? { targets: ["a"] } : {}) : { job: "j" });
  for (const agrees of [true, false]) {
    const { actions, asked, questions } = pageWith(answer, agrees);
    await actions.generate();
    assert.deepEqual(questions, ["Everything is up to date"]);
    const generated = [["plan", { which: "all" }], ["generate", { frames: ["a"] }]];
    assert.deepEqual(asked, [["plan", { which: "new" }], ...(agrees ? generated : [])]);
  }
});

test("frames that are left out are named, and a second click while the plan is asked for does nothing", async () => {
  const { actions, asked, said } = pageWith((name) => (name === "plan" ? plan({ targets: ["a"], empty: ["b", "c"] }) : { job: "j" }));
  await Promise.all([actions.generate(), actions.generate()]);
  assert.deepEqual(asked.map(([name]) => name), ["plan", "generate"]);
  assert.deepEqual(said, ["Frames 2 and 3 have no words and are left out."]);
});

test("a render that is refused asks for no frames any more", async () => {
  const { actions, store } = pageWith((name) => (name === "plan" ? plan({ targets: ["a"] }) : null));
  store.set({ asked: ["c"] });
  await actions.redo("a");
  assert.deepEqual(store.state.asked, ["c"]);
});

test("an answer that comes once another board is open changes nothing there", async () => {
  const answer = held();
  const { actions, store } = pageWith((name) => (name === "plan" ? plan({ targets: ["a"] }) : answer.promise));
  const running = { state: "running", job: "j", frames: { c: { state: "rendering" } } };
  store.set({ progress: running });
  const done = actions.redo("a");
  await settled();
  assert.deepEqual(store.state.asked, ["a"]);
  const rest = { state: "idle", frames: {} };
  store.set({ board: board("xyz", { project: "q" }), progress: rest, asked: ["x"] });
  answer.resolve(null);
  await done;
  assert.deepEqual([store.state.progress, store.state.asked], [rest, ["x"]]);
});
