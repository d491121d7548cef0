// The page's entry: joins the store, the server, and the parts of the page.

/** @import { Board, Outcome, Setup, State } from "./types.js" */

import { makeActions } from "./actions.js";
import { makeCall, reachableAt } from "./call.js";
import { make } from "./dom.js";
import { makeEditing } from "./editing.js";
import { consentQuestion } from "./elements/consent.js";
import { makeQuestion } from "./elements/question.js";
import { makeMaskEditor } from "./elements/mask_editor.js";
import { makeFollowing } from "./following.js";
import { listen } from "./input.js";
import { lastBoard, lastExample, lastView, rememberBoard, rememberExample, rememberView, takeUnsent } from "./memory.js";
import { makeMessages } from "./messages.js";
import { makePage } from "./page.js";
import { makePictures } from "./pictures.js";
import { makeSaving } from "./saving.js";
import { makeShelfParts } from "./shelf.js";
import { fieldKey, withoutRefusal } from "./state/bounds.js";
import { indexOf, same } from "./state/board.js";
import { withFault, withoutFault } from "./state/faults.js";
import { endWords, idle, isResting, stillAsked } from "./state/jobs.js";
import { mergeUnsent } from "./state/merge.js";
import { withModel } from "./state/models.js";
import { wishesLeft } from "./state/results.js";
import { makeStore } from "./store.js";
import { askForUsableModels } from "./usable.js";

const OF_NO_BOARD = ["boards"]; // questions about no board in particular

/**
 * Show the page in an element.
 * @param {HTMLElement} root
 * @param {object} parts
 * @param {{ call: (question: object) => Promise<any> }} parts.server Gradio's functions of the server
 * @param {(file: File) => Promise<{ path: string }>} parts.upload uploads a file
 * @param {string} parts.base address of the application, without a slash at the end
 */
