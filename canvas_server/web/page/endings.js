/**
 * Why nothing comes any more of a canvas, in words.
 */

import { sequenceOf } from "../client/version.js";
import { Problem } from "./api.js";
import { words } from "./language.js";
import { problemText } from "./problems.js";

/** @param {any} why an event of the server, or a problem @param {boolean} isRevoked the right to it was taken away @returns {string} */
export function endText(why, isRevoked) {
  const { type, status, code, message, hint } = why;
  if (type === "deleted") return words("deleted");
  if (type === "closed") return words("closed", { seq: sequenceOf(why.server_version) });
  if (isRevoked) return words("room.withdrawn");
  if (status === 404) return words("room.unknown");
  return problemText(new Problem({ status, code, detail: message, hint }));
}
