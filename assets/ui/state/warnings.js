// Warnings about the board and its frames. Pure functions on plain data.

/** @import { Board, Conflict, State } from "../types.js" */
/** @import { Warning } from "../elements/warnings.js" */

import { plural } from "../words.js";
import { fieldOf } from "./board.js";
import { modelOf } from "./models.js";
import { chosenTake } from "./results.js";

/** Names of fields in warnings. @type {Record<string, string>} */
const FIELDS = {
  title: "The title",
  action: "The action",
  location: "The location",
  share_background: "\u201cKeep this location\u201d",
  character: "The character of this frame",
  reference_strength: "The reference strength",
  seed: "The seed",
  "character.name": "The character's name",
  "character.description": "The character's description",
  "character.strength": "The reference strength",
};

/** @param {unknown} value */
function shown(value) {
  if (value === null || value === "") return "nothing";
  if (typeof value === "boolean") return value ? "on" : "off";
  return typeof value === "object" ? "other values" : `\u201c${value}\u201d`;
}

/** @param {Board} board @param {Conflict} conflict @returns {Warning} */
function ofConflict(board, { frame, field, theirs }) {
  const name = FIELDS[field] ?? `The setting ${field.replace("settings.", "").replaceAll("_", " ")}`;
  const data = { conflict: `${frame ?? ""} ${field}` };
  return {
    key: data.conflict,
    words: `${name} was changed elsewhere too, to ${shown(theirs)}. Here it is ${shown(fieldOf(board, frame, field))}.`,
    answers: [
      { action: "keep-mine", label: "Keep mine", data },
      { action: "take-theirs", label: "Take the other", data },
    ],
  };
}

/** Return a warning where the chosen model cannot render here. @param {State} state @returns {Warning[]} */
function ofModel({ board, setup, usable }) {
  const found = usable[board.settings.model];
  if (!found || found.usable) return [];
  const title = modelOf(board, setup)?.title ?? board.settings.model;
  return [{ key: "model", words: `${title} ${found.words.replace(/^D/, "d")} Choose another model in the settings, or go on writing.`, answers: [] }];
}

const MOST_DAMAGE = 3; // sentences that are shown

/** Return a warning about what is missing or damaged on the disk. @param {State} state @returns {Warning[]} */
function ofDamage({ damaged, readNotices }) {
  const key = `damaged ${damaged.join(" ")}`;
  if (!damaged.length || readNotices.includes(key)) return [];
  const more = damaged.length > MOST_DAMAGE ? [`${damaged.length - MOST_DAMAGE} more are.`] : [];
  const words = ["Some pictures are missing or damaged; the rest is here.", ...damaged.slice(0, MOST_DAMAGE), ...more].join(" ");
  return [{ key, words, answers: [{ action: "read-notice", label: "", data: { notice: key } }] }];
}

/** Return an offer to generate what was left when the server ended. @param {State} state @returns {Warning[]} */
function ofLeft({ left }) {
  if (!left.length) return [];
  const words = `${plural(left.length, "frame was", "frames were")} left when Throughline stopped. Finished takes are kept.`;
  return [{ key: "left", words, answers: [{ action: "generate-left", label: "Generate them" }, { action: "forget-left", label: "" }] }];
}

/** Return a warning where the picture of a frame's take cannot be shown. @param {State} state @param {string} frame @returns {Warning[]} */
function ofPicture({ results }, frame) {
  const fault = chosenTake(results[frame])?.fault;
  return fault ? [{ key: "picture", words: `${fault} Put the file back, choose another take, or redo the frame.`, answers: [] }] : [];
}

/** Return the warnings of a frame, or with null those of the whole board. @param {State} state @param {string | null} frame */
export function warningsOf(state, frame) {
  const { conflicts, progress, outdated, kept, readNotices } = state;
  const reasons = frame === null ? [] : (outdated[frame] ?? kept[frame] ?? []);
  const settled = frame !== null && (outdated[frame] ?? []).length > 0; // its words changed since
  const notices = (progress.notices ?? []).flatMap((notice, index) => {
    const key = `${progress.job} ${index}`;
    if (notice.frame !== frame || settled || readNotices.includes(key)) return [];
    return [{ key, words: `${notice.problem} ${notice.remedy}`.trim(), answers: [{ action: "read-notice", label: "", data: { notice: key } }] }];
  });
  const broken = frame === null ? [...ofModel(state), ...ofLeft(state), ...ofDamage(state)] : ofPicture(state, frame);
  const old = reasons.length ? [{ key: "outdated", words: reasons.join(" "), answers: [] }] : [];
  return [...broken, ...conflicts.filter((conflict) => conflict.frame === frame).map((conflict) => ofConflict(state.board, conflict)), ...old, ...notices];
}
