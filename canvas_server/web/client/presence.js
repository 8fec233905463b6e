/**
 * Tells the others where one is: not too often, and again before it is forgotten.
 */

import { canvasPath } from "./http.js";
import { Problem } from "./problem.js";

const PAUSE_MS = 200;
const TTL_MS = 30_000;

/**
 * @typedef {{cursor?: number, selection?: {from: number, to: number}, section?: string, name?: string, ttl_ms?: number}} Presence
 */

/**
 * @template {Presence|Record<string, any>} T
 * @param {T} presence
 * @param {(offset: number) => number} move
 * @returns {T} the same elsewhere
 */
export function presenceAt(presence, move) {
  const { cursor, selection } = presence;
  return {
    ...presence,
    ...(typeof cursor === "number" ? { cursor: move(cursor) } : {}),
    ...(selection ? { selection: { from: move(selection.from), to: move(selection.to) } } : {}),
  };
}

export class PresenceSender {
  /** @type {Presence|null} in the text as its author sees it now */ #presence = null;
  /** @type {ReturnType<typeof setTimeout>|null} */ #timer = null;
  #isLive = false;
  /** whether something new is told at the end of the pause */ #isDue = false;
  #http;
  #ref;
  #confirmed;

  /**
   * @param {import("./http.js").Http} http
   * @param {string} ref
   * @param {(offset: number) => number} confirmed where in the server's text a place is that the author sees
   */
  constructor(http, ref, confirmed) {
    this.#http = http;
    this.#ref = ref;
    this.#confirmed = confirmed;
  }

  /** @param {Presence|null} presence null: nowhere */
  set(presence) {
    this.#presence = presence;
    if (this.#isLive && !this.#isDue) {
      clearTimeout(this.#timer ?? undefined);
      this.#isDue = true;
      this.#timer = setTimeout(() => this.#tell(), PAUSE_MS);
    }
  }

  /** The text was changed: one is where one was in it. @param {(offset: number) => number} move */
  shift(move) {
    if (this.#presence !== null) this.#presence = presenceAt(this.#presence, move);
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

  #tell() {
    clearTimeout(this.#timer ?? undefined);
    this.#isDue = false;
    this.#timer = null;
    const ttlMs = this.#presence?.ttl_ms ?? TTL_MS;
    this.#send(
      this.#presence === null ? { ttl_ms: 0 } : { ...presenceAt(this.#presence, this.#confirmed), ttl_ms: ttlMs },
    );
    if (this.#presence !== null) this.#timer = setTimeout(() => this.#tell(), ttlMs / 2);
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
