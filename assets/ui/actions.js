// What a person does: clicks, keys, words and drags, and the wires that carry it all.

function storedView() {
  try {
    return localStorage.getItem(VIEW_KEY) ?? "picture";
  } catch {
    return "picture"; // a browser that keeps nothing
  }
}

function setView(view) {
  root.dataset.view = view;
  for (const choice of root.querySelectorAll("button[data-view]")) {
    choice.setAttribute("aria-pressed", String(choice.dataset.view === view));
  }
  try {
    localStorage.setItem(VIEW_KEY, view);
  } catch {
    // A browser that keeps nothing shows pictures next time.
  }
}

function nextView() {
  const names = VIEWS.map(([name]) => name);
  setView(names[(names.indexOf(root.dataset.view) + 1) % names.length]);
}

// ---- what a person does ----------------------------------------------------------------------

const ACTIONS = {
  generate: () => generate(),
  // On narrow screens it stands where Generate was: half of a double click does not mean it.
  cancel: () => performance.now() - generated > DOUBLE_CLICK && cancel(),
  redo: (id) => generate(id),
  view: (_, control) => setView(control.dataset.view),
  archive: () => ask("archive"),
  new: () => ask("new"),
  example: () => ask("example"),
  projects: () => ask("projects"),
  open: (_, control) => {
    picker.close();
    ask("open", { project: control.dataset.project });
  },
  dismiss: hideBanner,
  shut: (_, control) => control.closest("dialog").close(),
  add: () => {
    const frame = newFrame();
    story.frames.push(frame);
    changed({ soon: true });
    cardOf(frame.id).querySelector("textarea").focus();
  },
  duplicate: (id) => {
    if (story.frames.length >= props.setup.limits.frames) return;
    const copy = duplicateFrame(story, id);
    changed({ soon: true });
    cardOf(copy.id).querySelector("textarea").focus();
  },
  remove: (id) => {
    const { frame, index } = removeFrame(story, id);
    changed({ soon: true });
    say(`Frame ${index + 1} removed.`, "Undo", () => {
      story.frames.splice(index, 0, frame);
      changed({ soon: true });
    });
  },
  back: (id, control) => move(id, -1, control),
  forth: (id, control) => move(id, 1, control),
  earlier: (id) => chooseTake(id, -1),
  later: (id) => chooseTake(id, 1),
  lock: (id) => {
    const frame = story.frames[indexOf(story, id)];
    frame.seed = frame.seed === null ? chosenTake(resultOf(id)).seed : null;
    changed({ soon: true });
  },
  look: (id) => {
    paintViewer(viewer, story, resultsNow(), id);
    viewer.showModal();
  },
  previous: () => look(-1),
  next: () => look(1),
};

const cardOf = (id) => root.querySelector(`[data-frame="${id}"]`);

function look(direction) {
  const other = neighbour(story, resultsNow(), viewer.dataset.shows, direction);
  if (other) paintViewer(viewer, story, resultsNow(), other);
}

function move(id, by, control = null) {
  if (!moveFrame(story, id, indexOf(story, id) + by)) return;
  changed({ soon: true });
  const card = cardOf(id);
  card.scrollIntoView({ block: "nearest" });
  if (control?.disabled) card.querySelector(".tl-tools [data-action]:not(:disabled)").focus();
}

function edit(control) {
  const id = control.closest("[data-frame]")?.dataset.frame;
  const value = valueOf(control);
  if (id) story.frames[indexOf(story, id)][control.dataset.field] = value;
  else editStory(control.dataset.field, value);
  changed();
}

function editStory(name, value) {
  const [part, key] = name.split(".");
  if (!key) story[part] = value;
  else if (key === "size") [story.settings.width, story.settings.height] = value.split("x").map(Number);
  else if (key === "model") chooseModel(value);
  else if (key === "guidance") story.settings.guidance = value === modelOf(story, props.setup).guidance ? null : value;
  else story[part][key] = value;
}

