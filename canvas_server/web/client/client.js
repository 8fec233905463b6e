/**
 * A client of one server: opens canvases, and keeps one event stream for all of them.
 */

import { Connection } from "./connection.js";
import { crc32 } from "./crc32.js";
import { Draft, tabName } from "./drafts.js";
import { Http } from "./http.js";
import { SharedConnection, canShare, sharedName } from "./leader.js";
import { CanvasSession } from "./session.js";
import { watchForWaking } from "./wake.js";

/**
 * @typedef {import("./http.js").TokenSource} TokenSource
 * @typedef {object} ClientOptions
 * @property {string} [url] of the server; by default the page's own
 * @property {TokenSource} [token] a function is asked again when its token is refused; for another user make another
 *   client
 * @property {string} [clientId] tells this client from others of the same actor
 * @property {import("./http.js").Fetch} [fetch]
 * @property {boolean} [leader] whether all tabs of the browser share one stream, where that can be
 * @property {"fetch"|"eventsource"} [transport] by default `fetch`, where a stream can be read by it
 * @property {import("./drafts.js").DraftStorage|null} [drafts] where what is not acknowledged outlives the page, as
 *   `localStorage`; outside a browser a draft is that of the `clientId`
 * @property {string|(() => string)} [user] whose drafts these are; by default the token's
 */

export class CanvasClient {
  /** @type {Map<string, {session: CanvasSession, uses: number}>} */ #sessions = new Map();
  #prefix = randomId().slice(0, 8);
  #count = 0;
  /** @type {import("./live.js").Drafts|null} */ #drafts = null;
  /** @type {Connection|SharedConnection} */ #connection;
  #stopWatching;

  /** @readonly */ http;

  /** @param {ClientOptions} [options] */
  constructor({
    url = globalThis.location?.origin,
    token = null,
    clientId = randomId(),
    fetch,
    leader = true,
    transport,
    drafts = null,
    user,
  } = {}) {
    if (url === undefined) throw new TypeError("url says where the server is");
    this.http = new Http({ url, token, clientId, fetch }, (problem) => {
      for (const { session } of [...this.#sessions.values()]) session.unauthorized(problem);
      if (this.#connection instanceof SharedConnection) this.#connection.unauthorized(problem);
    });
    const connect = () => new Connection(this.http, { transport });
    this.#connection = leader && canShare() ? new SharedConnection(this.#sharedName(), connect) : connect();
    if (drafts !== null) this.#drafts = this.#draftsIn(drafts, user);
    const stopWaking = watchForWaking((silenceMs) => this.#connection.wake(silenceMs));
    const keep = () => this.#sessions.forEach(({ session }) => session.keepDraft());
    globalThis.document?.defaultView?.addEventListener("pagehide", keep);
    this.#stopWatching = () => {
      stopWaking();
      globalThis.document?.defaultView?.removeEventListener("pagehide", keep);
    };
  }

  /**
   * Open a canvas; each `open` needs its `close`.
   *
   * @param {string} ref
   * @returns {Promise<CanvasSession>} when its text is there
   */
  open(ref) {
    return this.session(ref).ready;
  }

  /** The same at once, while the text still loads. @param {string} ref @returns {CanvasSession} */
  session(ref) {
    const known = this.#sessions.get(ref);
    if (known !== undefined && (known.session.state !== "ended" || known.session.pendingCount > 0)) {
      known.uses += 1;
      if (known.session.state === "ended") known.session.retry();
      return known.session;
    }
    const session = new CanvasSession(ref, {
      http: this.http,
      makeId: () => this.#makeId(),
      begin: (begun) =>
        this.#connection.subscribe(ref, {
          event: (event) => begun.receive(event),
          state: (state) => begun.connection(state),
          gone: (problem) => begun.gone(problem),
          unauthorized: (problem) => begun.unauthorized(problem),
        }),
      release: (closed) => this.#release(closed),
      drafts: this.#drafts,
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
    const sessions = [...this.#sessions.values()];
    this.#sessions.clear();
    for (const { session } of sessions) session.close();
    this.#connection.close();
    this.#stopWatching();
  }

  async #sharedName() {
    const token = await this.http.token().catch(() => null);
    return sharedName(this.http.url, token);
  }

  /** @param {import("./drafts.js").DraftStorage} storage @param {string|(() => string)|undefined} user */
  #draftsIn(storage, user) {
    const tab = tabName(this.http.clientId);
    const whose = async () => (typeof user === "function" ? user() : (user ?? crc32((await this.http.token()) ?? "")));
    return {
      make: (/** @type {() => import("./drafts.js").DraftState|null} */ now) => new Draft(storage, tab, now),
      place: async (/** @type {string} */ ref) => `canvas-server:${this.http.url}:${ref}:${await whose()}`,
    };
  }

  #makeId() {
    this.#count += 1;
    return `${this.http.clientId.slice(0, 24)}-${this.#prefix}-${this.#count.toString(36)}`;
  }

  /** @param {CanvasSession} session @returns {boolean} whether nobody uses it any more */
  #release(session) {
    const known = this.#sessions.get(session.ref);
    if (known === undefined || known.session !== session) return true;
    known.uses -= 1;
    if (known.uses > 0) return false;
    this.#sessions.delete(session.ref);
    return true;
  }
}

/**
 * Open one canvas with a client of its own; `close` ends both.
 *
 * @param {string} ref
 * @param {ClientOptions} [options]
 * @returns {Promise<CanvasSession>}
 */
export async function openCanvas(ref, options) {
  const client = new CanvasClient(options);
  try {
    const session = await client.open(ref);
    session.on("ended", (end) => "reason" in end && end.reason === "session" && client.close());
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
