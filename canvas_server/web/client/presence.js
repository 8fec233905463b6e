/**
 * Tells the others where one is: not too often, and again before it is forgotten.
 *
 * Rule: places are told in the server's text. What was not sent yet is not in it, so one is told anew when it is.
 */

import { ChangeSet } from "./changeset.js";
import { canvasPath } from "./http.js";
import { Problem } from "./problem.js";

const PAUSE_MS = 200;
const TTL_MS = 30_000;

/**
 * @typedef {{cursor?: number, selection?: {from: number, to: number}, section?: string, name?: string, ttl_ms?: number}} Presence
 * @typedef {object} Ground what one stands on
 * @property {(position: number) => number} placeThere of the text here at the server
 * @property {boolean} isSettled whether the server has all that was written here
 */

export class PresenceSender {
  /** @type {Presence|null} in the text here */ #presence = null;
  /** @type {ReturnType<typeof setTimeout>|null} */ #timer = null;
  #isLive = false;
  /** whether something new is told at the end of the pause */ #isDue = false;
  /** whether it was told while something was on its way */ #isPassing = false;
  #http;
  #ref;
  #ground;

  /** @param {import("./http.js").Http} http @param {string} ref @param {() => Ground|null} ground */
  constructor(http, ref, ground) {
    this.#http = http;
    this.#ref = ref;
    this.#ground = ground;
  }

  /** @param {Presence|null} presence null: nowhere */
  set(presence) {
    this.#presence = presence;
    this.#tellSoon();
  }

  /** The text here has changed: one goes along. @param {import("./changeset.js").Change[]} changes @param {boolean} isOwn */
  carry(changes, isOwn) {
    if (this.#presence === null) return;
    const set = ChangeSet.of(changes);
    this.#presence = placed(this.#presence, (position) => set.mapPoint(position, isOwn ? 1 : -1));
  }

  /** All that was written here may have arrived. */
  settle() {
    if (this.#isPassing && this.#ground()?.isSettled) this.#tellSoon();
  }

  /** There is a connection. */
  resume() {
    if (this.#isLive) return;
    this.#isLive = true;
    if (this.#presence !== null) this.#tell();
  }

  /** There is none. */
  pause() {
    this.#isLive = false;
    this.#isDue = false;
    clearTimeout(this.#timer ?? undefined);
    this.#timer = null;
  }

  /** Take back what was told. */
  close() {
    if (this.#isLive && this.#presence !== null) this.#send({ ttl_ms: 0 });
    this.pause();
  }

  #tellSoon() {
    this.#isPassing = false;
    if (!this.#isLive || this.#isDue) return;
    clearTimeout(this.#timer ?? undefined);
    this.#isDue = true;
    this.#timer = setTimeout(() => this.#tell(), PAUSE_MS);
  }

  #tell() {
    clearTimeout(this.#timer ?? undefined);
    this.#isDue = false;
    this.#timer = null;
    const ttlMs = this.#presence?.ttl_ms ?? TTL_MS;
    this.#send(this.#presence === null ? { ttl_ms: 0 } : { ...this.#told(this.#presence), ttl_ms: ttlMs });
    if (this.#presence !== null) this.#timer = setTimeout(() => this.#tell(), ttlMs / 2);
  }

  /** @param {Presence} presence */
  #told(presence) {
    const ground = this.#ground();
    this.#isPassing = ground !== null && !ground.isSettled;
    return ground === null ? presence : placed(presence, (position) => ground.placeThere(position));
  }

  /** Where one is told again soon, a failure is no matter. @param {Presence} presence */
  async #send(presence) {
    try {
      await this.#http.request("POST", canvasPath(this.#ref, "/presence?unit=utf16"), presence, { keepalive: true });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
    }
  }
}

/**
 * The same presence in another text.
 *
 * @template {Record<string, any>} T
 * @param {T} presence
 * @param {(position: number) => number} move
 * @returns {T}
 */
export function placed(presence, move) {
  const { cursor = null, selection = null } = presence;
  return {
    ...presence,
    ...(cursor === null ? {} : { cursor: move(cursor) }),
    ...(selection === null ? {} : { selection: { from: move(selection.from), to: move(selection.to) } }),
  };
}
