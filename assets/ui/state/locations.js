// Locations that frames share. Pure functions on plain data.

/** @import { Board, Frame } from "../types.js" */

import { frameNames } from "../words.js";
import { indexOf, locationOf } from "./board.js";

/** Return a sentence about the frames that share this frame's location. @param {Board} board @param {Frame} frame */
export function locationHint(board, frame) {
  if (!frame.share_background) return "";
  const location = locationOf(frame);
  if (!location) return "Name the location first.";
  const own = indexOf(board, frame.id);
  const there = board.frames
    .map((other, index) => ({ index, sharing: other.share_background, location: locationOf(other) }))
    .filter((other) => other.location === location && other.index !== own);
  const sharing = there.filter((other) => other.sharing).map((other) => other.index + 1);
  if (sharing.length && sharing[0] <= own) return `Same location as frame ${sharing[0]}.`;
  if (sharing.length) return `${frameNames(sharing)} ${sharing.length > 1 ? "keep" : "keeps"} this location.`;
  if (there.length) return `Turn this on in frame ${there[0].index + 1} too.`;
  return "No other frame has this location yet.";
}
