// Words that a small model knows, and those of a text that it does not. Pure functions.

/** @import { Knows } from "../types.js" */

const WORD = /[\p{L}\p{N}]+(?:['\u2019-][\p{L}\p{N}]+)*/gu;

// Words that hold a sentence together and show nothing by themselves.
const GRAMMAR = new Set(
  (
    "about across after again against ahead all along already also although always am among any are around as at away " +
    "because been before behind being below between both by can could did do does doing during each ever every from get " +
    "gets getting goes going had he her hers herself him himself his i if in into itself just may me might must near no " +
    "off on onto only other our out over own past same shall she should since such than them themselves they through " +
    "throughout too toward towards until up upon us we were what when where which while whom whose will within would you"
  ).split(" "),
);

const IRREGULAR = new Map(
  Object.entries({
    feet: "foot", held: "hold", knelt: "kneel", laid: "lie", lain: "lie", lay: "lie", leapt: "leap", men: "man", ran: "run",
    ridden: "ride", rode: "ride", sat: "sit", stood: "stand", women: "woman", wore: "wear", worn: "wear",
  }),
);

/** Endings that inflections add, by kind; the first of a kind that fits is taken off. @type {[RegExp, string][][]} */
const ENDINGS = [
  [[/ies$/, "y"], [/(ss|x|ch|sh|v)es$/, "$1"], [/([^s])s$/, "$1"]],
  [[/ied$/, "y"], [/^(?=.{2,}ing$)(.*[aeiouy].*)ing$/, "$1"], [/^(?=.{3,}ed$)(.*[aeiouy].*)ed$/, "$1"]],
  [[/([bdgklmnprt])\1$/, "$1"]],
  [[/ie$/, "y"], [/(..)e$/, "$1"], [/f$/, "v"]],
];

/** Return the part of a word that its inflections share: "wav" for wave, waves, waved and waving. @param {string} word */
export function stemOf(word) {
  return ENDINGS.reduce((stem, kind) => {
    const fitting = kind.find(([ending]) => ending.test(stem));
    return fitting ? stem.replace(...fitting) : stem;
  }, IRREGULAR.get(word) ?? word);
}

/** @type {WeakMap<Knows, { words: Set<string>, stems: Set<string> }>} */
const indexed = new WeakMap();

/** @param {Knows} knows */
function indexOf(knows) {
  let index = indexed.get(knows);
  if (!index) {
    const words = new Set(knows.words.flatMap((word) => [word, ...word.split("-")]));
    index = { words, stems: new Set([...words].map(stemOf)) };
    indexed.set(knows, index);
  }
  return index;
}

/** @param {string} word in lower case @param {Knows} knows @returns {boolean} */
function isKnown(word, knows) {
  const plain = word.replaceAll("\u2019", "'").replace(/'s?$/, "");
  const { words, stems } = indexOf(knows);
  if (!plain || words.has(plain) || GRAMMAR.has(plain) || stems.has(stemOf(plain))) return true;
  return plain.includes("-") && plain.split("-").every((part) => isKnown(part, knows));
}

/**
 * Return the words of a text that a model does not know, each once, as they were typed.
 * @param {string} text
 * @param {Knows} knows
 * @param {object} [left] words that are left out
 * @param {string} [left.names] names, which are no words of a prompt
 * @param {number | null} [left.caret] position in a word that is still being typed
 */
export function unknownWords(text, knows, { names = "", caret = null } = {}) {
  const named = new Set(names.toLowerCase().match(WORD) ?? []);
  /** @type {Map<string, string>} */
  const found = new Map();
  for (const { 0: typed, index } of text.matchAll(WORD)) {
    const word = typed.toLowerCase();
    const typing = caret !== null && index <= caret && caret <= index + typed.length;
    if (typing || found.has(word) || named.has(word.replace(/['\u2019]s?$/, "")) || isKnown(word, knows)) continue;
    found.set(word, typed);
  }
  return [...found.values()];
}

const SHOWN = 6;

/** Say which words a model does not know; nothing where there are none. @param {string[]} words @param {string} title */
export function unknownHint(words, title) {
  if (!words.length) return "";
  const more = words.length > SHOWN ? ` and ${words.length - SHOWN} more` : "";
  return `${title} does not know: ${words.slice(0, SHOWN).join(", ")}${more}.`;
}

/** Return phrases that a model knows, those that share a word with the text first. @param {string} text @param {string[]} phrases */
export function suggestionsFor(text, phrases) {
  const stems = (/** @type {string} */ words) =>
    (words.toLowerCase().match(WORD) ?? []).filter((word) => !GRAMMAR.has(word) && word.length > 2 && word !== "the").map(stemOf);
  const written = new Set(stems(text));
  const near = phrases.filter((phrase) => stems(phrase).some((stem) => written.has(stem)));
  return [...near, ...phrases.filter((phrase) => !near.includes(phrase))];
}
