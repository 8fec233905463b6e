/**
 * What was typed into a text box, told by its value before and after.
 */

/** @typedef {{from: number, to: number, insert: string}} Change */

/**
 * Of all changes that lead from one to the other, the one that ends where the cursor is now: in "aa" it matters which
 * of them was typed.
 *
 * @param {string} before
 * @param {string} after
 * @param {number} cursor in `after`
 * @returns {Change|null} null: nothing; never cuts a surrogate pair
 */
export function typedChange(before, after, cursor) {
  if (before === after) return null;
  const kept = wholeBehind(after, commonEnd(before, after, Math.min(before.length, after.length - cursor)));
  const start = wholeBefore(before, after, commonStart(before, after, Math.min(before.length, after.length) - kept));
  return { from: start, to: before.length - kept, insert: after.slice(start, after.length - kept) };
}

/** @param {string} before @param {string} after @param {number} most */
function commonEnd(before, after, most) {
  let count = 0;
  while (count < most && before.charCodeAt(before.length - 1 - count) === after.charCodeAt(after.length - 1 - count)) count += 1;
  return count;
}

/** @param {string} before @param {string} after @param {number} most */
function commonStart(before, after, most) {
  let count = 0;
  while (count < most && before.charCodeAt(count) === after.charCodeAt(count)) count += 1;
  return count;
}

/** @param {string} text @param {number} kept at its end @returns {number} less where that would begin inside a pair */
function wholeBehind(text, kept) {
  return kept > 0 && isLow(text.charCodeAt(text.length - kept)) ? kept - 1 : kept;
}

/** @param {string} before @param {string} after @param {number} start @returns {number} less where a pair goes on there */
function wholeBefore(before, after, start) {
  return start > 0 && (isLow(before.charCodeAt(start)) || isLow(after.charCodeAt(start))) ? start - 1 : start;
}

/** @param {number} unit */
function isLow(unit) {
  return (unit & 0xfc00) === 0xdc00;
}
