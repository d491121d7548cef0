// The picture of the character on its way: chosen, uploaded, mended, used; and the dialogs for it.

const PICTURE_WAIT = 250; // milliseconds after a stroke before it is sent
const CHARACTER_FILE = /\.character$/i;

const NO_PICTURE = { used: null, draft: null, serial: 0, busy: null, fault: "" };

let picture = { ...NO_PICTURE }; // what the server told of it
let tab = null; // the tab that was chosen by hand
let mending = false; // whether strokes are on their way
let marked = 0; // strokes so far
let toldMarks = 0; // how many of them the server knows
let markTimer = null;
let opened = 0; // the last answer that was heard: one that opens the brush does so once
let brush = null;
let lastUsed = ""; // the picture that was removed last
let doing = ""; // what was asked of the picture, to be told when it is done
let replaced = null; // the character that a loaded one takes the place of

const tabNow = () => tab ?? (picture.used || picture.draft ? "upload" : "describe");

/** How closely frames follow the reference picture; null where they follow none. */
function strengthNow() {
  const subject = modelOf(story, props.setup)?.subject;
  return picture.used && subject ? (story.character.strength ?? subject.strength) : null;
}

function hearReference() {
  if (!isOurs(props.reference)) return;
  const { used, draft, fault, revision, serial, open } = props.reference;
  if (serial < picture.serial) return; // overtaken by a later answer
  picture = { used, draft, serial, fault: fault ?? "", busy: null };
  if (revision !== undefined) {
    toldMarks = Math.max(toldMarks, revision);
    mending = false;
    if (marked > toldMarks) sendStrokes();
  }
  if (mender.open && draft?.id !== mender.dataset.draft) mender.close();
  if (open && serial > opened) openMender();
  opened = Math.max(opened, serial);
  paint();
  if (revision !== undefined) return; // of strokes that were on their way before
  if (doing && !fault) tellDone();
  doing = "";
}

/** Say what was done; its button may be gone, so that the keyboard goes on from the tab. */
function tellDone() {
  if (doing === "use") say(strengthNow() === null ? "The character has this picture now." : "Frames follow this picture.");
  if (doing === "unuse") say("Picture removed.", "Undo", () => ask("refer", { name: lastUsed }));
  if (!document.activeElement.checkVisibility() || document.activeElement === document.body) root.querySelector('[role="tab"][aria-selected="true"]').focus();
}

function forgetPicture() {
  picture = { ...NO_PICTURE };
  tab = null;
  mender.close();
  consent.close();
}

// ---- files -----------------------------------------------------------------------------------

/** Upload a picture of the character, or a character's file. */
async function bring(file) {
  const isCharacter = CHARACTER_FILE.test(file.name);
  if (!isCharacter) tab = "upload";
  picture.fault = "";
  const most = props.setup.limits.upload;
  if (file.size > most) {
    complain(`${file.name} is larger than ${Math.round(most / 1e6)} MB. Save a smaller copy of it.`);
    return;
  }
  picture.busy = isCharacter ? "Reading the character\u2026" : "Looking for the character\u2026";
  paint();
  try {
    const { path } = await upload(file);
    if (isCharacter) loadCharacter(path);
    else ask("picture", { path });
  } catch {
    complain(`${file.name} could not be sent. Check the connection, then try again.`);
  }
}

function complain(fault) {
  Object.assign(picture, { fault, busy: null });
  tab = "upload";
  paint();
}

function loadCharacter(path) {
  replaced = { character: { ...story.character }, name: picture.used?.name ?? "" };
  ask("load_character", { path });
}

/** Tell that another character is here, and offer the earlier one. */
function tellReplaced() {
  const { character, name } = replaced;
  replaced = null;
  say(`${story.character.name || "The character"} is here.`, "Undo", () => {
    story.character = character;
    changed({ soon: true });
    ask("refer", { name });
  });
}

const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");

let leaving = null;

/** A file may be dropped anywhere on the page: there is only one thing to do with it. */
const DROPPING = {
  dragover: (event) => {
    if (!story || !hasFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    root.dataset.dropping = "true";
    clearTimeout(leaving);
    leaving = setTimeout(() => delete root.dataset.dropping, 300);
  },
  drop: (event) => {
    if (!story || !hasFiles(event)) return;
    event.preventDefault();
    delete root.dataset.dropping;
    const [file] = event.dataTransfer.files;
    if (file) bring(file);
  },
};

function pasted(event) {
  const { files, types } = event.clipboardData;
  const file = [...files].find(({ type }) => type.startsWith("image/"));
  // Office programs put a picture of the words beside the words.
  const meansWords = isTyping(event.target) && types.includes("text/plain");
  if (!story || !file || meansWords) return;
  event.preventDefault();
  bring(file);
}

// ---- the brush -------------------------------------------------------------------------------

function makeMender() {
  brush = makeBrush({ done: strokeDone, turned: paintTool });
  const size = slider("", { lowest: BRUSH.smallest, highest: BRUSH.largest, step: 1 });
  size.removeAttribute("data-field");
  size.setAttribute("aria-label", "Width of the brush");
  size.addEventListener("input", () => brush.turn({ size: size.valueAsNumber }));
  const dialog = make(
    "dialog",
    { class: "tl-dialog tl-mender", "aria-label": "Mend the mask" },
    make("div", { class: "tl-row" }, make("h2", { text: "Mend the mask" }), make("span", { class: "tl-gap" }), button("shut", "close", { hint: "Close; everything is kept" })),
    make(
      "div",
      { class: "tl-mender-body" },
      make("div", { class: "tl-easel" }, brush.box),
      make(
        "div",
        { class: "tl-stack" },
        make(
          "div",
          { class: "tl-tool-row" },
          make("div", { class: "tl-views", role: "group", "aria-label": "Brush" }, makeTool("add", "plus", "Add"), makeTool("remove", "minus", "Rub out")),
          make("label", { class: "tl-row tl-width" }, make("span", { class: "tl-label", text: "Width" }), size),
          make(
            "div",
            { class: "tl-row" },
            button("undo", "undo", { label: "Undo", hint: "Undo the last stroke (Ctrl+Z)" }),
            button("restore", "redo", { label: "Start over", hint: "Back to the mask that was found" }),
          ),
        ),
        makePrepared("What frames will follow"),
        makeDoubt(),
        button("use", "check", { label: "Use this picture", kind: "tl-primary" }),
      ),
    ),
  );
  dialog.addEventListener("close", sendStrokes);
  dialog.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.key !== "z") return;
    event.preventDefault();
    brush.undo();
  });
  return dialog;
}

