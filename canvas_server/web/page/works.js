/**
 * What was done in one go: the operations of one author without a long pause, or those of one job.
 */

import { seqOf } from "./past.js";

/** Who writes on after a longer pause begins another work. A job has no pauses: it waits for its model. */
export const PAUSE_MS = 3 * 60_000;
const EXCERPT_CHARS = 60;
const LINE_MARK = /^[ \t]*(?:#+|>|[-*+])[ \t]+/gm;
/** So little comes of typing: while others write above, it goes on elsewhere all the time. */
const LETTERS_MAX = 5;

/**
 * @typedef {import("./past.js").Ack} Ack
 * @typedef {object} Work
 * @property {string} actor
 * @property {string} kind
 * @property {string|null} clientId
 * @property {Record<string, string>|null} meta of its last operation that has one
 * @property {string[]} opIds in order
 * @property {number} first the version that its first operation made, as its count
 * @property {number} last
 * @property {number} startedAtMs
 * @property {number} endedAtMs
 * @property {number} added UTF-16 units
 * @property {number} removed
 * @property {string} excerpt the first words that were written; may be empty
 * @property {number} end of what was written last, where it was then
 */

/**
 * @param {Ack[]} acks in order
 * @returns {Work[]} in the order in which they ended, the last first; others may have written in between
 */
export function worksOf(acks) {
  /** @type {Work[]} */
  const works = [];
  /** @type {Map<string, Work>} the last one of each author */
  const open = new Map();
  for (const ack of acks) {
    const author = authorOf(ack);
    const work = open.get(author);
    if (work !== undefined && goesOn(work, ack)) {
      take(work, ack);
    } else {
      const begun = workOf(ack);
      open.set(author, begun);
      works.push(begun);
    }
  }
  return works.map(readable).sort((one, other) => other.last - one.last);
}

/**
 * @param {Ack[]} acks in order
 * @param {number} seq a version that one of them made
 * @returns {number} the version at which its author paused, or another began
 */
export function stretchEnd(acks, seq) {
  let index = acks.findIndex(({ server_version: version }) => seqOf(version) === seq);
  while (index + 1 < acks.length && isOneStretch(acks[index], acks[index + 1])) index += 1;
  return index === -1 ? seq : seqOf(acks[index].server_version);
}

/** @param {Ack} before @param {Ack} after */
function isOneStretch(before, after) {
  const isSame = authorOf(before) === authorOf(after);
  return isSame && (after.kind === "job" || after.timestamp - before.timestamp <= PAUSE_MS);
}

/** @param {Ack} ack */
function authorOf({ kind, actor, client_id: clientId }) {
  return `${kind} ${actor} ${clientId ?? ""}`;
}

/** @param {string} jobId @param {Ack[]} acks @returns {Set<string>} the ids of what a job wrote */
export function opIdsOfJob(jobId, acks) {
  return new Set(acks.filter(({ actor }) => actor === `job:${jobId}`).map(({ op_id: opId }) => opId));
}

/** @param {Work} work @param {Ack} ack */
function goesOn({ kind, endedAtMs }, { timestamp }) {
  return kind === "job" || timestamp - endedAtMs <= PAUSE_MS;
}

/** @param {Ack} ack @returns {Work} */
function workOf(ack) {
  const { actor, kind, client_id: clientId, server_version: version, timestamp } = ack;
  const times = { startedAtMs: timestamp, endedAtMs: timestamp, first: seqOf(version), last: 0 };
  /** @type {Work} */
  const work = { actor, kind, clientId, meta: null, opIds: [], ...times, added: 0, removed: 0, excerpt: "", end: 0 };
  take(work, ack);
  return work;
}

/** @param {Work} work @param {Ack} ack */
function take(work, { op_id: opId, server_version: version, timestamp, changes, meta }) {
  work.opIds.push(opId);
  work.last = seqOf(version);
  work.endedAtMs = timestamp;
  work.meta = meta ?? work.meta;
  for (const { from, to, insert } of changes) {
    work.added += insert.length;
    work.removed += to - from;
    if (insert !== "" && work.excerpt.length < 4 * EXCERPT_CHARS) {
      const isElsewhere = from !== work.end && insert.length > LETTERS_MAX && work.excerpt !== "";
      const gap = isElsewhere ? " … " : "";
      work.excerpt += gap + insert.slice(0, 4 * EXCERPT_CHARS);
    }
    work.end = from + insert.length;
  }
}

/** @param {Work} work */
function readable(work) {
  const line = work.excerpt.replace(LINE_MARK, "").replace(/[*_`]/g, "").replace(/\s+/g, " ").trim();
  const shown = line.slice(0, EXCERPT_CHARS);
  const isWhole = shown.length === line.length;
  return { ...work, excerpt: isWhole ? line : `${shown.replace(/[\uD800-\uDBFF]$/, "").replace(/ \S*$/, "")}…` };
}
