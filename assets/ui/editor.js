// State of the editor: events sent to the server, updates from it, and the page that shows them.
// Gradio gives `element`, `props`, `trigger` and `watch`; the document is sent as `props.value`.

const SAVE_AFTER = 400; // milliseconds without a change
const QUIET = 2500; // milliseconds without an update, after which a running job is followed again
const DOUBLE_CLICK = 600; // milliseconds
const RESTING = ["idle", "finished", "failed", "cancelled"];
const VIEW_KEY = "throughline-view";

const root = element.querySelector(".tl");
let story = null; // the document
let results = {}; // the takes of its frames
let news = { state: "idle", frames: {} }; // the progress of its jobs
let previews = {}; // previews of frames that render
let saved = 0; // its stored revision
let sent = ""; // the document as last sent or received
let saveTimer = null;
let heard = 0; // time of the last progress
let generated = 0; // time of the last click on Generate
let followed = null; // the last job that was followed
let stopping = false; // whether a cancel was sent
let unsaved = false; // whether the server refused the last change
const asked = new Set(); // requested frames that the progress does not name yet
const wished = new Map(); // chosen takes that the results do not show yet, by frame

// ---- sending ---------------------------------------------------------------------------------

function send() {
  clearTimeout(saveTimer);
  saveTimer = null;
  story.revision += 1;
  sent = JSON.stringify(story);
  props.value = structuredClone(story);
  trigger("save");
}

/** Send unsent changes, so that a click on Generate includes the last keystroke. */
function flush() {
  if (saveTimer !== null) send();
}

function changed({ soon = false } = {}) {
  clearTimeout(saveTimer);
  saveTimer = setTimeout(send, soon ? 0 : SAVE_AFTER);
  unsaved = false;
  paint();
}

function ask(name, data = {}) {
  flush();
  trigger(name, data);
}

function generate(id = null) {
  if (id === null && workOf().active) return;
  generated = performance.now();
  const frames = id === null ? story.frames.map((frame) => frame.id) : [id];
  frames.forEach((frame) => asked.add(frame));
  hideBanner();
  flush();
  trigger("generate", { frames: id === null ? null : [id] });
  paint();
}

function cancel() {
  if (!workOf().active) return;
  stopping = true;
  trigger("cancel");
  paint();
}

/** Choose the next take of a frame in a direction. */
function chooseTake(id, direction) {
  const result = resultOf(id);
  const position = result.takes.indexOf(chosenTake(result)) + direction;
  const take = result.takes[position];
  if (!take) return;
  wished.set(id, take.id);
  ask("choose_take", { frame: id, take: take.id });
  paint();
}

// ---- updates from the server -----------------------------------------------------------------

/** Return the work in progress: the server's progress, and the frames requested just now. */
function workOf() {
  const active = !RESTING.includes(news.state) || asked.size > 0;
  const frames = { ...news.frames };
  for (const id of asked) frames[id] ??= { state: "waiting" };
  let state = news.state;
  if (active && RESTING.includes(state)) state = "queued";
  if (active && stopping) state = "cancelling";
  return { fraction: 0, rendered: 0, total: asked.size, ...news, active, state, frames };
}

function resultOf(id) {
  const result = results[id];
  return result && wished.has(id) ? { ...result, chosen: wished.get(id) } : result;
}

function resultsNow() {
  return Object.fromEntries(Object.keys(results).map((id) => [id, resultOf(id)]));
}

/** Return whether an update is for the storyboard on the page; late ones may be for another. */
const isOurs = (update) => Boolean(story) && update?.project === story.project;

function hearResults() {
  if (!isOurs(props.results)) return;
  results = props.results.frames;
  for (const [id, take] of wished) {
    if (results[id]?.chosen === take) wished.delete(id);
  }
  paint();
}

function hearSaved() {
  if (!isOurs(props.saved)) return;
  saved = Math.max(saved, props.saved.revision);
  if (saved >= story.revision) unsaved = false;
  paint();
}

function hearProgress() {
  if (!isOurs(props.progress)) return;
  heard = performance.now();
  news = props.progress;
  const resting = RESTING.includes(news.state);
  for (const id of asked) {
    if (resting || id in news.frames) asked.delete(id);
  }
  if (resting) {
    stopping = false;
    if (news.job && news.job === followed) reportOutcome();
    followed = null;
  } else if (news.job !== followed) {
    followed = news.job;
    trigger("follow");
  }
  paint();
}

function hearPreviews() {
  if (!isOurs(props.previews)) return;
  previews = props.previews.frames;
  paint();
}

function reportOutcome() {
  if (news.state === "failed") showBanner(news.message);
  if (news.state === "cancelled") say(`Stopped. ${plural(news.rendered, "frame")} generated; all takes are kept.`);
  if (news.state === "finished") say(`${plural(news.rendered, "frame")} generated.`);
}

function hearNotice() {
  asked.clear();
  wished.clear();
  stopping = false;
  mending = false;
  doing = "";
  replaced = null;
  picture.busy = null;
  unsaved = saved < story.revision;
  showBanner(props.notice.problem, props.notice.remedy);
  paint();
}

