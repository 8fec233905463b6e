/**
 * A refusal in words a reader can act on: what the server says, and what it advises.
 */

import { words } from "./language.js";

/** @param {import("./api.js").Problem} problem @returns {string} */
export function problemText({ status, detail, hint }) {
  if (status === 0) return words("problem.unreachable");
  return hint ? `${detail} ${hint}` : detail;
}
