// The document and its operations, as plain data: nothing here touches the page.

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

/** Return a frame's location in the form that is compared; the server does the same. */
const locationOf = (frame) =>
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

/** Move a frame to another position; return false where nothing changes. */
function moveFrame(story, id, to) {
  const from = indexOf(story, id);
  if (from < 0 || to === from || to < 0 || to >= story.frames.length) return false;
  story.frames.splice(to, 0, ...story.frames.splice(from, 1));
  return true;
}

/** Return a sentence about the frames that share this frame's location. */
function locationHint(story, frame) {
  if (!frame.share_background) return "";
  const location = locationOf(frame);
  if (!location) return "Name the location first.";
  const own = indexOf(story, frame.id);
  const there = story.frames
    .map((other, index) => ({ index, sharing: other.share_background, location: locationOf(other) }))
    .filter((other) => other.location === location && other.index !== own);
  const sharing = there.filter((other) => other.sharing).map((other) => other.index + 1);
  if (sharing.length && sharing[0] <= own) return `Same location as frame ${sharing[0]}.`;
  if (sharing.length) return `${frameNames(sharing)} ${sharing.length > 1 ? "keep" : "keeps"} this location.`;
  if (there.length) return `Turn this on in frame ${there[0].index + 1} too.`;
  return "No other frame has this location yet.";
}

/** Return whether nothing has been written yet. */
function isBlank(story) {
  const words = story.frames.flatMap((frame) => [frame.action, frame.location]);
  return [story.character.description, ...words].every((text) => !text.trim());
}
