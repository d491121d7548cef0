// Link to the page of a licence.

import { make } from "../dom.js";

/** @param {{ licence: string, licence_url: string }} terms */
export const licenceLink = ({ licence, licence_url: address }) =>
  address ? make("a", { href: address, target: "_blank", rel: "noreferrer", text: licence }) : licence;
