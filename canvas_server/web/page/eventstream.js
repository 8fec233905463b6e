/**
 * An event stream, kept open. It is read by `fetch`, which can send credentials, say in a header where to go on, and
 * tell why a stream was refused.
 *
 * Rule: it comes back after everything that waiting mends, from the event it told last. Where one is to sign in
 * again, it waits for that.
 */

import { Problem, openStream } from "./api.js";
import { session } from "./session.js";
import { EventStreamParser } from "../client/sse.js";

const BACK_OFF_MS = [1000, 2000, 4000, 8000, 15000];
/** A heartbeat may be late by as much again before the connection counts as dead. */
const HEARTBEAT_MS = 15000;
const HEARTBEATS_MISSED_MAX = 2;
const REVOKED_MS = 250;
/** Refusals that waiting does not mend. */
const FINAL_STATUSES = [403, 404];

/**
 * @typedef {"connecting"|"open"|"reconnecting"|"closed"} ConnectionState
 * @typedef {object} StreamObserver
 * @property {(event: any, raw: string) => void} event each event, in order, with its text as it came
 * @property {(state: ConnectionState) => void} state
 * @property {(problem: Problem) => void} gone the server says there is no such thing, or no right to it
 */

export class EventStream {
  /** @type {AbortController|null} of the connection; null: closed */ #connection = null;
  /** @type {ReturnType<typeof setTimeout>|undefined} */ #timer;
  #lastEventId = "";
  #heartbeatMs = HEARTBEAT_MS;
  /** @type {number|null} how long the server asked to wait before coming back */ #retryMs = null;
  #failures = 0;
  #url;
  #observer;

  /** @param {string} url @param {StreamObserver} observer */
  constructor(url, observer) {
    this.#url = url;
    this.#observer = observer;
  }

  /** Read from the beginning. */
  open() {
    this.#lastEventId = "";
    this.#observer.state("connecting");
    this.#connect();
  }

  close() {
    this.#drop();
    this.#observer.state("closed");
  }

  #drop() {
    clearTimeout(this.#timer);
    const connection = this.#connection;
    this.#connection = null;
    connection?.abort();
  }

  async #connect() {
    this.#drop();
    const connection = new AbortController();
    this.#connection = connection;
    await session.signedIn(connection.signal);
    const problem = connection.signal.aborted ? null : await this.#readAll(connection);
    if (this.#connection !== connection) return;
    if (problem !== null && FINAL_STATUSES.includes(problem.status)) this.#end(problem);
    else this.#comeBack(problem);
  }

  /** @param {Problem|null} problem */
  #comeBack(problem) {
    this.#observer.state("reconnecting");
    if (problem?.status === 401) this.#connect();
    else this.#reconnectLater();
  }

  /** @param {AbortController} connection @returns {Promise<Problem|null>} why it ended; null: the server ended it */
  async #readAll(connection) {
    this.#expectSoon(connection);
    try {
      const body = await openStream(this.#url, this.#lastEventId, connection.signal);
      const parser = new EventStreamParser();
      for await (const piece of pieces(body, connection.signal)) this.#take(parser, piece, connection);
      return null;
    } catch (error) {
      if (error instanceof Problem) return error;
      throw error;
    }
  }

  /** @param {EventStreamParser} parser @param {string} piece @param {AbortController} connection */
  #take(parser, piece, connection) {
    for (const { id, data } of parser.push(piece)) {
      if (this.#connection !== connection) return;
      if (id !== "") this.#lastEventId = id;
      this.#tell(JSON.parse(data), data);
    }
    this.#retryMs ??= parser.retryMs;
    if (this.#connection === connection) this.#expectSoon(connection);
  }

  /** @param {any} event @param {string} raw */
  #tell(event, raw) {
    this.#failures = 0;
    this.#retryMs = event.type === "bye" ? byeMs(event) : null;
    this.#heartbeatMs = event.heartbeat_ms ?? this.#heartbeatMs;
    this.#observer.state(event.type === "bye" ? "reconnecting" : "open");
    this.#observer.event(event, raw);
  }

  /** @param {AbortController} connection */
  #expectSoon(connection) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => connection.abort(), this.#heartbeatMs * HEARTBEATS_MISSED_MAX);
  }

  /** The server's own wait is the least; each failure after the first makes it longer, for each client by another bit. */
  #reconnectLater() {
    this.#drop();
    const backOffMs = BACK_OFF_MS[Math.min(this.#failures, BACK_OFF_MS.length - 1)] * (0.5 + Math.random());
    const waitMs = this.#failures === 0 ? (this.#retryMs ?? backOffMs) : Math.max(this.#retryMs ?? 0, backOffMs);
    this.#failures += 1;
    this.#timer = setTimeout(() => this.#connect(), waitMs);
  }

  /** @param {Problem} problem */
  #end(problem) {
    this.close();
    this.#observer.gone(problem);
  }
}

/** Whoever lost the right is to hear of it soon. @param {any} bye @returns {number|null} */
function byeMs({ reason, retry_ms: retryMs }) {
  return reason === "revoked" ? REVOKED_MS : (retryMs ?? null);
}

/**
 * @param {ReadableStream<Uint8Array<ArrayBuffer>>} body
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<string>} until the end
 * @throws {Problem} the connection broke, or was given up
 */
async function* pieces(body, signal) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (let read = await reader.read(); !read.done; read = await reader.read()) yield read.value;
  } catch (error) {
    if (!(error instanceof TypeError) && !signal.aborted) throw error;
    throw new Problem({ status: 0, code: "UNREACHABLE", detail: String(error) });
  }
}
