// Locations that frames keep, as the server answered. Pure functions on plain data.

/** @import { Board, Frame, Locations, State } from "../types.js" */

import { frameNames } from "../words.js";
import { indexOf, same } from "./board.js";

/** Return the parts of a board on which the server's answer depends. @param {Board} board */
const partsOf = ({ frames, settings }) => [
  settings.consistent,
  settings.identity,
  frames.map(({ id, location, share_background: shares, character }) => [id, location, shares, character]),
];

/**
 * Return the server's answer on locations; null while it is for another board than the one on the page.
 * @param {Pick<State, "board" | "base" | "locations">} state
 * @returns {Locations | null}
 */
export function locationsNow({ board, base, locations }) {
  if (locations?.revision !== base.revision) return null;
  return same(partsOf(board), partsOf(base.board)) ? locations : null;
}

/**
 * Return a sentence about the frames that share a frame's location; empty while the server has not answered.
 * @param {Pick<State, "board" | "origins" | "wished">} state
 * @param {Frame} frame
 * @param {Locations | null} locations see `locationsNow`
 */
export function locationHint({ board, origins, wished }, frame, locations) {
  if (!frame.share_background || !locations) return "";
  if (!locations.frames) return "Frames share no location while \u201cKeep the character\u201d is off.";
  const kept = locations.frames[frame.id];
  if (!kept) return "Name the location first.";
  const number = (/** @type {string} */ id) => indexOf(board, id) + 1;
  const { source, readers, others } = kept;
  if (source !== null) {
    if (frame.id in wished || source in wished) return ""; // another take, of which nothing is known yet
    const from = origins[frame.id]?.location;
    const shown = from?.frame === source && from.current;
    return shown ? `Same location as frame ${number(source)}.` : `Will have the location of frame ${number(source)}.`;
  }
  if (readers.length) return `${frameNames(readers.map(number))} ${readers.length > 1 ? "keep" : "keeps"} this location.`;
  return others.length ? `Turn this on in frame ${number(others[0])} too.` : "No other frame has this location yet.";
}
