/**
 * The one event stream of a client, for all its canvases. It is read by `fetch`, which can send credentials and tell
 * why a stream was refused; or by `EventSource`, with a ticket or the cookie.
 *
 * Rule: it comes back after everything that waiting mends, and for each canvas from the event that was told last.
 */

import { BackOff } from "./backoff.js";
import { Problem, unreachable } from "./problem.js";
import { eventSourceFrames, fetchFrames, transportOf } from "./streams.js";

const BACK_OFF_MS = /** @type {const} */ ([1_000, 15_000]);
const HEARTBEAT_MS = 15_000;
/** A heartbeat may be late by as much again before the connection counts as dead. */
const HEARTBEATS_MISSED_MAX = 2;
/** After these nothing more is told of a canvas; the stream goes on with the others. */
export const ENDS = ["closed", "deleted"];
const GONE = [403, 404];
/** Whoever lost the right is to hear of it soon. */
const REVOKED_MS = 250;
export const CANVASES_MAX = 64;

/**
 * @typedef {import("./http.js").Http} Http
 * @typedef {"connecting"|"open"|"waiting"} ConnectionState
 * @typedef {object} Subscriber
 * @property {(event: any, id: string) => void} event each event of the canvas, in order; `id` of the newest that has one
 * @property {(state: ConnectionState) => void} state
 * @property {(problem: Problem) => void} gone the server says that there is no such canvas, or no right to it
 * @property {(problem: Problem) => void} [unauthorized] whoever asks for all has no credentials that are good
 *
 * @typedef {{subscriber: Subscriber, lastId: string}} Subscription
 */

export class Connection {
  /** @type {Map<string, Subscription>} by ref */ #subscriptions = new Map();
  /** @type {AbortController|null} of the stream; null: there is none */ #stream = null;
  /** @type {ReturnType<typeof setTimeout>|undefined} */ #timer;
  /** @type {ConnectionState} */ #state = "waiting";
  #isChanging = false;
  #heartbeatMs = HEARTBEAT_MS;
  #heardMs = 0;
  #backOff = new BackOff(...BACK_OFF_MS);
  /** @type {number|null} */ #retryMs = null;
  #http;
  /** whether the way to read it tells why it was refused */ #tellsRefusal;
  #frames;

  /** @param {Http} http @param {{transport?: "fetch"|"eventsource"}} [options] */
  constructor(http, { transport = transportOf() } = {}) {
    this.#http = http;
    this.#tellsRefusal = transport === "fetch";
    this.#frames = this.#tellsRefusal ? fetchFrames : eventSourceFrames;
  }

  get state() {
    return this.#state;
  }

