// Numbers out of bounds: they are refused with words, and what was typed stays. Pure functions.

/** Names of number fields, for one and for many. @type {Record<string, string>} */
const NAMES = { "settings.steps": "steps", seed: "seeds" };

/** Key of a field in the state's `refused`. @param {string} frame empty for the board @param {string} field */
export const fieldKey = (frame, field) => `${frame} ${field}`;

/**
 * Say why a number is refused; nothing where it is taken.
 * @param {string} field
 * @param {string} typed what stands in the field; empty also where it is no number
 * @param {{ lowest: number, highest: number, isNumber: boolean }} bounds
 */
export function refusalOf(field, typed, { lowest, highest, isNumber }) {
  const name = NAMES[field] ?? "values";
  if (!isNumber) return `This was not taken: ${name} are whole numbers from ${lowest} to ${highest}.`;
  if (typed === "") return "";
  const number = Number(typed);
  if (number > highest) return `${typed} was not taken: ${name} go up to ${highest}.`;
  if (number < lowest) return `${typed} was not taken: ${name} begin at ${lowest}.`;
  return Number.isInteger(number) ? "" : `${typed} was not taken: ${name} are whole numbers.`;
}

/** Return the refusals without that of a field. @param {Record<string, string>} refused @param {string} settled its key */
export const withoutRefusal = (refused, settled) => Object.fromEntries(Object.entries(refused).filter(([key]) => key !== settled));
