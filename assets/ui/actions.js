// What a click on a control with `data-action` does.

/** @import { App } from "./main.js" */

import { editFrame, editSettings, frameOf, indexOf, insertFrame, moveFrame, newFrame, removeFrame, withField } from "./state/board.js";
import { isResting, workOf } from "./state/jobs.js";
import { chosenTake, frameBeside, resultsNow, takeBeside } from "./state/results.js";
import { paintViewer } from "./elements/viewer.js";

const DOUBLE_CLICK = 600; // milliseconds
const VIEWS = ["picture", "overlay", "side"];

/** @param {App} app */
export function makeActions(app) {
  const { root, store, ask, editing, page, pictures, maskEditor, say } = app;
  let generated = 0; // time of the last click on Generate

  const number = (/** @type {string} */ id) => indexOf(store.state.board, id) + 1;

  /** Ask for new takes of a frame, or of all. @param {string | null} id */
  async function generate(id = null) {
    const { board, progress, asked } = store.state;
    if (id === null && workOf(store.state).active) return;
    generated = performance.now();
    const frames = id === null ? board.frames.map((frame) => frame.id) : [id];
    store.set({ asked: [...new Set([...asked, ...frames])], fault: null });
    const answer = await ask("generate", { frames: id === null ? null : [id] });
    const left = store.state.asked.filter((frame) => !frames.includes(frame));
    if (!answer) store.set({ asked: left, progress: isResting(progress) ? store.state.progress : progress });
    app.look();
  }

  async function cancel() {
    if (!workOf(store.state).active) return;
    store.set({ stopping: true });
    if (!(await ask("cancel"))) store.set({ stopping: false });
    app.look();
  }

  /** Choose the take before or after the chosen one. @param {string} id @param {number} direction */
  async function chooseTake(id, direction) {
    const take = takeBeside(resultsNow(store.state)[id], direction);
    if (!take) return;
    store.set({ wished: { ...store.state.wished, [id]: take.id } });
    if (await ask("choose_take", { frame: id, take: take.id })) return;
    const { [id]: _, ...wished } = store.state.wished;
    store.set({ wished });
  }

  /** @param {string} id @param {number} by @param {HTMLButtonElement | null} control */
  function move(id, by, control = null) {
    const to = indexOf(store.state.board, id) + by;
    editing.change((board) => moveFrame(board, id, to), { words: `Frame ${number(id)} moved`, frame: id, soon: true });
    const card = page.cardOf(id);
    card.scrollIntoView({ block: "nearest" });
    if (control?.disabled) card.querySelector(".tl-tools [data-action]:not(:disabled)").focus();
    app.announce(`Frame moved to position ${number(id)} of ${store.state.board.frames.length}.`);
  }

  /** @param {string} id */
  function remove(id) {
    const index = indexOf(store.state.board, id);
    editing.change((board) => removeFrame(board, id), { words: `Frame ${index + 1} removed`, frame: id, soon: true });
    const { frames } = store.state.board;
    const neighbour = frames[Math.min(index, frames.length - 1)];
    const next = neighbour ? page.cardOf(neighbour.id).querySelector('[data-action="remove"]') : root.querySelector('[data-action="add"]');
    next.focus({ preventScroll: true });
    say(`Frame ${index + 1} removed.`, "Undo", editing.undo);
  }

  /** @param {import("./types.js").Frame} frame @param {number} index @param {string} words */
  function insert(frame, index, words) {
    editing.change((board) => insertFrame(board, frame, index), { words, frame: frame.id, soon: true });
    page.cardOf(frame.id).querySelector("textarea").focus();
  }

  /** @param {string} id */
  function lookAt(id) {
    paintViewer(page.viewer, store.state.board, resultsNow(store.state), id);
    if (!page.viewer.open) page.viewer.showModal();
  }

  /** Show the frame before (-1) or after (1) in the viewer. @param {number} direction */
  function turn(direction) {
    const other = frameBeside(store.state.board, resultsNow(store.state), page.viewer.dataset.shows, direction);
    if (other) lookAt(other);
  }

  /** @param {string} view */
  function setView(view) {
    store.set({ view });
    app.rememberView(view);
  }

  /** @param {HTMLElement} control */
  function removeStyle(control) {
    const index = Number(control.closest("[data-style]").dataset.style);
    const { styles } = store.state.board.settings;
    const named = styles[index].source.trim();
    editing.change((board) => editSettings(board, { styles: styles.toSpliced(index, 1) }), { words: "Style removed", soon: true });
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

  const pickFile = (/** @type {string} */ purpose) => root.querySelector(`[data-file="${purpose}"]`).click();

  return {
    generate: () => generate(),
    // On narrow screens Cancel replaces Generate: the second half of a double click is ignored.
    cancel: () => performance.now() - generated > DOUBLE_CLICK && cancel(),
    stop: cancel,
    redo: (id) => generate(id),
    undo: editing.undo,
    "redo-change": editing.redo,
    view: (_, control) => setView(control.dataset.view),
    "next-view": () => setView(VIEWS[(VIEWS.indexOf(store.state.view) + 1) % VIEWS.length]),
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
      root.querySelector(".tl-style:last-child [data-field=source]").focus();
    },
    unstyle: (_, control) => removeStyle(control),
    dismiss: app.dismiss,
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
      const kept = frameOf(store.state.board, id)?.seed !== null;
      const take = chosenTake(resultsNow(store.state)[id]);
      const seed = kept ? null : (take?.seed ?? null);
      editing.change((board) => editFrame(board, id, { seed }), { words: `Seed of frame ${number(id)} changed`, frame: id, soon: true });
    },
    look: lookAt,
    previous: () => turn(-1),
    next: () => turn(1),
    move,
  };
}

/** @typedef {ReturnType<typeof makeActions>} Actions */
