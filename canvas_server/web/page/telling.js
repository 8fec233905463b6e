/**
 * What an operation or a work did, in words.
 */

import { language, words } from "./language.js";
import { agoText } from "./saved.js";

const FENCE = /^ {0,3}(`{3,}|~{3,})/;
const HEADING = /^ {0,3}#{1,6}[ \t]+(.+?)[ \t]*#*[ \t]*$/;
const HEADING_CHARS_MAX = 40;
const JUST_NOW_MS = 5000;

/** @param {number} unixMs of the server's clock; one that is ahead counts as ours @returns {string} "il y a 3 min" */
export function ago(unixMs) {
  const passedMs = Date.now() - unixMs;
  return passedMs < JUST_NOW_MS ? words("past.just_now") : agoText(passedMs, language());
}

/** @param {number} added @param {number} removed characters @returns {string} "+42 caractères" */
export function sizeText(added, removed) {
  if (removed === 0) return words("past.added", { count: added });
  if (added === 0) return words("past.removed", { count: removed });
  return words("past.both", { added, count: removed });
}

/**
 * @param {import("./timeline.js").Moment} moment
 * @param {string} who
 * @returns {string} when, who, what and where
 */
export function momentText({ before, text, ack }, who) {
  if (ack === null) return words("past.beginning");
  const spots = spotsOf(ack, before);
  const told = { ago: ago(ack.timestamp), who, what: sizeText(spots.added, spots.removed) };
  const heading = headingAt(text, spots.at);
  return heading === null ? words("past.told", told) : words("past.told_under", { ...told, heading });
}

/**
 * @param {string} text
 * @param {number} at
 * @returns {string|null} the title of the heading that `at` stands under, or on; null: under none
 */
export function headingAt(text, at) {
  /** @type {string|null} */ let found = null;
  /** @type {string|null} */ let fence = null;
  for (let start = 0; start <= Math.min(at, text.length - 1); ) {
    const newline = text.indexOf("\n", start);
    const line = text.slice(start, newline === -1 ? text.length : newline);
    const mark = FENCE.exec(line)?.[1] ?? null;
    if (fence !== null) fence = mark?.startsWith(fence) ? null : fence;
    else if (mark !== null) fence = mark;
    else found = HEADING.exec(line)?.[1] ?? found;
    if (newline === -1) break;
    start = newline + 1;
  }
  return found === null ? null : shortened(found);
}

/** @param {string} title */
function shortened(title) {
  const letters = [...title];
  return letters.length <= HEADING_CHARS_MAX ? title : `${letters.slice(0, HEADING_CHARS_MAX).join("")}…`;
}

/** @param {import("./past.js").Ack} ack @param {string} before */
function spotsOf({ changes }, before) {
  let [added, removed, text] = [0, 0, before];
  for (const { from, to, insert } of changes) {
    added += [...insert].length;
    removed += [...text.slice(from, to)].length;
    text = text.slice(0, from) + insert + text.slice(to);
  }
  return { added, removed, at: changes[0]?.from ?? 0 };
}
