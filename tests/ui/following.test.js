// Following the server: news of jobs and of other pages, and a connection that is lost.

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import { makeFollowing } from "../../assets/ui/following.js";
import { makeSaving } from "../../assets/ui/saving.js";
import { editFrame } from "../../assets/ui/state/board.js";
import { board, held, settled, storeWith } from "./boards.js";

const IDLE = { state: "idle", frames: {} };
const RUNNING = { state: "running", job: "j1", frames: { a: { state: "rendering" } } };
const FAILED = { job: "j1", state: "failed", rendered: 0, problem: "FLUX is not there.", remedy: "Download it." };

beforeEach(() => {
  Object.assign(globalThis, { document: { hidden: false } });
  mock.timers.enable({ apis: ["setTimeout"] });
});

afterEach(() => {
  mock.timers.reset();
  delete (/** @type {any} */ (globalThis)).document;
});

/** A page that follows a server, whose next answers a test sets. */
function pageWith(shown = board()) {
  const store = storeWith(shown);
  const asked = /** @type {any[]} */ ([]);
  const ends = /** @type {any[]} */ ([]);
  const returns = /** @type {boolean[]} */ ([]);
  const page = {
    store,
    asked,
    ends,
    returns,
    news: /** @type {any} */ ({ server: "s", tag: "t1", outcomes: [], progress: IDLE, preview_count: 0 }),
    waits: /** @type {Promise<any> | null} */ (null),
    lost: false,
    shows: /** @type {any[]} */ ([]),
    saveAnswer: /** @type {any} */ ({ ok: { revision: "r1" } }),
    saveWaits: /** @type {Promise<any> | null} */ (null),
  };
  const call = async (/** @type {string} */ name, /** @type {any} */ data) => {
    if (name === "save") {
      await page.saveWaits;
      return page.saveAnswer;
    }
    asked.push(data);
    const answer = structuredClone(page.news);
    await page.waits;
    return page.lost ? { lost: true } : { ok: answer };
  };
  const show = (/** @type {any} */ parts) => {
    page.shows.push(parts);
    if (parts.progress) store.set({ progress: parts.progress });
  };
  const saving = makeSaving({ store, call, show: () => {}, changedElsewhere: () => {} });
  const following = makeFollowing({
    store,
    call,
    show,
    saving,
    ended: (outcome) => ends.push(outcome),
    back: (restarted) => returns.push(restarted),
  });
  return Object.assign(page, { following, saving });
}

/** Let time pass, and what was asked be answered. @param {number} milliseconds */
async function pass(milliseconds) {
  mock.timers.tick(milliseconds);
  await settled();
}

test("a page asks with what it has seen and heard, and goes on asking", async () => {
  const page = pageWith();
  page.following.restart("t0");
  await settled();
  assert.deepEqual(page.asked, [{ project: "p", seen: "t0", previews: 0 }]);
  page.news.preview_count = 7;
  await pass(2000);
  await pass(2000);
  assert.deepEqual(page.asked.slice(1), [
    { project: "p", seen: "t1", previews: 0 },
    { project: "p", seen: "t1", previews: 7 },
  ]);
});

test("it asks more often while something renders or is asked for, and less where nobody looks", async () => {
  const page = pageWith();
  page.following.restart("t1");
  await settled();
  await pass(1900);
  assert.equal(page.asked.length, 1);
  page.news.progress = RUNNING;
  await pass(100);
  assert.equal(page.asked.length, 2);
  await pass(300);
  assert.equal(page.asked.length, 3);
  page.news.progress = IDLE;
  await pass(300);
  await pass(300);
  assert.equal(page.asked.length, 4);
  /** @type {any} */ (globalThis).document.hidden = true;
  await pass(1700);
  await pass(2000);
  assert.equal(page.asked.length, 5);
  await pass(8000);
  assert.equal(page.asked.length, 6);
});

test("a second look waits for the first answer, and then asks", async () => {
  const page = pageWith();
  const wait = held();
  page.waits = wait.promise;
  page.following.restart("t0");
  page.following.look();
  page.following.look();
  await settled();
  assert.equal(page.asked.length, 1);
  wait.resolve(null);
  await settled();
  assert.equal(page.asked.length, 2);
});

test("an end is told once, also where the job had failed before the page first asked", async () => {
  const page = pageWith();
  page.news.outcomes = [FAILED];
  page.following.restart("t0");
  await settled();
  await pass(2000);
  assert.deepEqual(page.ends, [FAILED]);
});

test("what another page changed is taken, and not again", async () => {
  const page = pageWith();
  Object.assign(page.news, { board: editFrame(board(), "b", { action: "theirs" }), revision: "r1", results: {} });
  page.following.restart("t0");
  await settled();
  assert.equal(page.store.state.board.frames[1].action, "theirs");
  assert.equal(page.store.state.base.revision, "r1");
  const { board: shown } = page.store.state;
  await pass(2000);
  assert.equal(page.store.state.board, shown);
});

