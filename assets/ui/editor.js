// The editor's state: what goes to the server, what comes from it, and the page that shows both.
// Gradio gives `element`, `props`, `trigger` and `watch`; the document goes out as `props.value`.

const SAVE_AFTER = 400; // milliseconds without a change
const QUIET = 2500; // milliseconds without news, after which a running job is followed anew
const DOUBLE_CLICK = 600; // milliseconds
const RESTING = ["idle", "finished", "failed", "cancelled"];
const VIEW_KEY = "throughline-view";

const root = element.querySelector(".tl");
let story = null; // the document
let results = {}; // the takes of its frames
let news = { state: "idle", frames: {} }; // how its jobs stand
let previews = {}; // what frames look like that are being painted
let saved = 0; // the revision of it that is stored
let sent = ""; // the document as it was last sent or received
let saveTimer = null;
let heard = 0; // when there was news of a job
let generated = 0; // when something was last asked for
let followed = null; // the job that was last followed
let stopping = false; // whether a cancel is on its way
let unsaved = false; // whether the server refused the last change
const asked = new Set(); // frames that were asked for and are not in the news yet
const wished = new Map(); // takes that were chosen and are not in the news yet, by frame

// ---- sending ---------------------------------------------------------------------------------

function send() {
  clearTimeout(saveTimer);
  saveTimer = null;
  story.revision += 1;
  sent = JSON.stringify(story);
  props.value = structuredClone(story);
  trigger("save");
}

/** Send what is still waiting: a click on Generate must see the last keystroke. */
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

/** Another take of a frame: the next one in a direction. */
function chooseTake(id, direction) {
  const result = resultOf(id);
  const position = result.takes.indexOf(chosenTake(result)) + direction;
  const take = result.takes[position];
  if (!take) return;
  wished.set(id, take.id);
  ask("choose", { frame: id, take: take.id });
  paint();
}

// ---- what the server told --------------------------------------------------------------------

/** What is being done, for painting: the server's news and what has just been asked for. */
function workOf() {
  const active = !RESTING.includes(news.state) || asked.size > 0;
  const frames = { ...news.frames };
  for (const id of asked) frames[id] ??= { state: "waiting" };
  let state = news.state;
  if (active && RESTING.includes(state)) state = "queued";
  if (active && stopping) state = "cancelling";
  return { fraction: 0, painted: 0, wanted: asked.size, ...news, active, state, frames };
}

function resultOf(id) {
  const result = results[id];
  return result && wished.has(id) ? { ...result, chosen: wished.get(id) } : result;
}

function resultsNow() {
  return Object.fromEntries(Object.keys(results).map((id) => [id, resultOf(id)]));
}

/** Whether news is of the storyboard on the page: what concerns another may still come in. */
const isOurs = (told) => Boolean(story) && told?.project === story.project;

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
    if (news.job && news.job === followed) tellOutcome();
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

function tellOutcome() {
  if (news.state === "failed") showBanner(news.message);
  if (news.state === "cancelled") say(`Stopped. ${plural(news.painted, "frame")} painted; everything is kept.`);
  if (news.state === "finished") say(`${plural(news.painted, "frame")} painted.`);
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
  // What came along with the document may have been heard before it.
  hearSaved();
  hearResults();
  hearReference();
  hearProgress();
  hearPreviews();
  paint();
  if (replaced) tellReplaced();
}

function hearFile() {
  const { name, file } = props.file;
  const link = make("a", { href: file.url, download: name });
  root.append(link);
  link.click();
  link.remove();
}

/** A page that slept or lost its connection takes up a running job again. */
function keepFollowing() {
  if (!RESTING.includes(news.state) && performance.now() - heard > QUIET) trigger("follow");
}

// ---- painting --------------------------------------------------------------------------------

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
    "Describe the character or upload a picture of it, say where each frame is and what happens, and press Generate all. Or ",
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

/** Cards in the order of the frames; moving one keeps its focus, caret and text. */
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

/** A short message, with something that can be done about it. */
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
