// Messages that stay until they are read. Pure functions on plain data.

/** @import { Fault, State } from "../types.js" */

/**
 * Return the changes that show a message. A failed job that it covers comes again once this one is read.
 * @param {Pick<State, "fault" | "unread">} state @param {Fault} next
 */
export function withFault({ fault, unread }, next) {
  const covered = fault?.job && fault.job !== next.job ? [...unread, fault] : unread;
  return { fault: next, unread: covered };
}

/** Return the changes after the shown message is read. @param {Pick<State, "unread">} state */
export const withoutFault = ({ unread }) => ({ fault: unread.at(-1) ?? null, unread: unread.slice(0, -1) });
