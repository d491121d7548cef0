// The list of boards, and names of files.

import assert from "node:assert/strict";
import { test } from "node:test";

import { boardWords, countWords, fileStem, isBoardFile, matching, timeWords, titleOf } from "../../assets/ui/state/shelf.js";

const board = (title, more = {}) => ({ id: title, title, frames: 2, modified: "2026-11-30T12:00:00", picture: null, ...more });

test("boards are found by every word of their title, without accents and case", () => {
  const boards = [board("\u00dcber den Wolken"), board("Under clouds"), board("")];
  const titles = (query) => matching(boards, query).map(({ title }) => title);
  assert.deepEqual(titles("uber"), ["\u00dcber den Wolken"]);
  assert.deepEqual(titles("  WOLKEN \u00fcber "), ["\u00dcber den Wolken"]);
  assert.deepEqual(titles("clouds wolken"), []);
  assert.deepEqual(titles("untitled"), [""]);
  assert.equal(titles(" ").length, 3);
});

test("a board without a title has a name all the same", () => {
  assert.equal(titleOf(board("  ")), "Untitled storyboard");
});

test("times are told in as few words as do", () => {
  const now = new Date(2026, 10, 30, 19, 0);
  assert.match(timeWords(new Date(2026, 10, 30, 7, 5), now, "en"), /^7:05\sAM$/);
  assert.match(timeWords(new Date(2026, 2, 1, 7, 5), now, "en"), /^Mar 1(,| at) 7:05\sAM$/);
  assert.equal(timeWords(new Date(2025, 11, 31), now, "en"), "Dec 31, 2025");
  assert.match(boardWords(board("a"), now, "en"), /^2 frames \u00b7 12:00\sPM$/);
  assert.match(boardWords(board("a", { frames: 1, deleted: "2025-01-02T12:00:00" }), now, "en"), /^1 frame \u00b7 deleted Jan 2, 2025$/);
});

test("a search says what it found", () => {
  assert.equal(countWords(3, ""), "3 storyboards");
  assert.equal(countWords(1, "maya"), "1 storyboard found");
  assert.equal(countWords(0, " maya "), "No storyboard is called \u201cmaya\u201d.");
});

test("storyboards are told from pictures and characters by their endings", () => {
  for (const name of ["a.zip", "storyboard.JSON", "s.yaml", "s.yml", "prompts.txt"]) assert.ok(isBoardFile(name), name);
  for (const name of ["a.png", "maya.character", "zip", "a.zip.png"]) assert.ok(!isBoardFile(name), name);
});

test("a picture's file is named as the server names it", () => {
  const frames = [
    { action: "Waving!", location: "on a \u00fcber-beach" },
    { action: "", location: "" },
    { action: `${"long ".repeat(20)}`, location: "" },
  ];
  const names = frames.map((_, index) => fileStem({ frames }, index));
  assert.deepEqual(names, ["01-waving-on-a-ber-beach", "02", `03${"-long".repeat(9)}`]);
});
