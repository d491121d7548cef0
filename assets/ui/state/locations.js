// Locations that frames share. Pure functions on plain data.

/** @import { Board, Frame, Origins } from "../types.js" */

import { frameNames } from "../words.js";
import { indexOf, locationOf } from "./board.js";

/**
 * Return a sentence about the frames that share this frame's location.
 * @param {Board} board @param {Frame} frame
 * @param {Origins | undefined} origins of the frame's chosen take
 */
export function locationHint(board, frame, origins) {
  if (!frame.share_background) return "";
  const location = locationOf(frame);
  if (!location) return "Name the location first.";
  const there = board.frames.filter((other) => locationOf(other) === location);
  const sharing = there.filter((other) => other.share_background);
  const source = sharing.find((other) => other.id === board.settings.identity) ?? sharing[0];
  const number = (/** @type {Frame} */ other) => indexOf(board, other.id) + 1;
  if (source.id !== frame.id) {
    const shown = origins?.location?.frame === source.id && origins.location.current;
    return shown ? `Same location as frame ${number(source)}.` : `Will have the location of frame ${number(source)}.`;
  }
  const readers = sharing.filter((other) => other.id !== frame.id).map(number);
  if (readers.length) return `${frameNames(readers)} ${readers.length > 1 ? "keep" : "keeps"} this location.`;
  const others = there.filter((other) => other.id !== frame.id).map(number);
  if (others.length) return `Turn this on in frame ${others[0]} too.`;
  return "No other frame has this location yet.";
}