function chooseModel(name) {
  const model = props.setup.models.find((known) => known.name === name);
  if (!model) return;
  const { width, height } = model.sizes[0];
  Object.assign(story.settings, { model: name, width, height, steps: null, guidance: null });
}

const isTyping = (target) => target.matches?.("input:not([type=checkbox]), textarea, select");

function pressed(event) {
  if (!story) return;
  const dialog = root.querySelector("dialog[open]");
  if ((event.ctrlKey || event.metaKey) && event.key === "Enter") {
    event.preventDefault();
    generate();
  } else if (event.key === "Escape" && !dialog) {
    cancel();
  } else if (event.key === "m" && !isTyping(event.target) && !event.ctrlKey && !event.metaKey && !event.altKey) {
    nextView();
  } else if (dialog === viewer && event.key === "ArrowLeft") {
    look(-1);
  } else if (dialog === viewer && event.key === "ArrowRight") {
    look(1);
  }
}

const STEPS = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 };

function pressedInCard(event) {
  const card = event.target.closest("[data-frame]");
  if (!card || !event.altKey || !(event.key in STEPS)) return;
  event.preventDefault();
  move(card.dataset.frame, STEPS[event.key]);
}

// Touch cannot drag this way; it has the buttons.
let dragged = null;

function dropSide(event, card) {
  const box = card.getBoundingClientRect();
  return event.clientX < box.left + box.width / 2 ? "before" : "after";
}

function clearDrop() {
  for (const card of root.querySelectorAll("[data-drop]")) delete card.dataset.drop;
}

const DRAGGING = {
  dragstart: (event) => {
    const card = event.target.closest?.(".tl-card-head")?.parentElement;
    if (!card) return;
    dragged = card.dataset.frame;
    event.dataTransfer.effectAllowed = "move";
    event.dataTransfer.setData("text/plain", dragged);
    event.dataTransfer.setDragImage(card, 24, 24);
  },
  dragover: (event) => {
    const card = event.target.closest?.("[data-frame]");
    if (!dragged || !card) return;
    event.preventDefault();
    clearDrop();
    if (card.dataset.frame !== dragged) card.dataset.drop = dropSide(event, card);
  },
  drop: (event) => {
    const card = event.target.closest?.("[data-frame]");
    if (!dragged || !card) return;
    event.preventDefault();
    const from = indexOf(story, dragged);
    const to = indexOf(story, card.dataset.frame) + (dropSide(event, card) === "after" ? 1 : 0);
    if (moveFrame(story, dragged, to > from ? to - 1 : to)) changed({ soon: true });
  },
  dragend: () => {
    dragged = null;
    clearDrop();
  },
};

for (const [name, listener] of Object.entries(DRAGGING)) root.addEventListener(name, listener);
root.addEventListener("input", (event) => event.target.dataset.field && edit(event.target));
root.addEventListener("keydown", pressedInCard);
root.addEventListener("click", (event) => {
  const control = event.target.closest("[data-action]");
  if (event.target.matches("dialog")) event.target.close();
  else if (control) ACTIONS[control.dataset.action]?.(control.closest("[data-frame]")?.dataset.frame, control);
});
root.addEventListener("focusout", () => {
  flush();
  // What was typed out of bounds is shown as it was understood.
  if (story) queueMicrotask(paint);
});
document.addEventListener("keydown", pressed);
document.addEventListener("pointerdown", flush, true);
document.addEventListener("visibilitychange", () => document.hidden && flush());
setInterval(keepFollowing, 1000);

watch("value", hearDocument);
watch("setup", hearDocument);
watch("results", hearResults);
watch("edited", paint);
watch("saved", hearSaved);
watch("progress", hearProgress);
watch("notice", hearNotice);
watch("archive", hearArchive);
watch("projects", () => {
  paintPicker(picker, props.projects.items, story.project);
  picker.showModal();
});
hearDocument();