export async function mount(root, { server, upload, base }) {
  const call = makeCall(server, reachableAt(`${base}/tl/alive`));
  const wanted = new URL(location.href).searchParams.get("board") ?? lastBoard();
  const how = wanted ? "open" : "new";
  // Asked together, so that the page opens in one round trip.
  const [first, begun] = await Promise.all([call("setup"), call(how, wanted ? { project: wanted } : {})]);
  if (!("ok" in first)) return showUnreachable();

  function showUnreachable(text = "The server cannot be reached. Reload the page when it is back.") {
    root.hidden = false;
    root.replaceChildren(make("p", { class: "tl-welcome", text }));
  }

  /** @type {Setup} */
  const setup = first.ok;
  const store = makeStore(/** @type {State} */ ({ setup, view: lastView() ?? "picture", connection: "ok", saving: "saved", usable: {}, refused: {} }));
  const messages = makeMessages(root);
  const question = makeQuestion();
  const maskEditor = makeMaskEditor((draft, strokes) => pictures.sendStrokes(draft, strokes));
  const page = makePage(root, setup, { banner: messages.banner, maskEditor, question });
  root.append(messages.toast, messages.live);

  // ---- the server

  /** Show the parts of an answer. @param {import("./types.js").Parts} parts */
  function show({ results, outdated, kept, origins, identity, locations, progress, previews, reference, damaged, left }) {
    /** @type {Partial<State>} */
    const changes = {};
    if (outdated) Object.assign(changes, { outdated, kept, origins, identity, locations });
    if (damaged && !same(damaged, store.state.damaged)) changes.damaged = damaged;
    if (left && !same(left, store.state.left)) changes.left = left;
    if (reference) changes.reference = withAddresses(reference);
    if (previews) changes.previews = previews;
    if (results) {
      changes.results = withAddresses(results);
      changes.wished = wishesLeft(store.state.wished, results);
    }
    if (progress && (!same(progress, store.state.progress) || store.state.asked.length)) {
      changes.progress = progress;
      changes.asked = stillAsked(store.state.asked, progress);
      if (isResting(progress)) Object.assign(changes, { stopping: false, previews: {} });
    }
    if (Object.keys(changes).length) store.set(changes);
  }

  /** Turn the server's paths of pictures (`{"at": ...}`) into addresses. @param {any} data @returns {any} */
  function withAddresses(data) {
    if (Array.isArray(data)) return data.map(withAddresses);
    if (data === null || typeof data !== "object") return data;
    if ("at" in data) return `${base}/tl/${data.at}`;
    return Object.fromEntries(Object.entries(data).map(([key, value]) => [key, withAddresses(value)]));
  }

  /**
   * Ask the server about the board on the page, once it has all changes; show the answer.
   * @param {string} name @param {Record<string, unknown>} data
   * @returns {Promise<any>} what was asked for; null where there was a problem, which the page shows
   */
  async function ask(name, data = {}) {
    const { project } = store.state.board;
    if (!(await saving.flush())) return null;
    for (;;) {
      const quiet = saving.quiet();
      const answer = await call(name, OF_NO_BOARD.includes(name) ? data : { project, ...data });
      if (project !== store.state.board.project) return null;
      if ("ok" in answer) {
        if (answer.ok.board && quiet()) saving.take({ board: answer.ok.board, revision: answer.ok.revision }); // else it comes with the news
        show(answer.ok);
        return answer.ok;
      }
      if ("consent" in answer) {
        if (!(await question.ask(consentQuestion(answer.consent)))) return null;
        await call("give_consent", { key: answer.consent.key });
        continue;
      }
      if ("lost" in answer) store.set({ connection: "lost" });
      else store.set(withFault(store.state, answer));
      return null;
    }
  }

  const saving = makeSaving({ store, call, show, changedElsewhere: (before, now) => editing.changedElsewhere(before, now) });
  const editing = makeEditing({ store, save: saving.later, announce, changed: () => messages.withdraw(editing.undo) });
  const following = makeFollowing({ store, call, show, saving, ended, back, gone });
  const pictures = makePictures({ root, store, ask, upload, editing, say: messages.say, maskEditor });

  /** @param {Outcome} outcome */
  function ended(outcome) {
    const { job, state, problem, remedy } = outcome;
    if (state === "failed") store.set(withFault(store.state, { problem, remedy, job }));
    else messages.say(endWords(outcome));
  }

  /** @param {boolean} restarted */
  async function back(restarted) {
    const unsent = saving.unsent();
    const rendering = !isResting(store.state.progress);
    if (restarted && rendering) {
      store.set(withFault(store.state, { problem: "The server was started anew while frames were being generated.", remedy: "Finished takes are kept; generate the others again." }));
    }
    const saved = await saving.flush();
    if (unsent && saved) messages.say("Connected again; your changes are saved.");
    else if (saved) messages.say("Connected again.");
  }

  // ---- boards

  let left = ""; // the board that was deleted elsewhere

  /** Say once that the board was deleted elsewhere. @param {import("./types.js").Fault} fault */
  function gone(fault) {
    if (left === fault.deleted?.project) return;
    left = fault.deleted?.project ?? "";
    store.set(withFault(store.state, fault));
  }

  /** Take the board of the message out of the bin, and go on with it. */
  async function restoreHere() {
    const deleted = store.state.fault?.deleted;
    if (!deleted) return;
    const answer = await call("restore_board", { project: deleted.project });
    if (!("ok" in answer)) {
      store.set("problem" in answer ? withFault(store.state, answer) : { connection: "lost" });
      return;
    }
    left = "";
    store.set(withoutFault(store.state));
    if (store.state.board.project !== deleted.project) await open("open", deleted.project);
    else if (await saving.flush()) following.look();
  }

  /** Store the words of the page where their board is gone for good; its pictures are lost. */
  async function keepHere() {
    const { board } = store.state;
    left = "";
    store.set({ ...withoutFault(store.state), base: { board: { ...board, frames: [] }, revision: "" }, results: {}, outdated: {}, reference: { used: null, draft: null, fault: "" }, saving: "waiting" });
    if (await saving.flush()) following.restart("");
  }

  let opening = 0; // boards that were asked for

  /**
   * Open a board: one that is stored ("open"), the example, or a new one.
   * @param {"open" | "new" | "example"} how @param {string} project @param {import("./call.js").Answer | null} answered where it was asked before
   */
  async function open(how, project = "", answered = null) {
    const stays = store.state.board && store.state.board.project !== left;
    const turn = (opening += 1);
    if (stays && !(await saving.flush())) return;
    const answer = answered ?? (await call(how, { new: {}, open: { project }, example: { known: lastExample() } }[how]));
    if (stays) await saving.flush(); // what was typed meanwhile; where it cannot be sent, the browser keeps it
    if (turn !== opening) return; // another one was asked for since
    if ("ok" in answer) {
      showBoard(answer.ok, how !== "new");
      if (how === "example") rememberExample(answer.ok.board.project);
    } else if (store.state.board) store.set("problem" in answer ? withFault(store.state, answer) : { connection: "lost" });
    else if (how !== "new") {
      // Whatever was wrong with the board, there is a page; the browser goes on remembering the board.
      await open("new");
      const lost = { problem: "The storyboard could not be loaded.", remedy: "Load this page again." };
      if (store.state.board) store.set(withFault(store.state, "problem" in answer ? answer : lost));
    } else if ("problem" in answer) showUnreachable(`${answer.problem} ${answer.remedy}`);
    else showUnreachable();
  }

  /** @param {import("./types.js").Opened} opened @param {boolean} stored */
  function showBoard({ board, revision, tag, ...parts }, stored) {
    /** @type {State["base"]} */
    const now = { board, revision };
    editing.forget();
    messages.withdraw(); // what it offers is of the board before
    page.clearCards();
    store.set({
      board,
      base: now,
      saving: "saved",
      results: {},
      wished: {},
      takeWords: {},
      outdated: {},
      kept: {},
      origins: {},
      identity: null,
      locations: null,
      damaged: [],
      left: [],
      progress: idle(),
      previews: {},
      asked: [],
      stopping: false,
      reference: { used: null, draft: null, fault: "" },
      busy: "",
      tab: null,
      conflicts: [],
      readNotices: [],
      refused: {},
      fault: null,
      unread: [],
    });
    show(parts);
    if (stored) address(board.project);
    store.set(mergeUnsent(board, takeUnsent(board.project)));
    if (saving.unsent()) {
      store.set({ saving: "waiting" });
      saving.later(true);
    }
    following.restart(tag);
  }

  /** Remember the board, and name it in the page's address. @param {string} project */
  function address(project) {
    rememberBoard(project);
    const url = new URL(location.href);
    url.searchParams.set("board", project);
    if (url.href !== location.href) history.replaceState(history.state, "", url);
  }

  /** Download a file that the server makes. @param {string} name @param {Record<string, unknown>} data */
  async function download(name, data = {}) {
    const answer = await ask(name, data);
    if (!answer) return;
    if (answer.lost?.length) store.set(withFault(store.state, { problem: `${answer.name} was saved, but not all of it.`, remedy: answer.lost.join(" "), kind: "note" }));
    const link = make("a", { href: `${base}/tl/${answer.file.at}`, download: answer.name });
    root.append(link);
    link.click();
    link.remove();
  }

  // ---- edits

  /** @param {string} words @param {string | null} frame */
  function announce(words, frame = null) {
    const place = frame === null ? -1 : indexOf(store.state.board, frame);
    if (frame !== null && place >= 0) page.cardOf(frame).scrollIntoView({ block: "nearest" });
    messages.say(words);
  }

  /** Forget the frames that were left when the server ended. */
  async function forgetLeft() {
    const { project } = store.state.board;
    store.set({ left: [] });
    await call("forget_left", { project });
  }

  async function dismiss() {
    const { fault } = store.state;
    store.set(withoutFault(store.state));
    if (fault?.job) await call("read_outcome", { project: store.state.board.project, job: fault.job });
  }

  const shelf = makeShelfParts({
    store,
    call,
    base,
    dialog: page.shelf,
    saveAs: page.saveAs,
    upload,
    editing,
    flush: saving.flush,
    open,
    say: messages.say,
  });

  const app = {
    root,
    store,
    ask,
    call,
    open,
    download,
    saving,
    editing,
    page,
    pictures,
    maskEditor,
    shelf,
    restoreHere,
    keepHere,
    rememberView,
    dismiss,
    forgetLeft,
    look: following.look,
    witness: following.witness,
    say: messages.say,
    question,
    announce: messages.announce,
    chooseModel(/** @type {string} */ name) {
      store.set({ refused: withoutRefusal(store.state.refused, fieldKey("", "settings.steps")) });
      editing.change((board) => withModel(board, setup, name), { words: "Model chosen", soon: true });
    },
  };

  store.subscribe(() => {
    const { state } = store;
    if (!state.board) return;
    page.paint(state, { canUndo: editing.canUndo(), canRedo: editing.canRedo() });
    messages.paintBanner(state.fault);
  });
  // The first change makes a project of a new board.
  store.subscribe(() => {
    const { base, saving: how, board } = store.state;
    if (board && how === "saved" && base.revision !== "" && lastBoard() !== board.project) address(board.project);
  });
  await open(how, wanted, begun);
  if (!store.state.board) return;
  listen(app, makeActions(app));
  askForUsableModels({ root, store, call });
}
