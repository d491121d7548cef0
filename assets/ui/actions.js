// What a click on a control with `data-action` does.

/** @import { App } from "./app.js" */
/** @import { Take } from "./types.js" */
/** @import { Plan } from "./state/renders.js" */

import { part } from "./dom.js";
import { takePhrase } from "./elements/known.js";
import { VIEWS } from "./elements/panel.js";
import { fieldKey, withoutRefusal } from "./state/bounds.js";
import { editFrame, editSettings, frameOf, indexOf, insertFrame, moveFrame, newFrame, removeFrame, withField } from "./state/board.js";
import { workOf } from "./state/jobs.js";
import { extraWords, leftOutWords, unchangedWords } from "./state/renders.js";
import { chosenTake, frameBeside, resultsNow, takeBeside } from "./state/results.js";
import { plural } from "./words.js";

const DOUBLE_CLICK = 600; // milliseconds
const VIEW_NAMES = VIEWS.map(([name]) => name);

/** @typedef {Record<string, (id?: any, control?: any) => unknown>} Actions By name; the frame and the control may be left out. */

/** @param {App} app @returns {Actions} */
export function makeActions(app) {
  const { root, store, ask, editing, page, pictures, maskEditor, question, say } = app;
  let generated = 0; // time of the last click on Generate
  let planning = false;

  const number = (/** @type {string} */ id) => indexOf(store.state.board, id) + 1;

  /**
   * Generate new takes, after a look at what that would do.
   * @param {"new" | "all" | string[]} which frames that are new or out of date, all frames, or these
   */
  async function generate(which) {
    const { active } = workOf(store.state);
    if (planning || (active && !Array.isArray(which))) return;
    generated = performance.now();
    planning = true;
    let again = false;
    try {
      const plan = await ask("plan", { which });
      if (plan && !plan.targets.length) again = await wantsAll(plan, which);
      else if (plan && (await agreed(plan, which))) await start(plan);
    } finally {
      planning = false;
    }
    if (again) await generate("all");
  }

  /** Say that a render would make nothing, and return whether everything is to be generated again. */
  async function wantsAll(/** @type {Plan} */ plan, /** @type {"new" | "all" | string[]} */ which) {
    const { board, results } = store.state;
    const leftOut = leftOutWords(board, plan);
    if (!board.frames.some(({ id }) => chosenTake(results[id]))) {
      await ask("generate", { frames: null }); // which says what is missing
      return false;
    }
    if (which === "new" && !leftOut) {
      return question.ask({ title: "Everything is up to date", paragraphs: ["Every frame was generated as it is now."], yes: "Generate all again" });
    }
    say(leftOut || "There is nothing to generate.");
    return false;
  }

  /** Return whether a render is to begin; ask where it does more or less than was asked for. */
  async function agreed(/** @type {Plan} */ plan, /** @type {"new" | "all" | string[]} */ which) {
    const { board } = store.state;
    const leftOut = leftOutWords(board, plan);
    if (plan.unchanged.length === plan.targets.length && Array.isArray(which)) {
      const renew = await question.ask({ title: "Nothing would change", paragraphs: [unchangedWords(board, plan.unchanged)], yes: "Use a new seed", no: "Leave it" });
      if (!renew) return false;
      for (const id of plan.unchanged) {
        editing.change((now) => editFrame(now, id, { seed: null }), { words: `Seed of frame ${number(id)} changed`, frame: id, soon: true });
      }
    }
    if (plan.extra.length) {
      const more = await question.ask({ title: `${plural(plan.extra.length, "more frame")} to generate`, paragraphs: extraWords(board, plan), yes: "Generate all of them" });
      if (!more) return false;
    }
    if (leftOut) say(leftOut);
    return true;
  }

  async function start(/** @type {Plan} */ plan) {
    const { asked, board } = store.state;
    const frames = [...plan.targets, ...plan.extra.map(({ frame }) => frame)];
    app.dismiss(); // whoever renders again has read why it failed
    store.set({ asked: [...new Set([...asked, ...frames])] });
    const answer = await ask("generate", { frames: plan.targets });
    if (board.project !== store.state.board.project) return; // another one was opened meanwhile
    if (answer) app.witness(answer.job);
    else store.set({ asked: store.state.asked.filter((frame) => !frames.includes(frame)) });
    app.look();
  }

  /** Open or close the menu of what to generate. @param {boolean} open */
  function showChoices(open) {
    part(root, ".tl-menu").hidden = !open;
    part(root, '[data-action="choices"]').setAttribute("aria-expanded", String(open));
  }

  /** Close the menu by a key, and return whether it was open. */
  function hideChoices() {
    if (part(root, ".tl-menu").hidden) return false;
    showChoices(false);
    part(root, '[data-action="choices"]').focus();
    return true;
  }

  root.addEventListener("click", (event) => {
    if (!(/** @type {Element} */ (event.target).closest('[data-action="choices"]'))) showChoices(false);
  });

  async function cancel() {
    if (!workOf(store.state).active) return;
    store.set({ stopping: true });
    if (!(await ask("cancel"))) store.set({ stopping: false });
    app.look();
  }

  /** Choose the take before or after the chosen one. @param {string} id @param {number} direction */
  function chooseTake(id, direction) {
    const take = takeBeside(resultsNow(store.state)[id], direction);
    if (take) choose(id, take.id);
  }

  /** Choose a take of a frame. @param {string} id @param {string} take */
  async function choose(id, take) {
    store.set({ wished: { ...store.state.wished, [id]: take } });
    if (await ask("choose_take", { frame: id, take })) return;
    const { [id]: _, ...wished } = store.state.wished;
    store.set({ wished });
  }

  /** Return the frame that the viewer shows. */
  const frameShown = () => page.viewer.dataset.shows ?? "";

  /** Return the take that the viewer shows. */
  function takeShown() {
    const result = resultsNow(store.state)[frameShown()];
    return /** @type {Take} */ (result.takes.find((take) => take.id === page.viewer.dataset.take) ?? chosenTake(result));
  }

  /** @param {string} take */
  function showTake(take) {
    page.viewer.dataset.take = take;
    store.set({});
    readWords();
  }

  /** Get the words that the shown take was rendered from. */
  async function readWords() {
    const { id } = takeShown();
    if (id in store.state.takeWords) return;
    const answer = await ask("take_words", { take: id });
    if (answer) store.set({ takeWords: { ...store.state.takeWords, [id]: answer.words } });
  }

  async function removeTake() {
    const [take, frame] = [takeShown().id, frameShown()];
    page.viewer.dataset.take = "";
    if (!(await ask("remove_take", { take }))) return;
    if (!page.viewer.open) page.cardOf(frame)?.focus({ preventScroll: true }); // it was the last one
    say("Take removed.", "Undo", () => ask("bring_back_take", { take }));
  }

  /** @param {string} id @param {number} by @param {HTMLButtonElement | null} control */
  function move(id, by, control = null) {
    const to = indexOf(store.state.board, id) + by;
    editing.change((board) => moveFrame(board, id, to), { words: `Frame ${number(id)} moved`, frame: id, soon: true });
    const card = page.cardOf(id);
    card.scrollIntoView({ block: "nearest" });
    if (control?.disabled) part(card, ".tl-tools [data-action]:not(:disabled)").focus();
    app.announce(`Frame moved to position ${number(id)} of ${store.state.board.frames.length}.`);
  }

  /** @param {string} id */
  function remove(id) {
    const index = indexOf(store.state.board, id);
    editing.change((board) => removeFrame(board, id), { words: `Frame ${index + 1} removed`, frame: id, soon: true });
    const { frames } = store.state.board;
    const neighbour = frames[Math.min(index, frames.length - 1)];
    const next = neighbour ? part(page.cardOf(neighbour.id), '[data-action="remove"]') : part(root, '[data-action="add"]');
    next.focus({ preventScroll: true });
    say(`Frame ${index + 1} removed.`, "Undo", editing.undo);
  }

  /** @param {import("./types.js").Frame} frame @param {number} index @param {string} words */
  function insert(frame, index, words) {
    editing.change((board) => insertFrame(board, frame, index), { words, frame: frame.id, soon: true });
    part(page.cardOf(frame.id), "textarea").focus();
  }

  /** @param {string} id */
  function lookAt(id) {
    if (!chosenTake(resultsNow(store.state)[id])) return;
    const { dataset } = page.viewer;
    if (dataset.shows !== id) dataset.take = "";
    dataset.shows = id;
    if (!page.viewer.open) page.viewer.showModal();
    store.set({});
    readWords();
  }

  /** Show the frame before (-1) or after (1) in the viewer. @param {number} direction */
  function turn(direction) {
    const other = frameBeside(store.state.board, resultsNow(store.state), frameShown(), direction);
    if (other) lookAt(other);
  }

  const nextView = () => VIEW_NAMES[(VIEW_NAMES.indexOf(store.state.view) + 1) % VIEW_NAMES.length];

  /** @param {string} view */
  function setView(view) {
    store.set({ view });
    app.rememberView(view);
  }

  /** @param {HTMLElement} control */
  function removeStyle(control) {
    const row = /** @type {HTMLElement} */ (control.closest("[data-style]"));
    const index = Number(row.dataset.style);
    const { styles } = store.state.board.settings;
    const named = styles[index].source.trim();
    editing.change((board) => editSettings(board, { styles: styles.toSpliced(index, 1) }), { words: "Style removed", soon: true });
    part(root, `[data-style="${Math.min(index, styles.length - 2)}"] [data-action="unstyle"], [data-action="style"]`).focus();
    if (named) say("Style removed.", "Undo", editing.undo);
  }

  /** Settle a field that was changed in two places. @param {string} key @param {boolean} theirs */
  function settle(key, theirs) {
    const { conflicts } = store.state;
    const found = conflicts.find(({ frame, field }) => `${frame ?? ""} ${field}` === key);
    store.set({ conflicts: conflicts.filter((conflict) => conflict !== found) });
    if (!found || !theirs) return;
    editing.change((board) => withField(board, found.frame, found.field, found.theirs), { words: "The other version taken", frame: found.frame, soon: true });
  }

  const pickFile = (/** @type {string} */ purpose) => part(root, `[data-file="${purpose}"]`).click();

  return {
    generate: () => generate("new"),
    "generate-new": () => generate("new"),
    "generate-all": () => generate("all"),
    choices: () => showChoices(part(root, ".tl-menu").hidden),
    "hide-choices": hideChoices,
    // On narrow screens Cancel replaces Generate: the second half of a double click is ignored.
    cancel: () => performance.now() - generated > DOUBLE_CLICK && cancel(),
    stop: cancel,
    redo: (id) => generate([id]),
    identity: (id) => {
      const { board, identity } = store.state;
      const words = `Frame ${number(id)} made the identity frame`;
      if (identity === id && board.settings.consistent) return;
      editing.change((now) => editSettings(now, { identity: id, consistent: true }), { words, frame: id, soon: true });
      say(`Frames keep the character of frame ${number(id)} now.`, "Undo", editing.undo);
    },
    "keep-take": (id) => {
      const locked = !frameOf(store.state.board, id)?.locked;
      const words = `Take of frame ${number(id)} ${locked ? "kept" : "no longer kept"}`;
      editing.change((now) => editFrame(now, id, { locked }), { words, frame: id, soon: true });
    },
    undo: editing.undo,
    "redo-change": editing.redo,
    view: (_, control) => setView(control.dataset.view === store.state.view ? nextView() : control.dataset.view),
    "next-view": () => setView(nextView()),
    archive: (_, control) => {
      control.closest("dialog").close();
      app.download("archive", { form: control.dataset.form });
    },
    new: () => app.open("new"),
    example: () => app.open("example"),
    ...app.shelf.actions,
    "restore-here": app.restoreHere,
    "keep-here": app.keepHere,
    tab: (_, control) => store.set({ tab: control.dataset.tab }),
    suggest: (_, control) => takePhrase(control),
    pick: () => pickFile("picture"),
    import: () => pickFile("import"),
    export: () => app.download("save_character"),
    use: pictures.use,
    mend: pictures.mend,
    retouch: pictures.retouch,
    search: pictures.search,
    discard: pictures.discard,
    unuse: pictures.unuse,
    tool: (_, control) => maskEditor.turn({ mode: control.dataset.mode }),
    "undo-stroke": maskEditor.undo,
    restore: maskEditor.restore,
    model: (_, control) => app.chooseModel(control.dataset.model),
    style: () => {
      editing.change(
        (board) => editSettings(board, { styles: [...board.settings.styles, { source: "", weight: 1, trigger: "" }] }),
        { words: "Style added" },
      );
      part(root, ".tl-style:last-child [data-field=source]").focus();
    },
    unstyle: (_, control) => removeStyle(control),
    dismiss: app.dismiss,
    "generate-left": () => generate(store.state.left),
    "forget-left": app.forgetLeft,
    "read-notice": (_, control) => store.set({ readNotices: [...store.state.readNotices, control.dataset.notice] }),
    "keep-mine": (_, control) => settle(control.dataset.conflict, false),
    "take-theirs": (_, control) => settle(control.dataset.conflict, true),
    shut: (_, control) => control.closest("dialog").close(),
    add: () => insert(newFrame(), store.state.board.frames.length, "Frame added"),
    duplicate: (id) => {
      const { board, setup } = store.state;
      const frame = frameOf(board, id);
      if (frame && board.frames.length < setup.limits.frames) insert(newFrame(frame), number(id), `Frame ${number(id)} duplicated`);
    },
    remove,
    back: (id, control) => move(id, -1, control),
    forth: (id, control) => move(id, 1, control),
    earlier: (id) => chooseTake(id, -1),
    later: (id) => chooseTake(id, 1),
    lock: (id) => {
      const kept = frameOf(store.state.board, id)?.seed != null;
      const take = chosenTake(resultsNow(store.state)[id]);
      const seed = kept ? null : (take?.seed ?? null);
      store.set({ refused: withoutRefusal(store.state.refused, fieldKey(id, "seed")) });
      editing.change((board) => editFrame(board, id, { seed }), { words: `Seed of frame ${number(id)} changed`, frame: id, soon: true });
    },
    look: lookAt,
    previous: () => turn(-1),
    next: () => turn(1),
    "show-take": (_, control) => showTake(control.dataset.take),
    "raw-mask": () => {
      page.viewer.dataset.raw = String(page.viewer.dataset.raw !== "true");
      // A mask can be seen only in a view that shows masks.
      if (page.viewer.dataset.raw === "true" && ["picture", "grid"].includes(store.state.view)) setView("overlay");
      store.set({});
    },
    compare: () => {
      page.viewer.dataset.compare = String(page.viewer.dataset.compare !== "true");
      store.set({});
    },
    "use-take": () => choose(frameShown(), takeShown().id),
    star: () => ask("star_take", { take: takeShown().id, starred: !takeShown().starred }),
    "remove-take": removeTake,
    "use-words": () => {
      const id = frameShown();
      const words = store.state.takeWords[takeShown().id];
      editing.change((board) => editFrame(board, id, words), { words: `Words of frame ${number(id)} taken back`, frame: id, soon: true });
      say(`Frame ${number(id)} has the words of this take again.`, "Undo", editing.undo);
    },
    move,
  };
}
