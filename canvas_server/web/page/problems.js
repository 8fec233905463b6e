/**
 * A refusal in words a reader can act on: what the server says, and what it advises.
 */

import { words } from "./language.js";

/** @param {import("./api.js").Problem} problem @returns {string} */
export function problemText({ status, detail, hint }) {
  if (status === 0) return words("problem.unreachable");
  return hint ? `${sentence(detail)} ${hint}` : sentence(detail);
}

/** Details begin small and have no full stop, so that a log can go on after them. @param {string} detail */
function sentence(detail) {
  const begun = detail.charAt(0).toUpperCase() + detail.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}