test("what is typed and not sent yet is kept where another page changes something", async () => {
  const page = pageWith();
  page.store.set({ board: editFrame(board(), "a", { action: "mine" }) });
  Object.assign(page.news, { board: editFrame(board(), "b", { action: "theirs" }), revision: "r1" });
  page.following.restart("t0");
  await settled();
  assert.deepEqual(page.store.state.board.frames.map(({ action }) => action), ["mine", "theirs", "action c"]);
});

test("news from before a save does not take back what was saved", async () => {
  const page = pageWith();
  const wait = held();
  // A take was stored, so the news hold the board, as it was before the save.
  Object.assign(page.news, { board: board(), revision: "r0", progress: RUNNING, results: { a: {} } });
  page.waits = wait.promise;
  page.following.restart("t0");
  page.store.set({ board: editFrame(board(), "a", { action: "mine" }) });
  assert.equal(await page.saving.flush(), true);
  wait.resolve(null);
  await settled();
  assert.equal(page.store.state.board.frames[0].action, "mine");
  assert.equal(page.store.state.base.revision, "r1");
  // The progress is shown; what is stored is asked for again.
  assert.deepEqual(page.shows, [{ progress: RUNNING, previews: undefined }]);
  page.waits = null;
  Object.assign(page.news, { board: page.store.state.board, revision: "r1" });
  await pass(300);
  assert.equal(page.asked[1].seen, "t0");
  assert.deepEqual(page.shows[1].results, { a: {} });
  await pass(300);
  assert.equal(page.asked[2].seen, "t1");
});

test("a save that the news overtake is no change of somebody else", async () => {
  const page = pageWith();
  const wait = held();
  page.saveWaits = wait.promise;
  const sent = editFrame(board(), "a", { action: "wav" });
  page.store.set({ board: sent });
  const saved = page.saving.flush();
  page.store.set({ board: editFrame(board(), "a", { action: "waving" }) });
  Object.assign(page.news, { board: sent, revision: "r1" });
  page.following.restart("t0");
  await settled();
  assert.equal(page.store.state.base.revision, "r0"); // not taken while the save is on its way
  page.saveWaits = null;
  wait.resolve(null);
  assert.equal(await saved, true);
  await pass(2000);
  assert.equal(page.store.state.board.frames[0].action, "waving");
  assert.deepEqual(page.store.state.conflicts, []);
});

test("a connection that is lost is noticed, and so is its return", async () => {
  const page = pageWith();
  page.lost = true;
  page.following.restart("t0");
  await settled();
  assert.equal(page.store.state.connection, "lost");
  assert.deepEqual(page.returns, []);
  page.lost = false;
  await pass(2000);
  assert.equal(page.store.state.connection, "ok");
  assert.deepEqual(page.returns, [false]);
  await pass(2000);
  assert.deepEqual(page.returns, [false]);
});

test("a server that was started anew is noticed, though the connection never seemed lost", async () => {
  const page = pageWith();
  page.following.restart("t0");
  await settled();
  page.news.server = "another";
  await pass(2000);
  await pass(2000);
  assert.deepEqual(page.returns, [true]);
  assert.equal(page.store.state.setup.server, "another");
});

test("news of a board that is no longer shown are left, and the shown one is asked for", async () => {
  const page = pageWith();
  const wait = held();
  page.waits = wait.promise;
  Object.assign(page.news, { outcomes: [FAILED], board: editFrame(board(), "a", { action: "other" }), revision: "r5" });
  page.following.restart("t0");
  const other = board("xy", { project: "q" });
  page.store.set({ board: other, base: { board: other, revision: "r7" } });
  page.following.restart("t7");
  page.waits = null;
  page.news = { server: "s", tag: "t7", outcomes: [], progress: IDLE, preview_count: 0 };
  wait.resolve(null);
  await settled();
  assert.deepEqual(page.ends, []);
  assert.equal(page.store.state.board, other);
  assert.deepEqual(page.asked.map(({ project, seen }) => [project, seen]), [["p", "t0"], ["q", "t7"]]);
});

test("a problem with the news is no end of following", async () => {
  const page = pageWith();
  const hearing = mock.fn();
  const following = makeFollowing({
    store: page.store,
    call: async () => (hearing(), { problem: "The file is damaged.", remedy: "Mend it." }),
    show: () => {},
    saving: page.saving,
    ended: () => {},
    back: () => {},
  });
  following.restart("");
  await settled();
  await pass(2000);
  assert.equal(hearing.mock.callCount(), 2);
});
