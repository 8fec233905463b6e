/**
 * Reads what a replica missed, and brings it to the server's newest version.
 */

import { canvasPath } from "./http.js";
import { Problem } from "./problem.js";
import { Replica } from "./replica.js";
import { bareOf, sequenceOf } from "./version.js";

const PAGE = 1_000;
/** A version that the server does not know, or cannot read any more. */
const UNKNOWN = [400, 404, 410];

/**
 * @typedef {import("./changeset.js").Change} Change
 * @typedef {import("./http.js").Http} Http
 * @typedef {import("./drafts.js").DraftState} DraftState
 * @typedef {Record<string, any>} ServerEvent
 * @typedef {{version: string, content: string, title: string, ref: string}} CanvasState
 *
 * @typedef {object} Follower what is told meanwhile, in order
 * @property {(ack: ServerEvent) => void} ack of the history
 * @property {(changes: Change[]) => void} changed the view, by no single ack
 * @property {() => void} [rebuilt] the text was read without what led to it
 */

/**
 * @param {Http} http
 * @param {string} ref
 * @param {AbortSignal} signal
 * @param {string} [version] an older one
 * @returns {Promise<CanvasState>}
 */
export function readCanvas(http, ref, signal, version) {
  const at = version === undefined ? "" : `&at=${encodeURIComponent(bareOf(version))}`;
  return http.request("GET", `${canvasPath(ref)}?unit=utf16${at}`, undefined, { signal });
}

/**
 * Read the text that a draft was written on, put the draft on it, and follow the history from there.
 *
 * @param {Http} http
 * @param {string} ref
 * @param {DraftState} draft
 * @param {() => string} makeId
 * @param {AbortSignal} signal
 * @returns {Promise<{state: CanvasState, replica: Replica}|null>} null: there is no such text any more
 */
export async function readWithDraft(http, ref, draft, makeId, signal) {
  try {
    const state = await readCanvas(http, ref, signal, draft.version);
    if (state.version !== draft.version) return null;
    const replica = new Replica(state, makeId);
    replica.restore(draft.edits);
    const follower = { ack: (/** @type {ServerEvent} */ ack) => void replica.receive(ack), changed: () => {} };
    await followHistory(http, ref, replica, follower, signal, null);
    return { state, replica };
  } catch (error) {
    if (error instanceof RangeError || (error instanceof Problem && UNKNOWN.includes(error.status))) return null;
    throw error;
  }
}

/**
 * Follow the history from the version of a replica to the newest one.
 *
 * @param {Http} http
 * @param {string} ref
 * @param {Replica} replica
 * @param {Follower} follower
 * @param {AbortSignal} signal
 * @param {string|null} forgetful a newest version of the server by which it is known that it forgot that of the replica
 * @throws {Problem}
 */
export async function followHistory(http, ref, replica, follower, signal, forgetful) {
  if (forgetful !== null && sequenceOf(forgetful) < sequenceOf(replica.floor))
    return readAnew(http, ref, replica, follower, signal, { keepsLost: true });
  if (replica.isReplaying || forgetful !== null) return recover(http, ref, replica, follower, signal);
  try {
    await eachPage(http, ref, bareOf(replica.version), signal, ({ events }) => events.forEach(follower.ack));
  } catch (error) {
    if (!(error instanceof Problem) || error.status !== 404) throw error;
    await recover(http, ref, replica, follower, signal);
  }
}

/**
 * Take the text as it is, and what was written here over it.
 *
 * @param {Http} http
 * @param {string} ref
 * @param {Replica} replica
 * @param {Follower} follower
 * @param {AbortSignal} signal
 * @param {{keepsLost: boolean}} options
 */
export async function readAnew(http, ref, replica, follower, signal, options) {
  const state = await readCanvas(http, ref, signal);
  if (signal.aborted) return;
  follower.changed(replica.rebuild(state, options));
  follower.rebuilt?.();
}

/**
 * The server forgot the version of the replica, or did so once and may have done it again.
 *
 * @param {Http} http
 * @param {string} ref
 * @param {Replica} replica
 * @param {Follower} follower
 * @param {AbortSignal} signal
 */
async function recover(http, ref, replica, follower, signal) {
  /** @type {ServerEvent[]} */
  const events = [];
  let head = "";
  try {
    await eachPage(http, ref, String(sequenceOf(replica.floor)), signal, (page) => {
      events.push(...page.events);
      head = page.version;
    });
  } catch (error) {
    if (!(error instanceof Problem) || error.status !== 404) throw error;
  }
  if (signal.aborted) return;
  if (!replica.recover(events, head)) return readAnew(http, ref, replica, follower, signal, { keepsLost: true });
  if (replica.hasDiverged(head)) follower.changed(replica.diverge(new Set(events.map((event) => event.op_id))));
  events.forEach(follower.ack);
}

/**
 * @param {Http} http
 * @param {string} ref
 * @param {string} after
 * @param {AbortSignal} signal
 * @param {(page: {events: ServerEvent[], version: string}) => void} take
 */
async function eachPage(http, ref, after, signal, take) {
  for (let next = /** @type {string|number|null} */ (after); next !== null;) {
    const path = canvasPath(ref, `/ops?unit=utf16&limit=${PAGE}&after=${encodeURIComponent(next)}`);
    const page = await http.request("GET", path, undefined, { signal });
    if (signal.aborted) return;
    take(page);
    next = page.next_after ?? null;
  }
}
