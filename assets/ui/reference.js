// Upload of the character's reference picture, the editor of its mask, and the dialog for downloads.

const PICTURE_WAIT = 250; // milliseconds after a stroke before it is sent
const CHARACTER_FILE = /\.character$/i;

const NO_PICTURE = { used: null, draft: null, serial: 0, busy: null, fault: "" };

let picture = { ...NO_PICTURE }; // the server's last answer about it
let tab = null; // the tab that a person chose
let mending = false; // whether strokes were sent and not answered
let marked = 0; // strokes so far
let sentMarks = 0; // strokes that the server knows
let markTimer = null;
let opened = 0; // serial of the last answer, so that each opens the mask editor once
let brush = null;
let lastUsed = ""; // the last removed picture
let doing = ""; // the action whose outcome is reported when it is done
let replaced = null; // the character that a loaded one replaces

const tabNow = () => tab ?? (picture.used || picture.draft ? "upload" : "describe");

/** Return the storyboard's reference strength; null where no reference picture is used. */
function strengthNow() {
  const subject = modelOf(story, props.setup)?.subject;
  return picture.used && subject ? (story.character.strength ?? subject.strength) : null;
}

function hearReference() {
  if (!isOurs(props.reference)) return;
  const { used, draft, fault, revision, serial, open } = props.reference;
  if (serial < picture.serial) return; // a later answer came first
  picture = { used, draft, serial, fault: fault ?? "", busy: null };
  if (revision !== undefined) {
    sentMarks = Math.max(sentMarks, revision);
    mending = false;
    if (marked > sentMarks) sendStrokes();
  }
  if (mender.open && draft?.id !== mender.dataset.draft) mender.close();
  if (open && serial > opened) openMender();
  opened = Math.max(opened, serial);
  paint();
  if (revision !== undefined) return; // the answer to strokes sent before
  if (doing && !fault) reportDone();
  doing = "";
}

/** Report what was done; where its button is gone, the focus moves to the tab. */
function reportDone() {
  if (doing === "use") say(strengthNow() === null ? "Reference picture saved. This model cannot use it." : "Frames are generated with this picture.");
  if (doing === "unuse") say("Reference picture removed.", "Undo", () => ask("set_reference", { name: lastUsed }));
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
    complain(`${file.name} is larger than ${Math.round(most / 1e6)} MB. Choose a smaller file.`);
    return;
  }
  picture.busy = isCharacter ? "Loading the character\u2026" : "Looking for the character\u2026";
  paint();
  try {
    const { path } = await upload(file);
    if (isCharacter) loadCharacter(path);
    else ask("upload_picture", { path });
  } catch {
    complain(`${file.name} could not be uploaded. Check the connection, then try again.`);
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

/** Report that another character was loaded, and offer to undo it. */
function reportReplaced() {
  const { character, name } = replaced;
  replaced = null;
  say(`${story.character.name || "Character"} loaded.`, "Undo", () => {
    story.character = character;
    changed({ soon: true });
    ask("set_reference", { name });
  });
}

const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");

let leaving = null;

/** Accept a file that is dropped anywhere on the page. */
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
  // Office programs copy text also as a picture.
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
  size.setAttribute("aria-label", "Brush width");
  size.addEventListener("input", () => brush.turn({ size: size.valueAsNumber }));
  const dialog = make(
    "dialog",
    { class: "tl-dialog tl-mender", "aria-label": "Edit the mask" },
    make("div", { class: "tl-row" }, make("h2", { text: "Edit the mask" }), make("span", { class: "tl-gap" }), button("shut", "close", { hint: "Close; your changes are kept" })),
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
          make("div", { class: "tl-views", role: "group", "aria-label": "Brush" }, makeTool("add", "plus", "Add"), makeTool("remove", "minus", "Erase")),
          make("label", { class: "tl-row tl-width" }, make("span", { class: "tl-label", text: "Width" }), size),
          make(
            "div",
            { class: "tl-row" },
            button("undo", "undo", { label: "Undo", hint: "Undo the last stroke (Ctrl+Z)" }),
            button("restore", "redo", { label: "Start over", hint: "Back to the detected mask" }),
          ),
        ),
        makePrepared("Reference picture"),
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
    sentMarks = marked;
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
  mender.querySelector(".tl-prepared").classList.toggle("tl-stale", marked > sentMarks);
  paintDoubt(mender.querySelector(".tl-doubt"), draft);
  mender.querySelector('[data-action="use"]').disabled = !draft.prepared && marked === sentMarks;
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

/** Send the strokes that the server does not know, one request at a time. */
function sendStrokes() {
  clearTimeout(markTimer);
  if (mending || marked === sentMarks || !picture.draft || doing === "use") return;
  mending = true;
  ask("edit_mask", { draft: mender.dataset.draft, strokes: brush.marked(), revision: marked });
}

/** Use the picture, with all strokes on its mask. */
function usePicture() {
  const { draft } = picture;
  clearTimeout(markTimer);
  picture.busy = "Preparing the picture\u2026";
  doing = "use";
  ask("use_picture", { draft: draft.id, strokes: draft.id === mender.dataset.draft ? brush.marked() : null });
  mender.close();
  paint();
}

function unusePicture() {
  lastUsed = picture.used.name;
  doing = "unuse";
  ask("set_reference", { name: "" });
}

function discardPicture() {
  doing = "discard";
  ask("discard_picture", { draft: picture.draft.id });
}

/** Find the figure with the network; its mask replaces the strokes. */
function searchPicture() {
  picture.busy = `${props.setup.matting} is looking for the character\u2026`;
  ask("find_figure", { draft: picture.draft.id });
  paint();
}

// ---- terms -----------------------------------------------------------------------------------

function makeConsent() {
  return make(
    "dialog",
    { class: "tl-dialog tl-consent", "aria-label": "Download terms" },
    make("h2", { text: "Before the first download" }),
    make("p", { class: "tl-terms" }),
    make("p", { class: "tl-hint" }),
    make(
      "div",
      { class: "tl-row" },
      make("span", { class: "tl-gap" }),
      button("shut", "", { label: "Not now" }),
      button("agree", "check", { label: "Agree", kind: "tl-primary" }),
    ),
  );
}

function hearConsent() {
  const { terms, download_bytes: bytes } = props.consent;
  asked.clear();
  picture.busy = null;
  const [words, size] = consent.querySelectorAll("p");
  words.replaceChildren(`${terms} Licence: `, licenceLink(props.consent), ".");
  const amount = bytes ? `About ${(bytes / 1e9).toFixed(bytes < 1e10 ? 1 : 0)} GB will be downloaded, once. ` : "";
  setText(size, `${amount}Nothing is downloaded unless you agree.`);
  consent.showModal();
  paint();
}

function agree() {
  consent.close();
  const { key, pending } = props.consent;
  if (pending.draft) picture.busy = `${props.setup.matting} is looking for the character\u2026`;
  else (pending.frames ?? story.frames.map(({ id }) => id)).forEach((id) => asked.add(id));
  ask("give_consent", { key, ...pending });
  paint();
}
