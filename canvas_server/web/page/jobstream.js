/**
 * One job's event stream, kept open until its last event. It is read by `fetch`, which can tell why a stream was
 * refused and say in a header where to go on.
 *
 * Rule: closing it stops nothing but the reading. Only a cancel stops a job.
 */

import { Problem, openStream } from "./api.js";
import { EventStreamParser } from "./sse.js";

const BACK_OFF_MS = [500, 1000, 2000, 4000, 8000];
/** Two heartbeats: longer silence is a dead connection. */
const SILENCE_MS_MAX = 30000;
/** Refusals that waiting does not mend. */
const FINAL_STATUSES = [401, 403, 404];
const LAST_EVENTS = ["complete", "error"];

/**
 * @typedef {object} JobStreamObserver
 * @property {(event: any) => void} event each event once, in order
 * @property {(isOpen: boolean) => void} connection
 * @property {(problem: Problem) => void} gone the server says there is no such job, or no right to it
 */

export class JobStream {
  /** @type {AbortController|null} of the connection; null: closed */ #connection = null;
  /** @type {ReturnType<typeof setTimeout>|undefined} */ #timer;
  #lastEventId = "";
  #failures = 0;
  #url;
  #observer;

  /** @param {string} url @param {JobStreamObserver} observer */
  constructor(url, observer) {
    this.#url = url;
    this.#observer = observer;
  }

  /** Read from the beginning. */
  open() {
    this.#lastEventId = "";
    this.#connect();
  }

  close() {
    clearTimeout(this.#timer);
    const connection = this.#connection;
    this.#connection = null;
    connection?.abort();
  }

  async #connect() {
    this.close();
    const connection = new AbortController();
    this.#connection = connection;
    const problem = await this.#readAll(connection);
    if (this.#connection !== connection) return;
    this.close();
    if (problem !== null && FINAL_STATUSES.includes(problem.status)) this.#observer.gone(problem);
    else this.#reconnectLater();
  }

  /** @param {AbortController} connection @returns {Promise<Problem|null>} why it ended before its last event */
  async #readAll(connection) {
    this.#expectSoon(connection);
    try {
      const body = await openStream(this.#url, this.#lastEventId, connection.signal);
      const parser = new EventStreamParser();
      for await (const piece of pieces(body, connection.signal)) this.#take(parser.push(piece), connection);
      return null;
    } catch (error) {
      if (error instanceof Problem) return error;
      throw error;
    }
  }

  /** @param {import("./sse.js").StreamedEvent[]} events @param {AbortController} connection */
  #take(events, connection) {
    for (const { id, data } of events) {
      if (this.#connection !== connection) return;
      if (id !== "") this.#lastEventId = id;
      this.#tell(JSON.parse(data));
    }
    if (this.#connection === connection) this.#expectSoon(connection);
  }

  /** @param {any} event */
  #tell(event) {
    this.#failures = 0;
    if (LAST_EVENTS.includes(event.type)) this.close();
    this.#observer.connection(true);
    this.#observer.event(event);
  }

  /** @param {AbortController} connection */
  #expectSoon(connection) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => connection.abort(), SILENCE_MS_MAX);
  }

  #reconnectLater() {
    const waitMs = BACK_OFF_MS[Math.min(this.#failures, BACK_OFF_MS.length - 1)];
    this.#failures += 1;
    this.#observer.connection(false);
    this.#timer = setTimeout(() => this.#connect(), waitMs * (0.5 + Math.random() / 2));
  }
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
