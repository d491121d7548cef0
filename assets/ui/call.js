// Questions to the server. Every action goes through `call`, and every problem comes back the same way.

/** @import { Consent, Fault } from "./types.js" */

/**
 * @typedef {{ ok: any } | { consent: Consent } | { lost: true } | Fault} Answer
 *   What was asked for, a question that must be agreed to first, no connection, or a problem.
 * @typedef {(name: string, data?: Record<string, unknown>) => Promise<Answer>} Call
 */

const BROKEN = {
  problem: "Something went wrong inside Throughline.",
  remedy: "Nothing that was saved is lost. Try again; the server's log has the details.",
};

/**
 * Make `call`.
 * @param {{ call: (question: object) => Promise<any> }} server Gradio's functions of the server
 * @param {() => Promise<boolean>} reachable returns whether the server can be reached
 * @returns {Call}
 */
export function makeCall(server, reachable) {
  return async (name, data = {}) => {
    // Gradio gives nothing at all where the server cannot be reached, and where it failed.
    const answer = await server.call({ name, data });
    if (answer) return answer;
    return (await reachable()) ? BROKEN : { lost: true };
  };
}

/** @param {string} address of a small file on the server */
export const reachableAt = (address) => async () => {
  try {
    return (await fetch(address, { method: "HEAD", cache: "no-store" })).ok;
  } catch {
    return false;
  }
};