function hearDocument() {
  if (!props.setup || !props.value || JSON.stringify(props.value) === sent) return;
  clearTimeout(saveTimer);
  saveTimer = null;
  story = structuredClone(props.value);
  sent = JSON.stringify(story);
  results = {};
  news = { state: "idle", frames: {} };
  previews = {};
  saved = 0;
  asked.clear();
  wished.clear();
  followed = null;
  stopping = unsaved = false;
  if (!root.querySelector(".tl-cards")) build();
  forgetPicture();
  root.querySelector(".tl-cards").replaceChildren();
  hideBanner();
  // Updates that arrived together with the document may have been handled before it.
  hearSaved();
  hearResults();
  hearReference();
  hearProgress();
  hearPreviews();
  paint();
  if (replaced) reportReplaced();
}

function hearFile() {
  const { name, file } = props.file;
  const link = make("a", { href: file.url, download: name });
  root.append(link);
  link.click();
  link.remove();
}

/** Follow a running job again after the page slept or lost its connection. */
function keepFollowing() {
  if (!RESTING.includes(news.state) && performance.now() - heard > QUIET) trigger("follow");
}

// ---- the page --------------------------------------------------------------------------------

let viewer, picker, mender, consent;

function build() {
  viewer = makeViewer();
  picker = makePicker();
  mender = makeMender();
  consent = makeConsent();
  root.replaceChildren(
    makeHead(props.setup),
    make(
      "div",
      { class: "tl-body" },
      makePanel(props.setup),
      make(
        "section",
        { class: "tl-main", "aria-label": "Frames" },
        makeBar(),
        make("div", { class: "tl-banner", role: "alert", hidden: true }),
        makeWelcome(),
        make("div", { class: "tl-cards" }),
        button("add", "plus", { label: "Add frame", kind: "tl-add" }),
      ),
    ),
    make("datalist", { id: "tl-locations" }),
    make("div", { class: "tl-toast", role: "status", hidden: true }),
    viewer,
    picker,
    mender,
    consent,
  );
  setView(storedView());
}

function makeWelcome() {
  return make(
    "p",
    { class: "tl-welcome" },
    "Describe the character or upload a picture, write an action and a location for each frame, then press Generate all. Or ",
    make("button", { type: "button", class: "tl-link", "data-action": "example", text: "open the example" }),
    ".",
  );
}

function paint() {
  if (!story) return;
  const work = workOf();
  root.dataset.status = work.state;
  document.title = `${work.active ? `${Math.round(100 * work.fraction)} % \u00b7 ` : ""}${story.title || "Untitled"}`;
  paintPanel(root, { story, setup: props.setup, picture, tab: tabNow() });
  paintBar(root.querySelector(".tl-bar"), work, story);
  paintSaved(root.querySelector(".tl-saved"));
  root.querySelector(".tl-welcome").hidden = !isBlank(story) || Boolean(picture.used);
  root.querySelector('[data-action="archive"]').disabled = !story.frames.some((frame) => chosenTake(resultOf(frame.id)));
  root.querySelector('[data-action="add"]').disabled = story.frames.length >= props.setup.limits.frames;
  arrangeCards();
  const edited = new Set(props.edited ?? []);
  const strength = strengthNow();
  [...root.querySelector(".tl-cards").children].forEach((card, index) => {
    const { id } = story.frames[index];
    const preview = previews[id];
    paintCard(card, { story, index, work, result: resultOf(id), preview, edited: edited.has(id), strength });
  });
  paintLocations();
  if (mender.open) paintMender();
  if (viewer.open) paintViewer(viewer, story, resultsNow(), viewer.dataset.shows);
}

/** Put the cards in the order of the frames; a moved card keeps its focus, caret and text. */
function arrangeCards() {
  const cards = root.querySelector(".tl-cards");
  const known = new Map([...cards.children].map((card) => [card.dataset.frame, card]));
  const focused = cards.contains(document.activeElement) ? document.activeElement : null;
  story.frames.forEach((frame, index) => {
    const card = known.get(frame.id) ?? makeCard(frame, props.setup);
    known.delete(frame.id);
    if (cards.children[index] !== card) cards.insertBefore(card, cards.children[index] ?? null);
  });
  known.forEach((card) => card.remove());
  if (focused?.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true });
}

function paintSaved(line) {
  const current = saveTimer === null && saved >= story.revision;
  line.dataset.saved = String(current);
  line.hidden = story.revision === 0 && isBlank(story);
  setText(line, unsaved ? "Not saved" : current ? "Saved" : "Saving\u2026");
}

function paintLocations() {
  const list = root.querySelector("#tl-locations");
  const used = [...new Set(story.frames.map((frame) => frame.location.trim()).filter(Boolean))];
  if (list.dataset.used === used.join("\n")) return;
  list.dataset.used = used.join("\n");
  list.replaceChildren(...used.map((value) => make("option", { value })));
}

function showBanner(problem, remedy = "") {
  const banner = root.querySelector(".tl-banner");
  banner.replaceChildren(
    icon("alert"),
    make("p", {}, make("strong", { text: problem }), remedy ? ` ${remedy}` : ""),
    button("dismiss", "close", { hint: "Dismiss" }),
  );
  banner.hidden = false;
  banner.scrollIntoView({ block: "nearest" });
}

function hideBanner() {
  root.querySelector(".tl-banner").hidden = true;
}

let toastTimer = null;

/** Show a short message, with a button for `action` where there is one. */
function say(text, label = "", action = null) {
  const toast = root.querySelector(".tl-toast");
  toast.replaceChildren(make("span", { text }));
  if (action) {
    const act = button("", "undo", { label });
    act.addEventListener("click", () => {
      toast.hidden = true;
      action();
    });
    toast.append(act);
  }
  toast.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => (toast.hidden = true), action ? 8000 : 4000);
}
