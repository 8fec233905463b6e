/**
 * A client of one server: opens canvases, and keeps one event stream for all of them.
 */

import { Connection } from "./connection.js";
import { Http } from "./http.js";
import { CanvasSession } from "./session.js";

/**
 * @typedef {import("./http.js").TokenSource} TokenSource
 * @typedef {object} ClientOptions
 * @property {string} [url] of the server; by default the page's own
 * @property {TokenSource} [token] a function is asked again when its token is refused
 * @property {string} [clientId] tells this client from others of the same actor
 * @property {import("./http.js").Fetch} [fetch]
 * @property {boolean} [leader] whether all tabs of the browser share one stream, where that can be
 * @property {"fetch"|"eventsource"} [transport]
 */

export class CanvasClient {
  /** @type {Map<string, {session: CanvasSession, uses: number}>} */ #sessions = new Map();
  #connection;
  #count = 0;

  /** @readonly */ http;

  /** @param {ClientOptions} [options] */
  constructor({ url = globalThis.location?.origin, token = null, clientId = randomId(), fetch, leader = true, transport } = {}) {
    if (url === undefined) throw new TypeError("url says where the server is");
    this.http = new Http({ url, token, clientId, fetch }, (problem) => {
      for (const { session } of this.#sessions.values()) session.unauthorized(problem);
    });
    this.#connection = new Connection(this.http, { transport });
  }

  /** Open a canvas; each `open` needs its `close`. @param {string} ref @returns {Promise<CanvasSession>} when its text is there */
  open(ref) {
    return this.session(ref).ready;
  }

  /** The same at once, while the text still loads. @param {string} ref @returns {CanvasSession} */
  session(ref) {
    const known = this.#sessions.get(ref);
    if (known !== undefined && known.session.state !== "ended") return known.session;
    const session = new CanvasSession(ref, {
      http: this.http,
      makeId: () => `${this.http.clientId.slice(0, 24)}-${this.#prefix}-${(this.#count += 1).toString(36)}`,
      begin: (begun) =>
        this.#connection.subscribe(ref, {
          event: (event) => begun.receive(event),
          state: (state) => begun.connection(state),
          gone: (problem) => begun.gone(problem),
        }),
    });
    this.#sessions.set(ref, { session, uses: 1 });
    return session;
  }

  /** Connect at once, after a failure or with other credentials. */
  retry() {
    this.#connection.wake();
    for (const { session } of this.#sessions.values()) session.retry();
  }

  close() {
    for (const { session } of this.#sessions.values()) session.close();
    this.#sessions.clear();
    this.#connection.close();
  }

  #prefix = randomId().slice(0, 8);
}

/** Open one canvas with a client of its own; `close` ends both. @param {string} ref @param {ClientOptions} [options] @returns {Promise<CanvasSession>} */
export async function openCanvas(ref, options) {
  const client = new CanvasClient(options);
  try {
    const session = await client.open(ref);
    session.on("ended", () => client.close());
    return session;
  } catch (error) {
    client.close();
    throw error;
  }
}

/** @returns {string} 128 random bits, in letters that an op_id may have */
function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
