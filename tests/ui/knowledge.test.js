// Words that the miniature knows: inflections raise no alarm, other words do.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { stemOf, suggestionsFor, unknownHint, unknownWords } from "../../assets/ui/state/knowledge.js";

const read = (path) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf-8");
const knows = JSON.parse(read("assets/miniature/words.json"));

test("case, punctuation, plurals and inflections raise no alarm", () => {
  for (const text of [
    "Waving!",
    "A GIRL, \u201cwaving\u201d\u2026 (on the beach)",
    "two girls' hats, the girl\u2019s hoodies and T-shirts",
    "she waves, waved, dances, danced, dancing, runs, ran, sat, sits, lies, lay, carries, carried, jumped",
    "men and women with scarves, skirts, bunnies, dresses and boxes, in front of a bookshelf",
    "a dark-green, red-haired robot going through the forest towards us",
    "reads books; rides bikes; kneels; holds umbrellas; stood still; leapt",
    "",
    " \n ,.;",
  ]) {
    assert.deepEqual(unknownWords(text, knows), [], text);
  }
});

test("words of other worlds are named once, as they were typed", () => {
  const text = "a Dragon juggling swords in a spaceship, a dragon eating pizza with 2 kings";
  assert.deepEqual(unknownWords(text, knows), ["Dragon", "juggling", "swords", "spaceship", "eating", "pizza", "2", "kings"]);
  assert.deepEqual(unknownWords("sleeping without a horse, not swimming", knows), ["sleeping", "without", "horse", "not", "swimming"]);
  assert.deepEqual(unknownWords("\u732b\u304c\u8d70\u308b", knows), ["\u732b\u304c\u8d70\u308b"]);
  assert.deepEqual(unknownWords("a caf\u00e9", knows), ["caf\u00e9"]);
  assert.deepEqual(unknownWords("constructor __proto__ toString", knows), ["constructor", "proto", "toString"]);
});

test("every known word and phrase is known", () => {
  assert.deepEqual(unknownWords(knows.words.join(" "), knows), []);
  assert.deepEqual(unknownWords([...knows.locations, ...knows.actions].join(", "), knows), []);
});

test("the character's name, and the word being typed, are left out", () => {
  assert.deepEqual(unknownWords("Maya waves, Maya's bike", knows, { names: "Maya Tran" }), []);
  assert.deepEqual(unknownWords("juggl", knows, { caret: 5 }), []);
  assert.deepEqual(unknownWords("juggl ", knows, { caret: 6 }), ["juggl"]);
  assert.deepEqual(unknownWords("wizard juggl", knows, { caret: 12 }), ["wizard"]);
});

test("inflections share a stem", () => {
  for (const forms of ["wave waves waved waving", "run runs running ran", "lie lies lying lay", "hop hops hopped hopping", "bunny bunnies", "scarf scarves", "carry carries carried carrying", "dress dresses dressed", "box boxes"]) {
    assert.equal(new Set(forms.split(" ").map(stemOf)).size, 1, forms);
  }
  for (const word of ["red", "ring", "string", "bed", "sing", "need"]) assert.equal(stemOf(word), word);
});

test("a long list is cut, with the number of the others", () => {
  assert.equal(unknownHint([], "It"), "");
  assert.equal(unknownHint(["one", "two"], "It"), "It does not know: one, two.");
  assert.equal(unknownHint([..."abcdefgh"], "It"), "It does not know: a, b, c, d, e, f and 2 more.");
});

test("suggestions that share a word with the text come first, and all are there", () => {
  const [first] = suggestionsFor("playing a piano", knows.actions);
  assert.equal(first, "playing the guitar");
  assert.equal(suggestionsFor("in a bedroom of gold", knows.locations)[0], "in a bedroom");
  assert.deepEqual(suggestionsFor("", knows.actions), knows.actions);
  assert.deepEqual(suggestionsFor("reads", knows.actions).toSorted(), knows.actions.toSorted());
});

test("the example and the evaluation's prompts raise no alarm", () => {
  const story = [...read("assets/example/story.yaml").matchAll(/^ +(?:- )?(?:location|action|description): (.*)$/gm)].map(([, words]) => words);
  assert.equal(story.length, 13);
  const prompts = (value) =>
    Array.isArray(value) || (value && typeof value === "object")
      ? "background" in value ? [value.background, value.character, value.action] : Object.values(value).flatMap(prompts)
      : [];
  const suites = ["suite-v1", "references-v1"].flatMap((name) => prompts(JSON.parse(read(`assets/evaluation/${name}.json`))));
  assert.ok(suites.length > 500);
  assert.deepEqual([...story, ...suites].flatMap((text) => unknownWords(text, knows)), []);
});
