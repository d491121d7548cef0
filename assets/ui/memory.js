// What the browser remembers: the board, the view, and changes that the server does not have yet.
// Where it keeps nothing (an iframe whose storage is blocked), the page works without.

/** @import { Base, Board } from "./types.js" */

/** @typedef {{ base: Base, board: Board }} Unsent */

const BOARD = "throughline-board";
const BOARDS = "throughline-boards";
const MOST_KNOWN = 50; // boards
const EXAMPLE = "throughline-example";
const VIEW = "throughline-view";
const UNSENT = "throughline-unsent:";
const TAB = "throughline-tab";

/** @template T @param {() => T} use @param {T} otherwise @returns {T} */
function attempt(use, otherwise) {
  try {
    return use();
  } catch {
    return otherwise;
  }
}

const read = (/** @type {string} */ key) => attempt(() => localStorage.getItem(key), null);

/** @param {string} key @param {string | null} value null removes it */
function write(key, value) {
  attempt(() => (value === null ? localStorage.removeItem(key) : localStorage.setItem(key, value)), undefined);
}

export const lastBoard = () => read(BOARD) ?? "";
/** Return the boards that this browser had open, the last first. @returns {string[]} */
export const knownBoards = () => attempt(() => JSON.parse(read(BOARDS) ?? "[]").filter((/** @type {unknown} */ id) => typeof id === "string"), []);
/** @param {string} project */
export function rememberBoard(project) {
  write(BOARD, project);
  write(BOARDS, JSON.stringify([...new Set([project, ...knownBoards()])].slice(0, MOST_KNOWN)));
}
export const lastExample = () => read(EXAMPLE) ?? "";
export const rememberExample = (/** @type {string} */ project) => write(EXAMPLE, project);
export const lastView = () => read(VIEW);
export const rememberView = (/** @type {string} */ view) => write(VIEW, view);

/** Return this tab's name, which a reload does not change. */
function tab() {
  return attempt(() => {
    const known = sessionStorage.getItem(TAB) ?? crypto.getRandomValues(new Uint32Array(1))[0].toString(36);
    sessionStorage.setItem(TAB, known);
    return known;
  }, "");
}

const unsentKey = (/** @type {string} */ project) => `${UNSENT}${project}:${tab()}`;

/** @param {Unsent} unsent */
export const rememberUnsent = (unsent) => write(unsentKey(unsent.board.project), JSON.stringify(unsent));

/** @param {string} project */
export const forgetUnsent = (project) => write(unsentKey(project), null);

/** Take the changes that this tab, or one that is closed, could not send. @param {string} project @returns {Unsent[]} */
export function takeUnsent(project) {
  const keys = attempt(() => Object.keys(localStorage), []).filter((key) => key.startsWith(`${UNSENT}${project}:`));
  return keys.flatMap((key) => {
    const found = attempt(() => JSON.parse(read(key) ?? "null"), null);
    write(key, null);
    return found?.base?.board && found.board ? [found] : [];
  });
}
