/**
 * The end of an operation in plain words. It names catalogue keys; who shows it chooses the language.
 */

import { sequenceOf } from "./document.js";
import { MESSAGES } from "./messages.js";

/**
 * @typedef {object} Outcome
 * @property {"busy"|"good"|"warning"|"bad"} tone
 * @property {string} key of the sentence
 * @property {Record<string, string|number>} values
 * @property {string} hint the server's own next step; may be empty
 * @property {string[]} candidates what may have been meant
 * @property {"again"|"unchanged"|null} retry with the new version, or the very same op; null: nothing to retry
 */

/** @type {Outcome} */
export const SENT = Object.freeze(outcome("busy", "outcome.sent"));

/**
 * @param {boolean} isUndo
 * @param {any} event an ack, a conflict or an error
 * @returns {Outcome}
 */
export function endOf(isUndo, event) {
  if (event.type === "ack") {
    const key = event.duplicate ? "outcome.duplicate" : isUndo ? "outcome.undone" : "outcome.applied";
    return outcome("good", key, { values: { version: sequenceOf(event.server_version) } });
  }
  const retry = isUndo ? null : /** @type {const} */ ("again");
  if (event.type === "conflict") return conflictOf(event, retry);
  const told = { code: event.code, message: event.message };
  const candidates = event.candidates.map(candidateText);
  return outcome("bad", "outcome.error", { values: told, hint: event.hint, candidates, retry });
}

/**
 * @param {import("./api.js").Problem} problem
 * @param {boolean} isOver the server has surely not taken the op
 * @returns {Outcome}
 */
export function refusalOf(problem, isOver) {
  const key = problem.status === 0 ? "outcome.unreachable" : "outcome.refused";
  const retry = isOver ? null : /** @type {const} */ ("unchanged");
  return outcome("bad", key, { values: { detail: problem.detail, code: problem.code }, hint: problem.hint, retry });
}

/** @param {any} event @param {Outcome["retry"]} retry */
function conflictOf({ reason, hint }, retry) {
  const known = `conflict.${reason}`;
  const key = known in MESSAGES.fr ? known : "outcome.conflict";
  return outcome("warning", key, { values: { reason }, hint, retry });
}

/** @param {{line: number, text: string}} candidate a heading or a line that may have been meant */
function candidateText({ line, text }) {
  return `${line}: ${text}`;
}

/**
 * @param {Outcome["tone"]} tone
 * @param {string} key
 * @param {Partial<Outcome>} [rest]
 * @returns {Outcome}
 */
function outcome(tone, key, { values = {}, hint = "", candidates = [], retry = null } = {}) {
  return { tone, key, values, hint, candidates, retry };
}
