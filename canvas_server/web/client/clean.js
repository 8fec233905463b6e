/**
 * Text as the server keeps it: lines end with LF, there is no NUL, and no half of a surrogate pair stands alone.
 */

import { Spots, isHigh, isLow } from "./changeset.js";

/** @typedef {import("./changeset.js").ChangeSet} ChangeSet */

const DIRTY = /\r\n?|\0|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
const REPLACEMENT = "\ufffd";

/** @param {string} text @returns {string} */
export function cleanText(text) {
  return text.replace(DIRTY, (found) => (found[0] === "\r" ? "\n" : REPLACEMENT));
}

/**
 * The set with clean text in its spots, and none that divides a surrogate pair: of half a pair that stays, the
 * replacement character is made.
 *
 * @param {ChangeSet} set
 * @param {string} text the clean one that it is made for
 * @returns {ChangeSet}
 */
export function cleanSet(set, text) {
  const spots = new Spots();
  let isClean = true;
  for (const { from, to, insert } of set.spots) {
    const start = divides(text, from) ? from - 1 : from;
    const end = divides(text, to) ? to + 1 : to;
    const whole = cleanText(text.slice(start, from) + insert + text.slice(to, end));
    isClean &&= whole === insert && start === from && end === to;
    spots.add(start, end, whole);
  }
  return isClean ? set : spots.done();
}

/** @param {string} text @param {number} offset @returns {boolean} whether it falls inside a surrogate pair */
export function divides(text, offset) {
  return isHigh(text.charCodeAt(offset - 1)) && isLow(text.charCodeAt(offset));
}