  /**
   * Listen to a canvas, that nobody listens to here.
   *
   * @param {string} ref
   * @param {Subscriber} subscriber
   * @param {string} [lastId] of the last event heard
   * @returns {() => void} listens no more
   */
  subscribe(ref, subscriber, lastId = "") {
    if (this.#subscriptions.size >= CANVASES_MAX)
      throw new RangeError(`one stream carries ${CANVASES_MAX} canvases at most`);
    const subscription = { subscriber, lastId };
    this.#subscriptions.set(ref, subscription);
    this.#change();
    return () => {
      if (this.#subscriptions.get(ref) !== subscription) return;
      this.#subscriptions.delete(ref);
      this.#change();
    };
  }

  /** Connect now, if that waits; or anew, if nothing was heard for as long. @param {number} [silenceMs] */
  wake(silenceMs = 0) {
    const isSilent = Date.now() - this.#heardMs > silenceMs;
    if (this.#subscriptions.size === 0 || (this.#state !== "waiting" && !isSilent)) return;
    this.#tellState("connecting");
    this.#connect();
  }

  close() {
    this.#subscriptions.clear();
    this.#drop();
  }

  /** What changes in one turn is one new stream; it goes on where the old one was, so nobody counts as cut off. */
  #change() {
    if (this.#isChanging) return;
    this.#isChanging = true;
    queueMicrotask(() => {
      this.#isChanging = false;
      if (this.#subscriptions.size === 0) this.#drop();
      else this.#connect();
    });
  }

  #drop() {
    clearTimeout(this.#timer);
    this.#stream?.abort();
    this.#stream = null;
  }

  async #connect() {
    this.#drop();
    const stream = new AbortController();
    this.#stream = stream;
    if (this.#state === "waiting") this.#tellState("connecting");
    this.#expectSoon(stream);
    try {
      for await (const frame of this.#frames(
        this.#http,
        this.#query(),
        [...this.#subscriptions.keys()],
        stream.signal,
      )) {
        if (this.#stream !== stream) return;
        this.#heardMs = Date.now();
        if (frame.retryMs !== null) this.#retryMs = frame.retryMs;
        if (frame.data !== null) this.#tell(JSON.parse(frame.data), frame.id);
        if (this.#stream === stream) this.#expectSoon(stream);
      }
      if (this.#stream === stream) this.#comeBack();
    } catch (error) {
      if (!(error instanceof Problem)) queueMicrotask(() => report(error));
      if (this.#stream === stream) await this.#fail(error instanceof Problem ? error : unreachable(error), stream);
    }
  }

  #query() {
    const query = new URLSearchParams({ unit: "utf16", snapshot: "false", client_id: this.#http.clientId });
    for (const [ref, { lastId }] of this.#subscriptions) {
      query.append("ref", ref);
      if (lastId !== "") query.append("last_event_id", lastId);
    }
    return `/api/v2/ops:listen?${query}`;
  }

  /** @param {any} event @param {string} id */
  #tell(event, id) {
    if (event.type === "bye") {
      this.#retryMs = event.reason === "revoked" ? REVOKED_MS : (event.retry_ms ?? this.#retryMs);
      for (const { subscriber, lastId } of [...this.#subscriptions.values()]) subscriber.event(event, lastId);
      return;
    }
    this.#backOff.reset();
    this.#heartbeatMs = event.heartbeat_ms ?? this.#heartbeatMs;
    this.#tellState("open");
    const subscription = this.#subscriptions.get(event.canvas);
    if (subscription === undefined) return;
    const hasId = id !== "" && id.startsWith(`${event.canvas}:`);
    if (hasId) subscription.lastId = id;
    if (ENDS.includes(event.type)) this.#subscriptions.delete(event.canvas);
    subscription.subscriber.event(event, subscription.lastId);
  }

  /** @param {ConnectionState} state */
  #tellState(state) {
    if (state === this.#state) return;
    this.#state = state;
    for (const { subscriber } of [...this.#subscriptions.values()]) subscriber.state(state);
  }

  /** @param {AbortController} stream */
  #expectSoon(stream) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (this.#stream !== stream) return;
      this.#tellState("waiting");
      this.#connect();
    }, this.#heartbeatMs * HEARTBEATS_MISSED_MAX);
  }

  /** @param {Problem} problem @param {AbortController} stream */
  async #fail(problem, stream) {
    clearTimeout(this.#timer);
    const mayBeGone = GONE.includes(problem.status) || (problem.status === 0 && !this.#tellsRefusal);
    const isOver = mayBeGone && (await this.#findGone());
    if (this.#stream !== stream) return;
    if (isOver && this.#subscriptions.size > 0) this.#connect();
    else this.#comeBack(problem);
  }

  /** One canvas that may not be read closes the stream for all. @returns {Promise<boolean>} whether it was found */
  async #findGone() {
    const before = this.#subscriptions.size;
    const asked = [...this.#subscriptions].map(async ([ref, subscription]) => {
      try {
        await this.#http.request("GET", `/api/v2/canvas/${encodeURIComponent(ref)}/ops?limit=1`);
      } catch (error) {
        if (!(error instanceof Problem) || !GONE.includes(error.status)) return;
        if (this.#subscriptions.get(ref) !== subscription) return;
        this.#subscriptions.delete(ref);
        subscription.subscriber.gone(error);
      }
    });
    await Promise.all(asked);
    return this.#subscriptions.size < before;
  }

  /** @param {Problem} [problem] */
  #comeBack(problem) {
    this.#drop();
    if (this.#subscriptions.size === 0) return;
    const isFirst = this.#state === "open";
    this.#tellState("waiting");
    const waitMs = this.#backOff.next(problem?.retryAfterMs ?? null);
    // The server's own wait spreads those that it sent away; who lost it by accident need not heed it.
    const ms = isFirst && problem === undefined && this.#retryMs !== null ? this.#retryMs : waitMs;
    this.#timer = setTimeout(() => this.#connect(), ms);
  }
}

/** A mistake of a program is told as one, and does not end the stream. @param {unknown} error */
function report(error) {
  throw error;
}
