// Input of a person (clicks, keys, text, drags), and the listeners for it and for the server's updates.

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

// ---- actions --------------------------------------------------------------------------------

const ACTIONS = {
  generate: () => generate(),
  // On narrow screens Cancel replaces Generate: the second half of a double click is ignored.
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
  tab: (_, control) => {
    tab = control.dataset.tab;
    paint();
  },
  pick: () => root.querySelector('[data-file="picture"]').click(),
  import: () => root.querySelector('[data-file="import"]').click(),
  export: () => ask("save_character"),
  use: usePicture,
  mend: openMender,
  retouch: () => ask("reopen_picture"),
  search: searchPicture,
  discard: discardPicture,
  unuse: unusePicture,
  tool: (_, control) => brush.turn({ mode: control.dataset.mode }),
  undo: () => brush.undo(),
  restore: () => brush.restore(),
  model: (_, control) => {
    chooseModel(control.dataset.model);
    changed({ soon: true });
  },
  agree,
  style: () => {
    story.settings.styles.push({ source: "", weight: 1, trigger: "" });
    changed();
    root.querySelector(".tl-style:last-child [data-field=source]").focus();
  },
  unstyle: (_, control) => {
    const index = Number(control.closest("[data-style]").dataset.style);
    const [style] = story.settings.styles.splice(index, 1);
    changed({ soon: true });
    if (!style.source.trim()) return;
    say("Style removed.", "Undo", () => {
      story.settings.styles.splice(index, 0, style);
      changed({ soon: true });
    });
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
  const style = control.closest("[data-style]")?.dataset.style;
  const name = control.dataset.field;
  const value = valueOf(control);
  if (style) story.settings.styles[style][name] = value;
  else if (!id) editStory(name, value);
  else if (name === "reference_strength") story.frames[indexOf(story, id)][name] = value === strengthNow() ? null : value;
  else story.frames[indexOf(story, id)][name] = value;
  changed();
}

function editStory(name, value) {
  const [part, key] = name.split(".");
  if (!key) story[part] = value;
  else if (key === "size") [story.settings.width, story.settings.height] = value.split("x").map(Number);
  else if (key === "model") chooseModel(value);
  else if (key === "guidance") story.settings.guidance = value === modelOf(story, props.setup).guidance ? null : value;
  else if (key === "strength") story.character.strength = value === modelOf(story, props.setup).subject.strength ? null : value;
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

function pressedInTabs(event) {
  if (event.target.role !== "tab" || !["ArrowLeft", "ArrowRight"].includes(event.key)) return;
  event.preventDefault();
  const other = root.querySelector('[role="tab"]:not([aria-selected="true"])');
  other.click();
  other.focus();
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
root.addEventListener("change", (event) => {
  const [file] = (event.target.dataset.file && event.target.files) || [];
  if (!file) return;
  event.target.value = ""; // so that the same file can be chosen again
  bring(file);
});
root.addEventListener("keydown", pressedInCard);
root.addEventListener("keydown", pressedInTabs);
for (const [name, listener] of Object.entries(DROPPING)) document.addEventListener(name, listener);
document.addEventListener("paste", pasted);
root.addEventListener("click", (event) => {
  const control = event.target.closest("[data-action]");
  if (event.target.matches("dialog:not(.tl-mender)")) event.target.close();
  else if (control) ACTIONS[control.dataset.action]?.(control.closest("[data-frame]")?.dataset.frame, control);
});
root.addEventListener("focusout", () => {
  flush();
  // What was typed out of bounds is shown as it was understood.
  if (story) queueMicrotask(paint);
});
document.addEventListener("keydown", pressed);
document.addEventListener("pointerdown", flush, true);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) return;
  flush();
  sendStrokes();
});
setInterval(keepFollowing, 1000);

watch("value", hearDocument);
watch("setup", hearDocument);
watch("results", hearResults);
watch("edited", paint);
watch("saved", hearSaved);
watch("progress", hearProgress);
watch("previews", hearPreviews);
watch("notice", hearNotice);
watch("file", hearFile);
watch("reference", hearReference);
watch("consent", hearConsent);
watch("projects", () => {
  paintPicker(picker, props.projects.items, story.project);
  picker.showModal();
});
hearDocument();
