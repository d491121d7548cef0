// Question for an agreement with the terms of a download.

/** @import { Consent } from "../types.js" */
/** @import { Question } from "./question.js" */

import { make } from "../dom.js";
import { licenceLink } from "./licence.js";

/** @param {Consent} consent @returns {Question} */
export function consentQuestion(consent) {
  const { terms, download_bytes: bytes } = consent;
  const words = make("span", {}, `${terms} Licence: `, licenceLink(consent), ".");
  const amount = bytes ? `About ${(bytes / 1e9).toFixed(bytes < 1e10 ? 1 : 0)} GB will be downloaded, once. ` : "";
  return { title: "Before the first download", paragraphs: [words, `${amount}Nothing is downloaded unless you agree.`], yes: "Agree" };
}
