// The document and what can be done to it. Plain data: nothing here touches the page.

const newId = () => {
  const bytes = crypto.getRandomValues(new Uint8Array(6));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
};

const newFrame = (fields = {}) => ({
  action: "",
  location: "",
  share_background: false,
  character: "",
  reference_strength: null,
  seed: null,
  ...fields,
  id: newId(),
});

/** A location in a form that can be compared; the server does the same. */
const placeOf = (frame) =>
  frame.location.toLowerCase().split(/\s+/).filter(Boolean).join(" ").replace(/[,. ]+$/, "");

const indexOf = (story, id) => story.frames.findIndex((frame) => frame.id === id);

function duplicateFrame(story, id) {
  const index = indexOf(story, id);
  const copy = newFrame(story.frames[index]);
  story.frames.splice(index + 1, 0, copy);
  return copy;
}

function removeFrame(story, id) {
  const index = indexOf(story, id);
  return { frame: story.frames.splice(index, 1)[0], index };
}

/** Move a frame to another position; false where it is there already or there is none. */
function moveFrame(story, id, to) {
  const from = indexOf(story, id);
  if (from < 0 || to === from || to < 0 || to >= story.frames.length) return false;
  story.frames.splice(to, 0, ...story.frames.splice(from, 1));
  return true;
}

/** Which frames share a place with this one, in words. */
function placeHint(story, frame) {
  if (!frame.share_background) return "";
  const place = placeOf(frame);
  if (!place) return "Name the location first.";
  const own = indexOf(story, frame.id);
  const there = story.frames
    .map((other, index) => ({ index, sharing: other.share_background, place: placeOf(other) }))
    .filter((other) => other.place === place && other.index !== own);
  const sharing = there.filter((other) => other.sharing).map((other) => other.index + 1);
  if (sharing.length && sharing[0] <= own) return `Same place as frame ${sharing[0]}.`;
  if (sharing.length) return `${frameNames(sharing)} ${sharing.length > 1 ? "keep" : "keeps"} this place.`;
  if (there.length) return `Turn it on in frame ${there[0].index + 1} too.`;
  return "No other frame has this location yet.";
}

/** Whether nothing has been written yet. */
function isBlank(story) {
  const words = story.frames.flatMap((frame) => [frame.action, frame.location]);
  return [story.character.description, ...words].every((text) => !text.trim());
}
