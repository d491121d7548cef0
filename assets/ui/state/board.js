// Operations on the board. Each returns a new board; nothing here touches the page.

/** @import { Character, Board, Frame, Settings, Style } from "../types.js" */

export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(6));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @param {Partial<Frame>} fields @returns {Frame} */
export const newFrame = (fields = {}) => ({
  action: "",
  location: "",
  share_background: false,
  character: "",
  reference_strength: null,
  seed: null,
  locked: false,
  ...fields,
  id: newId(),
});

/** @param {Board} board @param {string} id */
export const indexOf = (board, id) => board.frames.findIndex((frame) => frame.id === id);

/** @param {Board} board @param {string} id @returns {Frame | undefined} */
export const frameOf = (board, id) => board.frames.find((frame) => frame.id === id);

/** @param {Board} board @param {string} id @param {Partial<Frame>} fields @returns {Board} */
export function editFrame(board, id, fields) {
  const frames = board.frames.map((frame) => (frame.id === id ? { ...frame, ...fields } : frame));
  return { ...board, frames };
}

/** @param {Board} board @param {Partial<Character>} fields @returns {Board} */
export const editCharacter = (board, fields) => ({ ...board, character: { ...board.character, ...fields } });

/** @param {Board} board @param {Partial<Settings>} fields @returns {Board} */
export const editSettings = (board, fields) => ({ ...board, settings: { ...board.settings, ...fields } });

/** @param {Board} board @param {number} index @param {Partial<Style>} fields @returns {Board} */
export function editStyle(board, index, fields) {
  const styles = board.settings.styles.map((style, at) => (at === index ? { ...style, ...fields } : style));
  return editSettings(board, { styles });
}

/**
 * Set a field by its name, "action" of a frame, or "title", "character.name", "settings.steps" of the board.
 * @param {Board} board @param {string | null} frame @param {string} field @param {unknown} value @returns {Board}
 */
export function withField(board, frame, field, value) {
  if (frame !== null) return editFrame(board, frame, { [field]: value });
  const [part, key] = field.split(".");
  if (!key) return { ...board, [part]: value };
  return part === "character" ? editCharacter(board, { [key]: value }) : editSettings(board, { [key]: value });
}

/** Return a field by its name, as `withField` has it. @param {Board} board @param {string | null} frame @param {string} field */
export function fieldOf(board, frame, field) {
  const parts = /** @type {Record<string, any>} */ (frame === null ? board : (frameOf(board, frame) ?? {}));
  return field.split(".").reduce((value, key) => value?.[key], parts);
}

/** Insert a frame at a position. @param {Board} board @param {Frame} frame @param {number} index @returns {Board} */
export const insertFrame = (board, frame, index) => ({
  ...board,
  frames: board.frames.toSpliced(index, 0, frame),
});

/** @param {Board} board @param {string} id @returns {Board} */
export const removeFrame = (board, id) => ({
  ...board,
  frames: board.frames.filter((frame) => frame.id !== id),
});

/**
 * Move a frame to a position; return the same board where nothing changes.
 * @param {Board} board @param {string} id @param {number} to @returns {Board}
 */
export function moveFrame(board, id, to) {
  const from = indexOf(board, id);
  if (from < 0 || to === from || to < 0 || to >= board.frames.length) return board;
  const frames = board.frames.toSpliced(from, 1).toSpliced(to, 0, board.frames[from]);
  return { ...board, frames };
}

/** Return the board without rows that a person has not filled in. @param {Board} board @returns {Board} */
export function contentOf(board) {
  const styles = board.settings.styles.filter((style) => style.source.trim());
  return styles.length === board.settings.styles.length ? board : editSettings(board, { styles });
}

/** Return whether plain data is the same, in whatever order its fields are. @param {unknown} one @param {unknown} other @returns {boolean} */
export function same(one, other) {
  if (one === other) return true;
  if (typeof one !== "object" || typeof other !== "object" || one === null || other === null) return false;
  const [ours, others] = [Object.entries(one), new Map(Object.entries(other))];
  if (Array.isArray(one) !== Array.isArray(other) || ours.length !== others.size) return false;
  return ours.every(([key, value]) => others.has(key) && same(value, others.get(key)));
}

/** Return whether nothing has been written yet. @param {Board} board */
export function isBlank(board) {
  const words = board.frames.flatMap((frame) => [frame.action, frame.location]);
  return [board.character.description, ...words].every((text) => !text.trim());
}
