/**
 * How one text differs from another, in few and small spots: what was not changed is not touched, so that the writing
 * of others survives between them.
 *
 * Lines are compared first, then the words of the lines that differ (E. W. Myers, "An O(ND) Difference Algorithm and
 * Its Variations", 1986). Where two texts have too little in common for that, one spot replaces all between their ends.
 */

/** Beyond so many lines or words that differ, finding the smallest difference takes too long to be worth it. */
const EDITS_MAX = 1500;
const WORD = /[\p{L}\p{M}\p{N}_]+|\s+|[^\p{L}\p{M}\p{N}_\s]/gu;
const LINE = /[^\n]*\n|[^\n]+$/g;

/** @typedef {{from: number, to: number, insert: string}} Spot in the coordinates of the text before */

/**
 * @param {string} before
 * @param {string} after
 * @returns {Spot[]} in order, none touching another
 */
export function difference(before, after) {
  if (before === after) return [];
  const { from, to, insert } = wholeLines(trimmed({ from: 0, to: before.length, insert: after }, before), before);
  const coarse = compared(before.slice(from, to), insert, LINE);
  return coarse.flatMap((spot) => refined(shifted(spot, from), before));
}

/** @param {Spot} spot whole lines @param {string} before @returns {Spot[]} */
function refined(spot, before) {
  const { from, to, insert } = trimmed(spot, before);
  if (from === to || insert === "") return [{ from, to, insert }];
  return compared(before.slice(from, to), insert, WORD).map((part) => trimmed(shifted(part, from), before));
}

/** @param {Spot} spot @param {number} by @returns {Spot} */
function shifted({ from, to, insert }, by) {
  return { from: from + by, to: to + by, insert };
}

/** @param {Spot} spot @param {string} before @returns {Spot} with what is the same in its first and last line */
function wholeLines({ from, to, insert }, before) {
  const start = from === 0 ? 0 : before.lastIndexOf("\n", from - 1) + 1;
  const newline = to > 0 && before[to - 1] === "\n" && insert.endsWith("\n") ? to - 1 : before.indexOf("\n", to);
  const end = newline === -1 ? before.length : newline + 1;
  return { from: start, to: end, insert: before.slice(start, from) + insert + before.slice(to, end) };
}

/**
 * Leave out what is the same at both ends; never half of a surrogate pair.
 *
 * @param {Spot} spot
 * @param {string} before
 * @returns {Spot}
 */
function trimmed({ from, to, insert }, before) {
  const most = Math.min(to - from, insert.length);
  let head = 0;
  while (head < most && before.charCodeAt(from + head) === insert.charCodeAt(head)) head += 1;
  if (head > 0 && isHigh(before.charCodeAt(from + head - 1))) head -= 1;
  let tail = 0;
  const end = insert.length;
  while (tail < most - head && before.charCodeAt(to - 1 - tail) === insert.charCodeAt(end - 1 - tail)) tail += 1;
  if (tail > 0 && isLow(before.charCodeAt(to - tail))) tail -= 1;
  return { from: from + head, to: to - tail, insert: insert.slice(head, end - tail) };
}

/**
 * @param {string} before
 * @param {string} after
 * @param {RegExp} part what is compared as a whole
 * @returns {Spot[]}
 */
function compared(before, after, part) {
  const [old, fresh] = [before.match(part) ?? [], after.match(part) ?? []];
  const runs = commonRuns(old, fresh);
  if (runs === null) return [{ from: 0, to: before.length, insert: after }];
  /** @type {Spot[]} */
  const spots = [];
  let [from, oldAt, freshAt] = [0, 0, 0];
  const end = { old: old.length, fresh: fresh.length, length: 0 };
  for (const { old: oldStart, fresh: freshStart, length } of [...runs, end]) {
    const to = from + lengthOf(old, oldAt, oldStart);
    const insert = fresh.slice(freshAt, freshStart).join("");
    if (to > from || insert !== "") spots.push({ from, to, insert });
    from = to + lengthOf(old, oldStart, oldStart + length);
    [oldAt, freshAt] = [oldStart + length, freshStart + length];
  }
  return spots;
}

/** @param {string[]} parts @param {number} start @param {number} end */
function lengthOf(parts, start, end) {
  let length = 0;
  for (let index = start; index < end; index += 1) length += parts[index].length;
  return length;
}

/**
 * @typedef {{old: number, fresh: number, length: number}} Run parts that both have, one after the other
 * @param {string[]} old
 * @param {string[]} fresh
 * @returns {Run[]|null} in order; null: they differ too much
 */
function commonRuns(old, fresh) {
  const trace = furthestReaches(old, fresh);
  if (trace === null) return null;
  /** @type {Run[]} */
  const runs = [];
  let [x, y] = [old.length, fresh.length];
  for (let edits = trace.length - 1; edits >= 0; edits -= 1) {
    const reach = trace[edits];
    const k = x - y;
    const isDown = edits > 0 && (k === -edits || (k !== edits && at(reach, k - 1) < at(reach, k + 1)));
    const startX = edits === 0 ? 0 : isDown ? at(reach, k + 1) : at(reach, k - 1) + 1;
    if (x > startX) runs.push({ old: startX, fresh: startX - k, length: x - startX });
    if (edits === 0) break;
    x = isDown ? startX : startX - 1;
    y = x - (isDown ? k + 1 : k - 1);
  }
  return runs.reverse();
}

/**
 * @param {string[]} old
 * @param {string[]} fresh
 * @returns {Int32Array[]|null} for each number of edits how far each diagonal had come before it, from -edits
 */
function furthestReaches(old, fresh) {
  const most = Math.min(EDITS_MAX, old.length + fresh.length);
  let reach = new Int32Array(3);
  const trace = [];
  for (let edits = 0; edits <= most; edits += 1) {
    trace.push(reach);
    const next = new Int32Array(2 * edits + 5);
    const middle = edits + 2;
    next.fill(-1);
    for (let k = -edits; k <= edits; k += 2) {
      const isDown = k === -edits || (k !== edits && at(reach, k - 1) < at(reach, k + 1));
      let x = edits === 0 ? 0 : isDown ? at(reach, k + 1) : at(reach, k - 1) + 1;
      while (x < old.length && x - k < fresh.length && old[x] === fresh[x - k]) x += 1;
      next[middle + k] = x;
      if (x >= old.length && x - k >= fresh.length) return trace;
    }
    reach = next;
  }
  return null;
}

/** @param {Int32Array} reach its middle is diagonal 0 @param {number} k */
function at(reach, k) {
  return reach[(reach.length >> 1) + k] ?? -1;
}

/** @param {number} unit */
function isHigh(unit) {
  return (unit & 0xfc00) === 0xd800;
}

/** @param {number} unit */
function isLow(unit) {
  return (unit & 0xfc00) === 0xdc00;
}
