/**
 * The operations this page sends: what was chosen in the form, in the words of the protocol.
 */

import { randomId } from "./api.js";

/**
 * @typedef {"end"|"section_end"|"section_replace"} Place
 * @typedef {object} Choice
 * @property {Place} place
 * @property {string} headingId of the section; unused at the end of the canvas
 * @property {string} content
 * @property {boolean} blankLine keep a blank line between the content and what surrounds it
 * @property {boolean} subsections the section goes on through its sub-sections
 *
 * @typedef {{op_id: string, client_version: string|null, action: string, target: any,
 *   content?: string, [field: string]: unknown}} Operation
 */

/**
 * @param {Choice} choice
 * @param {string|null} version the one the author sees
 * @param {string} [opId] the one of an attempt that ended in a conflict or an error: those bind nothing
 * @returns {Operation}
 */
export function writing(choice, version, opId = randomId()) {
  const { place, content } = choice;
  const action = place === "section_replace" ? "replace" : "insert";
  return { op_id: opId, client_version: version, action, ...placed(choice), content, options: optionsOf(choice) };
}

/**
 * @param {string} undoneId the op to undo, wherever its text is by now
 * @param {string|null} version
 * @returns {Operation}
 */
export function undoing(undoneId, version) {
  const target = { type: "op", op: { op_id: undoneId } };
  return { op_id: randomId(), client_version: version, action: "revert", scope: "range", target };
}

/** @param {Operation} op @returns {string|null} the op_id that it undoes */
export function undoneBy(op) {
  return op.action === "revert" ? op.target.op.op_id : null;
}

/**
 * The same op on the newest version, where a crash has made the server forget the version it stood on.
 *
 * @param {Operation} op
 * @param {any} event its end
 * @returns {Operation|null} null when its author must look first: the op replaces text, or met another change
 */
export function madeAnew(op, event) {
  if (op.action === "replace" || event.type !== "conflict" || event.reason !== "unknown_version") return null;
  return event.expected_version === op.client_version ? null : { ...op, client_version: event.expected_version };
}

/** @param {Choice} choice */
function placed({ place, headingId }) {
  if (place === "end") return { scope: "range", target: { type: "position", position: { mode: "end" } } };
  const section = { scope: "section", target: { type: "heading", heading: { heading_id: headingId } } };
  return place === "section_end" ? { ...section, where: "inside_end" } : section;
}

/** @param {Choice} choice */
function optionsOf({ place, blankLine, subsections }) {
  const options = { surround_with_blank_lines: blankLine ? 1 : 0 };
  return place === "end" ? options : { ...options, subsections };
}
