// Parts of the page that clicks, keys and files act on, for the type checker alone: this module holds no code.

/**
 * @typedef {object} App
 * @property {HTMLElement} root
 * @property {import("./store.js").Store} store
 * @property {(name: string, data?: Record<string, unknown>) => Promise<any>} ask
 * @property {(how: "open" | "new" | "example", project?: string) => Promise<void>} open
 * @property {(name: string, data?: Record<string, unknown>) => Promise<void>} download
 * @property {ReturnType<typeof import("./shelf.js").makeShelfParts>} shelf
 * @property {() => Promise<void>} restoreHere
 * @property {() => Promise<void>} keepHere
 * @property {ReturnType<typeof import("./saving.js").makeSaving>} saving
 * @property {import("./editing.js").Editing} editing
 * @property {ReturnType<typeof import("./page.js").makePage>} page
 * @property {ReturnType<typeof import("./pictures.js").makePictures>} pictures
 * @property {import("./elements/mask_editor.js").MaskEditor} maskEditor
 * @property {(view: string) => void} rememberView
 * @property {() => Promise<void>} dismiss
 * @property {() => Promise<void>} forgetLeft
 * @property {() => Promise<void>} look
 * @property {(job: string) => void} witness
 * @property {(text: string, label?: string, action?: () => void) => void} say
 * @property {ReturnType<typeof import("./elements/question.js").makeQuestion>} question
 * @property {(words: string) => void} announce
 * @property {(name: string) => void} chooseModel
 */

export {};
