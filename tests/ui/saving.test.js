// Saving: what is sent and when, what was changed elsewhere meanwhile, and a connection that is lost.

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import { takeUnsent } from "../../assets/ui/memory.js";
import { makeSaving } from "../../assets/ui/saving.js";
import { editFrame, editSettings, insertFrame, newFrame, removeFrame } from "../../assets/ui/state/board.js";
import { asSent, board, held, ids, settled, storeWith } from "./boards.js";

/** @import { Board } from "../../assets/ui/types.js" */

/** A server that stores a board, as `Actions.save` does, and can be away. */
class FakeServer {
  /** @param {Board} stored */
  constructor(stored) {
    this.stored = stored;
    this.revision = "r0";
    this.saves = /** @type {{ board: Board, base: string }[]} */ ([]);
    this.away = false;
    this.losesAnswer = false;
    this.refuses = false;
    this.waits = /** @type {Promise<any> | null} */ (null);
    this.call = this.call.bind(this);
  }

  /** Change what is stored, as another page does. @param {Board} stored */
  change(stored) {
    this.stored = asSent(stored);
    this.revision = `r${Number(this.revision.slice(1)) + 1}`;
  }

  /** @param {string} name @param {any} data @returns {Promise<any>} */
  async call(name, data) {
    assert.equal(name, "save");
    assert.equal(data.project, data.board.project);
    this.saves.push(structuredClone({ board: data.board, base: data.base }));
    await this.waits;
    if (this.away) return { lost: true };
    if (this.refuses) return { problem: "Frame 1 seed: too large.", remedy: "The change was not saved." };
    if (data.base !== this.revision) return { ok: { revision: this.revision, stale: true, board: this.stored } };
    this.change(data.board);
    if (this.losesAnswer) return { lost: true };
    return { ok: { revision: this.revision, outdated: {} } };
  }
}

/** @param {Board} shown */
function pageWith(shown = board()) {
  const server = new FakeServer(shown);
  const store = storeWith(shown);
  const rebased = /** @type {string[]} */ ([]);
  const shows = /** @type {object[]} */ ([]);
  const saving = makeSaving({
    store,
    call: server.call,
    show: (parts) => shows.push(parts),
    changedElsewhere: (before, now) => rebased.push(`${before.revision} ${now.revision}`),
  });
  const edit = (/** @type {(board: Board) => Board} */ change) => store.set({ board: change(store.state.board), saving: "waiting" });
  return { server, store, saving, edit, rebased, shows };
}

const type = (/** @type {string} */ id, /** @type {string} */ action) => (/** @type {Board} */ from) => editFrame(from, id, { action });

beforeEach(() => {
  const kept = /** @type {Record<string, string>} */ ({});
  const storage = new Proxy(kept, {
    get: (of, name) =>
      ({
        getItem: (/** @type {string} */ key) => of[key] ?? null,
        setItem: (/** @type {string} */ key, /** @type {string} */ value) => void (of[key] = value),
        removeItem: (/** @type {string} */ key) => void delete of[key],
      })[String(name)],
  });
  Object.assign(globalThis, { localStorage: storage, sessionStorage: storage });
});

afterEach(() => mock.timers.reset());

test("without a change nothing is sent", async () => {
  const { server, saving } = pageWith();
  assert.equal(await saving.flush(), true);
  assert.equal(saving.unsent(), false);
  assert.deepEqual(server.saves, []);
});

test("a change is sent a moment later, with the revision that it was made from", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const { server, store, saving, edit } = pageWith();
  edit(type("a", "w"));
  saving.later();
  mock.timers.tick(300);
  edit(type("a", "wa"));
  saving.later();
  mock.timers.tick(300);
  assert.equal(server.saves.length, 0); // still typing
  mock.timers.tick(100);
  await settled();
  assert.deepEqual(server.saves.map(({ board: { frames }, base }) => [frames[0].action, base]), [["wa", "r0"]]);
  assert.equal(store.state.saving, "saved");
  assert.equal(store.state.base.revision, "r1");
});

