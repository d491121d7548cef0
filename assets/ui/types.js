// Types of the page's data, for the type checker alone: this module holds no code.

/**
 * @typedef {{
 *   id: string, action: string, location: string, share_background: boolean, character: string,
 *   reference_strength: number | null, seed: number | null, locked: boolean,
 * }} Frame A frame as a person edits it; its takes are in `Results`.
 *
 * @typedef {{ name: string, description: string, strength: number | null }} Character
 *
 * @typedef {{ source: string, weight: number, trigger: string }} Style
 *
 * @typedef {{
 *   model: string, width: number, height: number, steps: number | null, guidance: number | null,
 *   shortcut: string, consistent: boolean, merge: boolean, identity: string, styles: Style[],
 * }} Settings
 *
 * @typedef {{ project: string, title: string, character: Character, frames: Frame[], settings: Settings }} Board
 *   The words, order and settings of a storyboard: all that the page owns. It is never changed in place.
 *
 * @typedef {{ board: Board, revision: string }} Base The board that the server had last, and its name for it.
 *
 * @typedef {{
 *   id: string, image: string, mask: string, smooth: string, seed: number, seconds: number, foreground: number, matches: number | null,
 *   starred: boolean, fault: string,
 * }} Take Addresses of a take's pictures, and facts about it.
 *
 * @typedef {{ chosen: string | null, takes: Take[] }} Result
 * @typedef {Record<string, Result>} Results Takes by frame.
 *
 * @typedef {{ frame: string, current: boolean }} Origin The frame that a take has its character or location from, and
 *   whether that frame's chosen take is still the one.
 * @typedef {{ identity: Origin | null, location: Origin | null }} Origins
 *
 * @typedef {{ source: string | null, readers: string[], others: string[] }} KeptLocation
 *   The frame from which a frame keeps its location (null where it has it first), the frames that keep it from this
 *   frame, and those at the same location that do not keep it.
 * @typedef {{ revision: string, frames: Record<string, KeptLocation> | null }} Locations
 *   Locations that frames keep in a revision of the board; null where the settings let frames share nothing.
 *
 * @typedef {{ state: string, phase?: string, step?: number, steps?: number, mask?: string }} FrameProgress
 * @typedef {{
 *   state: string, job?: string, message?: string, ahead?: number, fraction?: number, seconds_left?: number | null,
 *   rendered?: number, total?: number, frames: Record<string, FrameProgress>,
 *   notices?: { frame: string | null, problem: string, remedy: string }[],
 * }} Progress Progress of the board's jobs, as the server sent it.
 *
 * @typedef {{
 *   active: boolean, state: string, message: string, ahead: number, fraction: number, seconds_left: number | null,
 *   rendered: number, total: number, frames: Record<string, FrameProgress>,
 * }} Work Progress as the page shows it, with what was asked for just now.
 *
 * @typedef {{ job: string, state: string, rendered: number, problem: string, remedy: string }} Outcome The end of a job.
 *
 * @typedef {{
 *   problem: string, remedy: string, job?: string, kind?: "note",
 *   deleted?: { project: string, restorable: boolean },
 * }} Fault A problem; "note" is a remark. `deleted` is there where the board was deleted.
 *
 * @typedef {{
 *   id: string, view: string, mask: string, strokes: string | null, mended: string, prepared: string | null,
 *   doubt: string, fault: string,
 * }} Draft An uploaded picture that is not in use yet.
 *
 * @typedef {{ used: { name: string, picture: string | null } | null, draft: Draft | null, fault: string }} Reference
 *
 * @typedef {{
 *   name: string, title: string, note: string, licence: string, licence_url: string, non_commercial: boolean,
 *   steps: number, guidance: number | null, sizes: { ratio: string, width: number, height: number }[],
 *   shortcuts: { name: string, title: string, note: string, probe: boolean, conditions: string, cost: string[][] }[],
 *   fewer_steps: string,
 *   made_for: { steps: [number, number], area: [number, number], guidance: [number, number] | null } | null,
 *   knows: Knows | null,
 *   subject: { title: string, licence: string, licence_url: string, research_only: boolean, strength: number, note: string } | null,
 * }} Model
 *
 * @typedef {{ words: string[], locations: string[], actions: string[] }} Knows
 *   The words, in lower case, and the phrases that a small model knows.
 *
 * @typedef {{ usable: boolean, words: string }} Usable Whether a model can render on the server's machine.
 *
 * @typedef {{
 *   models: Model[], listed: boolean, matting: string | null, server: string,
 *   limits: {
 *     frames: number, guidance: [number, number], long: number, seed: number, short: number, steps: number,
 *     strength: [number, number], style_weight: [number, number], styles: number, upload: number, board: number,
 *   },
 * }} Setup What stays the same while the server runs.
 *
 * @typedef {{
 *   key: string, pending: { frames?: string[] | null, draft?: string }, terms: string, licence: string,
 *   licence_url: string, download_bytes: number,
 * }} Consent A question that has to be agreed to before a download.
 *
 * @typedef {{
 *   id: string, title: string, frames: number, modified: string, picture: string | null, deleted?: string, fault?: string,
 * }} BoardInfo A board on the shelf; `deleted` is the time when it went to the bin, `fault` why it cannot be opened.
 *
 * @typedef {{ frame: string | null, field: string, theirs: unknown }} Conflict
 *   A field that was changed in two places; ours is in the board.
 *
 * @typedef {{
 *   results?: any, outdated?: Record<string, string[]>, kept?: Record<string, string[]>,
 *   origins?: Record<string, Origins>, identity?: string | null, locations?: Locations,
 *   progress?: Progress, previews?: Record<string, string>, reference?: any,
 *   damaged?: string[], left?: string[],
 * }} Parts Parts of an answer that the page shows; pictures have paths, not addresses yet.
 *
 * @typedef {Parts & { board: Board, revision: string, tag: string }} Opened A board that the server opened.
 *
 * @typedef {"ok" | "lost"} Connection
 *
 * @typedef {{
 *   setup: Setup, board: Board, base: Base, saving: "saved" | "waiting" | "refused", connection: Connection,
 *   results: Results, wished: Record<string, string>, takeWords: Record<string, { action: string, location: string }>,
 *   outdated: Record<string, string[]>, kept: Record<string, string[]>, origins: Record<string, Origins>, identity: string | null,
 *   locations: Locations | null, progress: Progress, previews: Record<string, string>, asked: string[], stopping: boolean,
 *   reference: Reference, busy: string, tab: "describe" | "upload" | null,
 *   conflicts: Conflict[], fault: Fault | null, unread: Fault[], readNotices: string[], view: string, damaged: string[], left: string[],
 *   usable: Record<string, Usable>, refused: Record<string, string>,
 * }} State Everything that the page shows.
 */

export {};
