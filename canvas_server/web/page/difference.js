/**
 * How one text differs from another, in few and small spots: what was not changed is not touched, so that the writing
 * of others survives between them.
 *
 * Lines are compared first, then the words of the lines that differ. What stands once in both texts, in one order, is
 * the same (patience diff, B. Cohen); what lies between is compared by E. W. Myers, "An O(ND) Difference Algorithm and
 * Its Variations" (1986). Where that has too little in common, one spot replaces it.
 */

/** Beyond so many lines or words that differ in one place, the smallest difference takes too long to find. */
const EDITS_MAX = 400;
/** Beyond so many words in one place, lines are fine enough. */
const WORDS_MAX = 20_000;
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
  const isTooMuch = part === WORD && old.length + fresh.length > WORDS_MAX;
  const runs = isTooMuch ? [] : commonRuns(old, fresh);
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
 * @returns {Run[]} in order
 */
function commonRuns(old, fresh) {
  /** @type {Run[]} */
  const runs = [];
  let [oldAt, freshAt] = [0, 0];
  for (const anchor of [...anchorsOf(old, fresh), { old: old.length, fresh: fresh.length, length: 0 }]) {
    const between = runsBetween(old.slice(oldAt, anchor.old), fresh.slice(freshAt, anchor.fresh));
    for (const run of between) append(runs, { ...run, old: run.old + oldAt, fresh: run.fresh + freshAt });
    append(runs, anchor);
    [oldAt, freshAt] = [anchor.old + anchor.length, anchor.fresh + anchor.length];
  }
  return runs;
}

/** @param {Run[]} runs @param {Run} run it may go on where the last one ends */
function append(runs, run) {
  const last = runs.at(-1);
  if (last !== undefined && last.old + last.length === run.old && last.fresh + last.length === run.fresh) {
    last.length += run.length;
  } else if (run.length > 0) {
    runs.push({ ...run });
  }
}

/**
 * @param {string[]} old
 * @param {string[]} fresh
 * @returns {Run[]} what stands once in both: the most that are in one order
 */
function anchorsOf(old, fresh) {
  const places = placesOf(fresh);
  /** @type {Run[]} */
  const both = [];
  for (const [part, index] of placesOf(old)) {
    const place = places.get(part) ?? -1;
    if (index >= 0 && place >= 0) both.push({ old: index, fresh: place, length: 1 });
  }
  return longestRise(both);
}

/** @param {string[]} parts @returns {Map<string, number>} where each stands; -1: in several places */
function placesOf(parts) {
  /** @type {Map<string, number>} */
  const places = new Map();
  parts.forEach((part, index) => places.set(part, places.has(part) ? -1 : index));
  return places;
}

/** @param {Run[]} both in the order of the old text @returns {Run[]} the longest part that is in order in both */
function longestRise(both) {
  /** @type {number[]} the run with the least end of each length */ const ends = [];
  /** @type {number[]} the run before each in its rise */ const before = [];
  both.forEach(({ fresh }, index) => {
    let [low, high] = [0, ends.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (both[ends[middle]].fresh < fresh) low = middle + 1;
      else high = middle;
    }
    before.push(low === 0 ? -1 : ends[low - 1]);
    ends[low] = index;
  });
  const rise = [];
  for (let index = ends.at(-1) ?? -1; index >= 0; index = before[index]) rise.push(both[index]);
  return rise.reverse();
}

/** @param {string[]} old @param {string[]} fresh @returns {Run[]} in order; none where they differ too much */
function runsBetween(old, fresh) {
  if (old.length === 0 || fresh.length === 0) return [];
  const trace = furthestReaches(old, fresh);
  return trace === null ? [] : runsAlong(trace, old.length, fresh.length);
}

/**
 * @param {Int32Array[]} trace
 * @param {number} oldLength
 * @param {number} freshLength
 * @returns {Run[]} in order
 */
function runsAlong(trace, oldLength, freshLength) {
  /** @type {Run[]} */
  const runs = [];
  let [x, y] = [oldLength, freshLength];
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