test("a change that should be soon is sent at once", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const { server, saving, edit } = pageWith();
  edit((from) => removeFrame(from, "a"));
  saving.later(true);
  mock.timers.tick(0);
  await settled();
  assert.equal(server.saves.length, 1);
});

test("a save in time is not sent again by the timer", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const { server, saving, edit } = pageWith();
  edit(type("a", "w"));
  saving.later();
  assert.equal(await saving.flush(), true);
  mock.timers.tick(1000);
  await settled();
  assert.equal(server.saves.length, 1);
});

test("rows of styles that nobody filled in are not sent, and stay on the page", async () => {
  const { server, store, saving, edit } = pageWith();
  const row = { source: "", weight: 1, trigger: "" };
  edit((from) => editSettings(from, { styles: [row] }));
  assert.equal(await saving.flush(), true);
  assert.deepEqual(server.saves, []);
  edit((from) => ({ ...from, title: "Another" }));
  await saving.flush();
  assert.deepEqual(server.saves[0].board.settings.styles, []);
  assert.deepEqual(store.state.board.settings.styles, [row]);
});

test("what is typed while a save is on its way is sent afterwards", async () => {
  const { server, store, saving, edit } = pageWith();
  const wait = held();
  server.waits = wait.promise;
  edit(type("a", "wav"));
  const first = saving.flush();
  edit(type("a", "waving"));
  const second = saving.flush(); // waits for the first one
  wait.resolve(null);
  assert.deepEqual(await Promise.all([first, second]), [true, true]);
  assert.deepEqual(server.saves.map(({ board: { frames }, base }) => [frames[0].action, base]), [["wav", "r0"], ["waving", "r1"]]);
  assert.equal(store.state.board.frames[0].action, "waving");
  assert.equal(saving.unsent(), false);
});

test("a stale answer is merged and sent again, and both changes are kept", async () => {
  const { server, store, saving, edit, rebased } = pageWith();
  server.change(editFrame(board(), "b", { action: "theirs" }));
  edit(type("a", "mine"));
  assert.equal(await saving.flush(), true);
  assert.deepEqual(server.saves.map(({ base }) => base), ["r0", "r1"]);
  for (const known of [store.state.board, server.stored]) {
    assert.deepEqual(known.frames.map(({ action }) => action), ["mine", "theirs", "action c"]);
  }
  assert.deepEqual(store.state.conflicts, []);
  assert.deepEqual(rebased, ["r0 r1"]);
  assert.equal(store.state.saving, "saved");
});

test("the same field changed in two places keeps ours and names both", async () => {
  const { server, store, saving, edit } = pageWith();
  server.change(editFrame(board(), "a", { action: "theirs" }));
  edit(type("a", "mine"));
  await saving.flush();
  assert.equal(server.stored.frames[0].action, "mine");
  assert.deepEqual(store.state.conflicts, [{ frame: "a", field: "action", theirs: "theirs" }]);
});

test("a newer conflict of a field replaces an older one, and others stay", () => {
  const { store, saving, edit } = pageWith();
  store.set({
    conflicts: [
      { frame: "a", field: "action", theirs: "older" },
      { frame: "b", field: "action", theirs: "y" },
    ],
  });
  edit(type("a", "mine"));
  saving.take({ board: editFrame(board(), "a", { action: "newer" }), revision: "r9" });
  assert.deepEqual(store.state.conflicts.map(({ frame, theirs }) => [frame, theirs]), [["b", "y"], ["a", "newer"]]);
});

test("a frame that was added here, saved and removed stays removed, whoever else changes something", async () => {
  const { server, store, saving, edit } = pageWith();
  const added = newFrame({ action: "new" });
  edit((from) => insertFrame(from, added, 3));
  await saving.flush();
  server.change({ ...server.stored, title: "Theirs" });
  edit((from) => removeFrame(from, added.id));
  await saving.flush();
  assert.equal(ids(store.state.board), "abc");
  assert.equal(ids(server.stored), "abc");
  assert.equal(store.state.board.title, "Theirs");
});

