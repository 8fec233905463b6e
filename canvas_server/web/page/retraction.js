/**
 * An author's work, taken back in the open canvas: the history is read from before it to now, and what takes it back is
 * an edit like any other.
 */

import { PAGE_OPS, seqOf } from "./past.js";
import { TakeBack } from "./takeback.js";
import { opIdsOfJob, worksOf } from "./works.js";

/** Others may write on while the history is read; after so many rounds there is no keeping up with them. */
const ROUNDS_MAX = 50;
/** A page of the history is worked through before anything else is let in. */
const BREATHE_MS = 0;
/** How long own words may take to reach the server. */
const SETTLED_MS_MAX = 10_000;
/** A job is looked for in so many pages from the newest on; a work may be so many longer than what is known of it. */
const PAGES_MAX = 20;

/**
 * @typedef {import("./past.js").Ack} Ack
 * @typedef {import("./past.js").Past} Past
 * @typedef {import("./authors.js").Change} Change
 * @typedef {Pick<import("../client/session.js").CanvasSession,
 *   "text"|"version"|"pendingCount"|"settled"|"on">} OpenCanvas what the history needs of the open canvas
 * @typedef {{removed: number, restored: number}} Retracted
 */

/** Own edits did not reach the server in time. */
export class Unsent extends Error {}
/** The history that was read does not lead to the text that is there. */
export class OtherHistory extends Error {}

/**
 * @param {OpenCanvas} canvas
 * @param {Past} past
 * @param {{first: number, opIds: Set<string>}} done the operations, and the version that the first of them made
 * @param {(changes: Change[]) => void} write into the canvas, one after the other
 * @returns {Promise<Retracted|null>} null: there was nothing left to take back
 * @throws {Unsent|OtherHistory|import("./past.js").PastGone}
 */
export async function retract(canvas, past, { first, opIds }, write) {
  const { content } = await past.text(first - 1);
  const back = new TakeBack(content, ({ op_id: opId }) => opIds.has(opId));
  let seq = first - 1;
  for (let round = 0; round < ROUNDS_MAX; round += 1) {
    seq = await read(past, back, seq, seqOf(canvas.version));
    await settled(canvas);
    if (seq === seqOf(canvas.version) && canvas.pendingCount === 0) return apply(canvas, back, write);
  }
  throw new Unsent();
}

/**
 * @param {Past} past
 * @param {string} jobId
 * @returns {Promise<{first: number, opIds: Set<string>}|null>} null: nothing that it wrote was found
 */
export async function findJob(past, jobId) {
  const opIds = new Set();
  let first = 0;
  let seq = past.head;
  for (let page = 0; page < PAGES_MAX && seq > past.floor; page += 1) {
    const acks = await past.page(seq);
    const found = opIdsOfJob(jobId, acks);
    if (found.size === 0 && opIds.size > 0) break;
    for (const opId of found) opIds.add(opId);
    const begin = acks.find(({ op_id: opId }) => found.has(opId));
    if (begin !== undefined) first = seqOf(begin.server_version);
    if (acks.length === 0) break;
    seq = seqOf(acks[0].server_version) - 1;
  }
  return opIds.size === 0 ? null : { first, opIds };
}

/**
 * A work may have begun before what was read when it was listed.
 *
 * @param {Past} past
 * @param {import("./works.js").Work} work
 * @returns {Promise<import("./works.js").Work>}
 */
export async function wholeWork(past, work) {
  let found = work;
  for (let page = 1; page <= PAGES_MAX; page += 1) {
    const depth = past.head - found.first + 1 + PAGE_OPS;
    const acks = await past.newest(depth);
    found = worksOf(acks).find(({ opIds }) => opIds.includes(work.opIds[0])) ?? work;
    const isWhole = acks.length < depth || found.first - seqOf(acks[0].server_version) >= PAGE_OPS;
    if (isWhole) break;
  }
  return found;
}

/**
 * @param {Past} past
 * @param {TakeBack} back
 * @param {number} from the version it has come to
 * @param {number} to
 * @returns {Promise<number>}
 */
async function read(past, back, from, to) {
  let seq = from;
  while (seq < to) {
    const page = await past.page(seq + 1);
    const acks = page.filter(({ server_version: version }) => seqOf(version) > seq);
    if (acks.length === 0) throw new OtherHistory();
    for (const ack of acks) back.add(ack);
    seq += acks.length;
    if (seq < to) await new Promise((resolve) => setTimeout(resolve, BREATHE_MS));
  }
  return seq;
}

/** @param {OpenCanvas} canvas */
async function settled(canvas) {
  if (canvas.pendingCount === 0) return;
  /** @type {ReturnType<typeof setTimeout>|undefined} */ let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Unsent()), SETTLED_MS_MAX);
  });
  try {
    await Promise.race([canvas.settled(), late]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * @param {OpenCanvas} canvas
 * @param {TakeBack} back
 * @param {(changes: Change[]) => void} write
 * @returns {Retracted|null}
 */
function apply(canvas, { change, text }, write) {
  if (canvas.text !== text) throw new OtherHistory();
  if (change.isEmpty) return null;
  write(change.changes);
  const sum = (/** @type {(spot: Change) => number} */ size) => change.spots.reduce((all, spot) => all + size(spot), 0);
  return { removed: sum(({ from, to }) => to - from), restored: sum(({ insert }) => insert.length) };
}
