// The list of boards, and names of files. Pure functions on plain data.

/** @import { Board, BoardInfo } from "../types.js" */

import { plural } from "../words.js";

const STEM = 48; // characters, as on the server
const BOARD_FILE = /\.(zip|json|ya?ml|txt)$/i;

/** Return whether a file may be a storyboard, by its name; others are pictures and characters. @param {string} name */
export const isBoardFile = (name) => BOARD_FILE.test(name);

/** Return the text in the form in which it is searched. @param {string} text */
const plain = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

/**
 * Return the boards whose titles hold every word.
 * @param {BoardInfo[]} boards @param {string} query
 */
export function matching(boards, query) {
  const words = plain(query).split(/\s+/).filter(Boolean);
  return boards.filter((board) => words.every((word) => plain(titleOf(board)).includes(word)));
}

/** @param {BoardInfo} board */
export const titleOf = (board) => board.title.trim() || (board.fault ? "Damaged storyboard" : "Untitled storyboard");

/**
 * Return a time in few words: the hour today, the day this year, else the date.
 * @param {Date} time @param {Date} now @param {string} [language] the browser's own where it is left out
 */
export function timeWords(time, now, language) {
  const year = time.getFullYear() === now.getFullYear();
  if (time.toDateString() === now.toDateString()) return new Intl.DateTimeFormat(language, { timeStyle: "short" }).format(time);
  if (!year) return new Intl.DateTimeFormat(language, { dateStyle: "medium" }).format(time);
  return new Intl.DateTimeFormat(language, { day: "numeric", month: "short", hour: "numeric", minute: "2-digit" }).format(time);
}

/**
 * Return a line about a board: its frames, and when it was changed or deleted.
 * @param {BoardInfo} board @param {Date} now @param {string} [language]
 */
export function boardWords(board, now, language) {
  if (board.fault) return `${board.fault} It was left as it is, in the folder ${board.id}.`;
  const time = timeWords(new Date(board.deleted ?? board.modified), now, language);
  return `${plural(board.frames, "frame")} \u00b7 ${board.deleted ? "deleted " : ""}${time}`;
}

/** Return the sentence for a search. @param {number} found @param {string} query */
export function countWords(found, query) {
  if (!query.trim()) return plural(found, "storyboard");
  return found ? `${plural(found, "storyboard")} found` : `No storyboard is called \u201c${query.trim()}\u201d.`;
}

/**
 * Return the name of a frame's picture as a file, without an ending; the server names them the same.
 * @param {Board} board @param {number} index
 */
export function fileStem(board, index) {
  const { action, location } = board.frames[index];
  const parts = `${action} ${location}`.toLowerCase().split(/[^a-z0-9]+/).filter(Boolean);
  let name = String(index + 1).padStart(2, "0");
  for (const part of parts) {
    if (name.length + part.length >= STEM) break;
    name += `-${part}`;
  }
  return name;
}
