/**
 * Who looks how: each person and each agent has a colour, the same in the list, at the cursor, and in every window.
 */

/** As many as around.css names for people; agents and generations have one each. */
const PEOPLE = 8;

/** @param {string} id @param {string} kind @returns {string} a class of around.css */
export function lookOf(id, kind) {
  if (kind !== "human") return `peer-${kind === "agent" ? "agent" : "job"}`;
  let hash = 0;
  for (const sign of id) hash = (Math.imul(hash, 31) + (sign.codePointAt(0) ?? 0)) | 0;
  return `peer-${(hash >>> 0) % PEOPLE}`;
}