function makeTool(mode, iconName, label) {
  const choice = button("tool", iconName, { label });
  choice.dataset.mode = mode;
  return choice;
}

async function openMender() {
  const { draft } = picture;
  if (mender.dataset.draft !== draft.id) {
    await brush.load({ picture: draft.view.url, mask: draft.mask, earlier: draft.strokes });
    mender.dataset.draft = draft.id;
    toldMarks = marked;
    mending = false;
    brush.turn({ mode: "add" });
  }
  if (!mender.open) mender.showModal();
  paintMender();
}

function paintMender() {
  const { draft } = picture;
  if (!draft) return;
  paintPrepared(mender.querySelector(".tl-prepared"), draft.prepared);
  mender.querySelector(".tl-prepared").classList.toggle("tl-stale", marked > toldMarks);
  paintDoubt(mender.querySelector(".tl-doubt"), draft);
  mender.querySelector('[data-action="use"]').disabled = !draft.prepared && marked === toldMarks;
  mender.querySelector('[data-action="undo"]').disabled = !brush.canUndo();
}

function paintTool({ mode, size }) {
  for (const choice of mender.querySelectorAll("[data-mode]")) choice.setAttribute("aria-pressed", String(choice.dataset.mode === mode));
  setSlider(mender.querySelector(".tl-width input"), size, null);
}

function strokeDone() {
  marked += 1;
  clearTimeout(markTimer);
  markTimer = setTimeout(sendStrokes, PICTURE_WAIT);
  paintMender();
}

/** Tell the server of strokes that it does not know, one message at a time. */
function sendStrokes() {
  clearTimeout(markTimer);
  if (mending || marked === toldMarks || !picture.draft || doing === "use") return;
  mending = true;
  ask("mend", { draft: mender.dataset.draft, strokes: brush.marked(), revision: marked });
}

/** Use the picture as it was mended to the last stroke. */
function usePicture() {
  const { draft } = picture;
  clearTimeout(markTimer);
  picture.busy = "Preparing the picture\u2026";
  doing = "use";
  ask("use", { draft: draft.id, strokes: draft.id === mender.dataset.draft ? brush.marked() : null });
  mender.close();
  paint();
}

function unusePicture() {
  lastUsed = picture.used.name;
  doing = "unuse";
  ask("refer", { name: "" });
}

function discardPicture() {
  doing = "discard";
  ask("discard", { draft: picture.draft.id });
}

/** Let the network find the figure; what was painted by hand is dropped for its mask. */
function searchPicture() {
  picture.busy = `${props.setup.matting} looks for the character\u2026`;
  ask("search", { draft: picture.draft.id });
  paint();
}

// ---- terms -----------------------------------------------------------------------------------

function makeConsent() {
  return make(
    "dialog",
    { class: "tl-dialog tl-consent", "aria-label": "Terms of a download" },
    make("h2", { text: "Before the first download" }),
    make("p", { class: "tl-terms" }),
    make("p", { class: "tl-hint" }),
    make(
      "div",
      { class: "tl-row" },
      make("span", { class: "tl-gap" }),
      button("shut", "", { label: "Not now" }),
      button("agree", "check", { label: "Agree and go on", kind: "tl-primary" }),
    ),
  );
}

function hearConsent() {
  const { terms, download_bytes: bytes } = props.consent;
  asked.clear();
  picture.busy = null;
  const [words, size] = consent.querySelectorAll("p");
  words.replaceChildren(`${terms} Licence: `, licenceLink(props.consent), ".");
  const amount = bytes ? `About ${(bytes / 1e9).toFixed(bytes < 1e10 ? 1 : 0)} GB are downloaded once. ` : "";
  setText(size, `${amount}You are asked once; nothing is downloaded unless you agree.`);
  consent.showModal();
  paint();
}

function agree() {
  consent.close();
  const { key, wanted } = props.consent;
  if (wanted.draft) picture.busy = `${props.setup.matting} looks for the character\u2026`;
  else (wanted.frames ?? story.frames.map(({ id }) => id)).forEach((id) => asked.add(id));
  ask("consent", { key, ...wanted });
  paint();
}
