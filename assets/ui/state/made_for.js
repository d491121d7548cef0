// Settings outside what a model was made for. Pure functions on plain data; each returns a sentence, or nothing.

/** @import { Model, Settings } from "../types.js" */

/** @param {number} value @param {[number, number]} range */
const isOutside = (value, [lowest, highest]) => value < lowest || value > highest;

/** @param {Model | undefined} model @param {Settings} settings */
export function sizeDoubt(model, { width, height }) {
  if (!model?.made_for || !isOutside(width * height, model.made_for.area)) return "";
  const [lowest, highest] = model.made_for.area;
  const megapixels = (/** @type {number} */ area) => (area / 1e6).toFixed(1).replace(".0", "");
  const own = model.sizes[0];
  const area =
    highest < 2 * lowest ? `the size of ${own.width} \u00d7 ${own.height} pixels` : `${megapixels(lowest)} to ${megapixels(highest)} megapixels`;
  return `${model.title} was made for pictures of ${area}, not for ${width} \u00d7 ${height}.`;
}

/** A LoRA may be made for fewer steps, and for another guidance. @param {Settings} settings */
const hasStyle = ({ styles }) => styles.some(({ source }) => source.trim());

/** @param {Model | undefined} model @param {Settings} settings */
export function stepsDoubt(model, settings) {
  const { steps } = settings;
  if (!model?.made_for || steps === null || hasStyle(settings) || !isOutside(steps, model.made_for.steps)) return "";
  const [lowest, highest] = model.made_for.steps;
  const effect = steps < lowest ? "with fewer, pictures may stay unfinished" : "more take longer for little";
  return `${model.title} was made for ${lowest} to ${highest} steps; ${effect}.`;
}

/** @param {Model | undefined} model @param {Settings} settings */
export function guidanceDoubt(model, settings) {
  const { guidance } = settings;
  const range = model?.made_for?.guidance;
  if (!range || model.guidance === null || guidance === null || hasStyle(settings) || !isOutside(guidance, range)) return "";
  return `${model.title} was made for a guidance of ${range[0]} to ${range[1]}.`;
}