test("a lost connection keeps what is unsent, on the page and in the browser, and says so", async () => {
  const { server, store, saving, edit } = pageWith();
  server.away = true;
  edit(type("a", "mine"));
  assert.equal(await saving.flush(), false);
  assert.equal(store.state.board.frames[0].action, "mine");
  assert.equal(store.state.connection, "lost");
  assert.equal(store.state.saving, "waiting");
  assert.ok(saving.unsent());
  edit(type("a", "mine too"));
  saving.later(); // as every change: also what is typed now is kept
  const [unsent] = takeUnsent("p");
  assert.equal(unsent.board.frames[0].action, "mine too");
  assert.equal(unsent.base.revision, "r0");
  saving.keep();
  server.away = false;
  assert.equal(await saving.flush(), true);
  assert.equal(server.stored.frames[0].action, "mine too");
  assert.deepEqual(takeUnsent("p"), []);
});

test("a save that arrived though its answer was lost is no change of somebody else", async () => {
  const { server, store, saving, edit, rebased } = pageWith();
  server.losesAnswer = true;
  edit(type("a", "wav"));
  assert.equal(await saving.flush(), false);
  server.losesAnswer = false;
  edit(type("a", "waving"));
  assert.equal(await saving.flush(), true);
  assert.equal(server.stored.frames[0].action, "waving");
  assert.deepEqual(store.state.conflicts, []);
  assert.equal(rebased.length, 1);
});

test("what another page changed before the lost save is merged all the same", async () => {
  const { server, store, saving, edit } = pageWith();
  server.losesAnswer = true;
  edit(type("a", "mine"));
  await saving.flush();
  server.losesAnswer = false;
  server.change(editFrame(server.stored, "b", { action: "theirs" }));
  assert.equal(await saving.flush(), true);
  assert.deepEqual(store.state.board.frames.map(({ action }) => action), ["mine", "theirs", "action c"]);
  assert.deepEqual(store.state.conflicts, []);
});

test("a refused change is told and kept, and goes on once it is mended", async () => {
  const { server, store, saving, edit } = pageWith();
  server.refuses = true;
  edit(type("a", "mine"));
  assert.equal(await saving.flush(), false);
  assert.equal(store.state.saving, "refused");
  assert.equal(store.state.fault?.problem, "Frame 1 seed: too large.");
  assert.equal(store.state.board.frames[0].action, "mine");
  server.refuses = false;
  assert.equal(await saving.flush(), true);
  assert.equal(store.state.saving, "saved");
});

test("an answer for a board that is no longer shown changes nothing", async () => {
  const { server, store, saving, edit } = pageWith();
  const wait = held();
  server.waits = wait.promise;
  edit(type("a", "mine"));
  const sent = saving.flush();
  const other = board("xy", { project: "q" });
  store.set({ board: other, base: { board: other, revision: "r7" }, saving: "saved" });
  wait.resolve(null);
  await sent;
  assert.deepEqual([store.state.board, store.state.base], [other, { board: other, revision: "r7" }]);
});

test("the parts of an answer are shown", async () => {
  const { saving, edit, shows } = pageWith();
  edit(type("a", "mine"));
  await saving.flush();
  assert.deepEqual(shows, [{ outdated: {} }]);
});

test("an answer that a save has overtaken is known", async () => {
  const { server, saving, edit } = pageWith();
  const still = saving.quiet();
  assert.equal(still(), true);
  edit(type("a", "mine"));
  await saving.flush();
  assert.equal(still(), false); // begun and answered since
  const wait = held();
  server.waits = wait.promise;
  edit(type("a", "mine too"));
  const sent = saving.flush();
  const during = saving.quiet();
  assert.equal(during(), false); // on its way
  wait.resolve(null);
  await sent;
  assert.equal(during(), false); // answered since
  assert.equal(saving.quiet()(), true);
});
