// Wording of numbers and names.

/** @param {number} count @param {string} one @param {string} many */
export function plural(count, one, many = `${one}s`) {
  return `${count} ${count === 1 ? one : many}`;
}

/** "Frame 2", "Frames 2 and 4", "Frames 2, 4 and 5". @param {number[]} numbers */
export function frameNames(numbers) {
  if (numbers.length === 1) return `Frame ${numbers[0]}`;
  return `Frames ${numbers.slice(0, -1).join(", ")} and ${numbers.at(-1)}`;
}

/** @param {number} seconds */
export function duration(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.ceil(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
