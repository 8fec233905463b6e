/**
 * One canvas's event stream, kept open: `EventSource` comes back by itself when the connection breaks; this adds
 * what it does not do. It reopens after a refusal (which ends an EventSource for good) and after silence.
 */

import { Problem, listenUrl, readOutline } from "./api.js";

const BACK_OFF_MS = [1000, 2000, 4000, 8000, 15000];
const HEARTBEAT_MS = 15000;
/** A heartbeat may be late by as much again before the connection counts as dead. */
const HEARTBEATS_MISSED_MAX = 2;
/** Refusals that waiting does not mend. */
const FINAL_STATUSES = [401, 403, 404];

/**
 * @typedef {"connecting"|"open"|"reconnecting"|"closed"} ConnectionState
 * @typedef {object} StreamObserver
 * @property {(event: any, raw: string) => void} event each event, in order, with its text as it came
 * @property {(state: ConnectionState) => void} state
 * @property {(problem: Problem) => void} gone the server says there is no such canvas, or no right to it
 */

export class EventStream {
  /** @type {EventSource|null} */ #source = null;
  /** @type {string|null} */ #lastEventId = null;
  /** @type {ReturnType<typeof setTimeout>|undefined} */ #timer;
  /** counts connections: what an older one still had to say is void */ #turn = 0;
  #heartbeatMs = HEARTBEAT_MS;
  #failures = 0;
  #ref;
  #observer;

  /** @param {string} ref @param {StreamObserver} observer */
  constructor(ref, observer) {
    this.#ref = ref;
    this.#observer = observer;
  }

  open() {
    this.#observer.state("connecting");
    this.#connect();
  }

  close() {
    this.#drop();
    this.#observer.state("closed");
  }

  #drop() {
    this.#turn += 1;
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  #connect() {
    this.#drop();
    const source = new EventSource(listenUrl(this.#ref, this.#lastEventId));
    source.onmessage = (message) => this.#take(message);
    source.onerror = () => this.#interrupted(source);
    this.#source = source;
    this.#expectSoon();
  }

  /** @param {MessageEvent<string>} message */
  #take(message) {
    this.#failures = 0;
    if (message.lastEventId !== "") this.#lastEventId = message.lastEventId;
    const event = JSON.parse(message.data);
    if (event.type === "start") this.#heartbeatMs = event.heartbeat_ms ?? HEARTBEAT_MS;
    this.#observer.state(event.type === "bye" ? "reconnecting" : "open");
    this.#expectSoon();
    this.#observer.event(event, message.data);
  }

  #expectSoon() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#reconnect(), this.#heartbeatMs * HEARTBEATS_MISSED_MAX);
  }

  #reconnect() {
    this.#observer.state("reconnecting");
    this.#connect();
  }

  /** @param {EventSource} source */
  #interrupted(source) {
    if (source !== this.#source) return;
    this.#observer.state("reconnecting");
    if (source.readyState === EventSource.CLOSED) this.#askWhy();
  }

  /** EventSource does not tell the status that ended it; another GET of the same canvas does. */
  async #askWhy() {
    this.#drop();
    const turn = this.#turn;
    const problem = await refusalOf(this.#ref);
    if (turn !== this.#turn) return;
    if (problem === null) {
      this.#reconnectLater();
    } else {
      this.close();
      this.#observer.gone(problem);
    }
  }

  #reconnectLater() {
    const waitMs = BACK_OFF_MS[Math.min(this.#failures, BACK_OFF_MS.length - 1)];
    this.#failures += 1;
    this.#timer = setTimeout(() => this.#connect(), waitMs * (0.5 + Math.random()));
  }
}

/** @param {string} ref @returns {Promise<Problem|null>} null when trying again may help */
async function refusalOf(ref) {
  try {
    await readOutline(ref);
    return null;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return FINAL_STATUSES.includes(error.status) ? error : null;
  }
}
