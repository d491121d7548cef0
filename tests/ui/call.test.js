// Questions to the server.

import assert from "node:assert/strict";
import { afterEach, mock, test } from "node:test";

import { makeCall, reachableAt } from "../../assets/ui/call.js";

afterEach(() => mock.restoreAll());

/** @param {any} answer @param {boolean} reachable */
function callWith(answer, reachable = true) {
  const asked = /** @type {object[]} */ ([]);
  const server = { call: async (/** @type {object} */ question) => (asked.push(question), answer) };
  return { call: makeCall(server, async () => reachable), asked };
}

test("a question goes with its name and data, and its answer comes back", async () => {
  const { call, asked } = callWith({ ok: { revision: "r1" } });
  assert.deepEqual(await call("save", { project: "p" }), { ok: { revision: "r1" } });
  await call("setup");
  assert.deepEqual(asked, [{ name: "save", data: { project: "p" } }, { name: "setup", data: {} }]);
});

test("problems and questions of consent are answers", async () => {
  for (const answer of [{ problem: "No.", remedy: "Yes." }, { consent: { key: "k" } }]) {
    assert.deepEqual(await callWith(answer).call("generate"), answer);
  }
});

test("no answer from a server that is there is a problem in words", async () => {
  for (const nothing of [null, undefined]) {
    const answer = /** @type {any} */ (await callWith(nothing).call("generate"));
    assert.match(answer.problem, /went wrong/);
    assert.ok(answer.remedy);
  }
});

test("no answer and no server is a lost connection", async () => {
  for (const nothing of [null, undefined]) {
    assert.deepEqual(await callWith(nothing, false).call("generate"), { lost: true });
  }
});

test("a server is there where it answers, and only there", async () => {
  const fetched = mock.method(globalThis, "fetch", async () => new Response("alive"));
  assert.equal(await reachableAt("/tl/alive")(), true);
  assert.deepEqual(fetched.mock.calls[0].arguments, ["/tl/alive", { method: "HEAD", cache: "no-store" }]);
  mock.method(globalThis, "fetch", async () => new Response("", { status: 502 }));
  assert.equal(await reachableAt("/tl/alive")(), false);
  mock.method(globalThis, "fetch", async () => {
    throw new TypeError("Failed to fetch");
  });
  assert.equal(await reachableAt("/tl/alive")(), false);
});
