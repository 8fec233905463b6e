/**
 * One event stream for all tabs of a browser: one tab leads, keeps the connection, and tells the others what it hears.
 *
 * Rule: whoever holds the lock leads; the browser gives it to another tab when that one closes. A new leader asks all
 * what they listen to. Nobody relies on having been told everything: a tab whose last event is another than the
 * stream's is told that it was not resumed, and reads what it missed.
 */

import { ENDS } from "./connection.js";
import { Problem } from "./problem.js";

/** Without a word of the leader for three heartbeats, it is taken to be frozen. */
const SILENCE_MS = 45_000;
const WORD_MS = 15_000;

/**
 * @typedef {import("./connection.js").Connection} Connection
 * @typedef {import("./connection.js").ConnectionState} ConnectionState
 * @typedef {import("./connection.js").Subscriber} Subscriber
 *
 * @typedef {{to: string, type: "leads"|"hello"|"listen"|"leave"|"event"|"state"|"gone"|"unauthorized"|"wake", tab?: string, ref?: string,
 *   lastId?: string, event?: any, state?: ConnectionState, problem?: any, silenceMs?: number}} Message `to` is a tab,
 *   `tabs` or `leader`
 */

/** @returns {boolean} whether tabs can share a stream here: not in Node, nor where a page came over bare HTTP */
export function canShare() {
  const { document, navigator, BroadcastChannel, crypto } = globalThis;
  return [document, navigator?.locks, BroadcastChannel, crypto?.subtle].every((needed) => needed !== undefined);
}

/**
 * @param {string} url
 * @param {string|null} token
 * @returns {Promise<string>} the same for all tabs with the same rights, from which the token cannot be told
 */
export async function sharedName(url, token) {
  const bytes = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(`${url}\n${token ?? ""}`));
  return `canvas-server:${Array.from(new Uint8Array(bytes).slice(0, 16), (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

export class SharedConnection {
  /** @type {Map<string, {subscriber: Subscriber, lastId: string}>} of this tab */ #subscriptions = new Map();
  /** @type {BroadcastChannel|null} */ #channel = null;
  /** @type {Lead|null} while this tab leads */ #lead = null;
  /** @type {ConnectionState} */ #state = "connecting";
  /** @type {ReturnType<typeof setTimeout>|undefined} */ #watch;
  #end = new AbortController();
  #tab = crypto.randomUUID();
  #connect;
  #name;

  /**
   * @param {Promise<string>} name that tabs with the same rights share
   * @param {() => Connection} connect makes the connection of a leader
   */
  constructor(name, connect) {
    this.#name = name;
    this.#connect = connect;
    this.#begin();
  }

  get state() {
    return this.#state;
  }

  /**
   * @param {string} ref
   * @param {Subscriber} subscriber
   * @param {string} [lastId]
   * @returns {() => void} as `Connection.subscribe` does
   */
  subscribe(ref, subscriber, lastId = "") {
    const subscription = { subscriber, lastId };
    this.#subscriptions.set(ref, subscription);
    this.#say({ to: "leader", type: "listen", ref, lastId });
    return () => {
      if (this.#subscriptions.get(ref) !== subscription) return;
      this.#subscriptions.delete(ref);
      this.#say({ to: "leader", type: "leave", ref });
    };
  }

  /** @param {number} [silenceMs] */
  wake(silenceMs = 0) {
    this.#say({ to: "leader", type: "wake", silenceMs });
  }

  /** The credentials, which all tabs have, are not good. @param {Problem} problem */
  unauthorized(problem) {
    if (this.#lead !== null) this.#channel?.postMessage({ to: "tabs", type: "unauthorized", problem: told(problem) });
  }

  close() {
    this.#subscriptions.clear();
    this.#say({ to: "leader", type: "leave" });
    clearTimeout(this.#watch);
    this.#lead?.close();
    this.#lead = null;
    this.#end.abort();
    this.#channel?.close();
    this.#channel = null;
  }

  /** The lock of a tab tells the leader that it lives; only then it may be heard of. */
  async #begin() {
    const name = await this.#name;
    if (this.#end.signal.aborted) return;
    const channel = new BroadcastChannel(name);
    channel.onmessage = ({ data }) => this.#hear(data);
    const held = new Promise((resolve) => this.#end.signal.addEventListener("abort", resolve));
    await new Promise((resolve) => {
      navigator.locks.request(`${name}:${this.#tab}`, () => (resolve(undefined), held));
    });
    if (this.#end.signal.aborted) return channel.close();
    this.#channel = channel;
    this.#tellWishes();
    this.#expectWord();
    this.#tryToLead(name, { signal: this.#end.signal });
  }

  /** @param {string} name @param {LockOptions} options */
  async #tryToLead(name, options) {
    try {
      await navigator.locks.request(`${name}:leader`, options, () => this.#leadOn(name));
    } catch (error) {
      if (!(error instanceof DOMException)) throw error;
      this.#stopLeading();
      if (!this.#end.signal.aborted) this.#tryToLead(name, { signal: this.#end.signal });
    }
  }

  /** @param {string} name @returns {Promise<unknown>} until this tab ends */
  #leadOn(name) {
    clearTimeout(this.#watch);
    const lead = new Lead(name, this.#connect(), (message) => this.#tell(message));
    this.#lead = lead;
    this.#tellWishes();
    this.#channel?.postMessage({ to: "tabs", type: "leads" });
    return new Promise((resolve) => this.#end.signal.addEventListener("abort", resolve));
  }

  /** Another tab took the lock away: it took this one to be frozen. */
  #stopLeading() {
    this.#lead?.close();
    this.#lead = null;
    if (!this.#end.signal.aborted) this.#tellWishes();
  }

  #tellWishes() {
    for (const [ref, { lastId }] of this.#subscriptions) this.#say({ to: "leader", type: "listen", ref, lastId });
  }

  /** @param {Message} message to the leader */
  #say(message) {
    const said = { ...message, tab: this.#tab };
    if (this.#lead !== null) this.#lead.hear(said);
    else this.#channel?.postMessage(said);
  }

  /** What the leader, which this is, tells all or one. @param {Message} message */
  #tell(message) {
    if (message.to !== this.#tab) this.#channel?.postMessage(message);
    if (message.to === "tabs" || message.to === this.#tab) this.#heed(message);
  }

  /** @param {Message} message of another tab */
  #hear(message) {
    if (message.to === "leader") return this.#lead?.hear(message);
    if (this.#lead !== null || (message.to !== "tabs" && message.to !== this.#tab)) return;
    this.#expectWord();
    this.#heed(message);
  }

  /** @param {Message} message of the leader */
  #heed({ type, ref = "", event, lastId = "", state, problem }) {
    const subscription = this.#subscriptions.get(ref);
    // Who hears that the leader lives, and yet of no stream, asked when nobody heard it.
    if (type === "leads" || (type === "hello" && this.#lead === null && this.#state !== "open")) this.#tellWishes();
    if (type === "unauthorized")
      for (const { subscriber } of [...this.#subscriptions.values()]) subscriber.unauthorized?.(new Problem(problem));
    if (type === "state" && state !== undefined) this.#tellState(state);
    if (type === "event" && subscription !== undefined) {
      subscription.lastId = lastId;
      if (ENDS.includes(event.type)) this.#subscriptions.delete(ref);
      subscription.subscriber.event(event, lastId);
    }
    if (type === "gone" && subscription !== undefined) {
      this.#subscriptions.delete(ref);
      subscription.subscriber.gone(new Problem(problem));
    }
  }

  /** @param {ConnectionState} state */
  #tellState(state) {
    if (state === this.#state) return;
    this.#state = state;
    for (const { subscriber } of [...this.#subscriptions.values()]) subscriber.state(state);
  }

  #expectWord() {
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => this.#takeLead(), SILENCE_MS);
  }

  async #takeLead() {
    if (this.#lead === null && this.#subscriptions.size > 0) this.#tryToLead(await this.#name, { steal: true });
  }
}

/** What the leading tab keeps for all. */
class Lead {
  /** @type {Map<string, Shared>} by ref */ #canvases = new Map();
  /** @type {Set<string>} tabs that were heard of */ #tabs = new Set();
  /** Says that this tab lives, also while the server says nothing. */ #word;
  #name;
  #connection;
  #tell;

  /** @param {string} name @param {Connection} connection @param {(message: Message) => void} tell */
  constructor(name, connection, tell) {
    this.#name = name;
    this.#connection = connection;
    this.#tell = tell;
    this.#word = setInterval(() => tell({ to: "tabs", type: "hello" }), WORD_MS);
  }

  close() {
    clearInterval(this.#word);
    this.#canvases.clear();
    this.#connection.close();
  }

  /** @param {Message} message of a tab, this one included */
  hear({ type, tab = "", ref, lastId = "", silenceMs }) {
    if (type === "wake") this.#connection.wake(silenceMs);
    if (type === "listen" && ref !== undefined) this.#listen(tab, ref, lastId);
    if (type === "leave") this.#leave(tab, ref === undefined ? [...this.#canvases.keys()] : [ref]);
  }

  /** @param {string} tab @param {string} ref @param {string} lastId */
  #listen(tab, ref, lastId) {
    this.#awaitEnd(tab);
    const known = this.#canvases.get(ref);
    if (known === undefined) return this.#begin(tab, ref, lastId);
    known.tabs.add(tab);
    if (this.#connection.state !== "open" || known.start === null) {
      known.isUneven ||= lastId !== known.lastId;
      return;
    }
    this.#tell({ to: tab, type: "state", state: "open" });
    const events = [{ ...known.start, resumed: lastId !== "" && lastId === known.lastId }, ...known.presences.values()];
    for (const event of events) this.#tell({ to: tab, type: "event", ref, event, lastId: known.lastId });
  }

  /** @param {string} tab @param {string} ref @param {string} lastId */
  #begin(tab, ref, lastId) {
    /** @type {Shared} */
    const shared = { tabs: new Set([tab]), start: null, presences: new Map(), lastId, isUneven: false, stop: () => {} };
    this.#canvases.set(ref, shared);
    const subscriber = {
      event: (/** @type {any} */ event, /** @type {string} */ id) => this.#pass(shared, ref, event, id),
      state: (/** @type {ConnectionState} */ state) => this.#tell({ to: "tabs", type: "state", state }),
      gone: (/** @type {Problem} */ problem) => this.#gone(ref, problem),
    };
    shared.stop = this.#connection.subscribe(ref, subscriber, lastId);
  }

  /** @param {Shared} shared @param {string} ref @param {any} event @param {string} id */
  #pass(shared, ref, event, id) {
    shared.lastId = id;
    if (ENDS.includes(event.type)) this.#canvases.delete(ref);
    if (event.type === "presence") shared.presences.set(event.client_id, event);
    if (event.type === "ack" && shared.start !== null && event.duplicate !== true)
      shared.start = { ...shared.start, server_version: event.server_version };
    if (event.type === "start") {
      shared.start = event;
      shared.presences.clear();
      if (shared.isUneven) event = { ...event, resumed: false };
      shared.isUneven = false;
      this.#tell({ to: "tabs", type: "state", state: "open" });
    }
    this.#tell({ to: "tabs", type: "event", ref, event, lastId: id });
  }

  /** @param {string} ref @param {Problem} problem */
  #gone(ref, problem) {
    this.#canvases.delete(ref);
    this.#tell({ to: "tabs", type: "gone", ref, problem: told(problem) });
  }

  /** @param {string} tab @param {string[]} refs */
  #leave(tab, refs) {
    for (const ref of refs) {
      const shared = this.#canvases.get(ref);
      if (shared === undefined || !shared.tabs.delete(tab) || shared.tabs.size > 0) continue;
      this.#canvases.delete(ref);
      shared.stop();
    }
  }

  /** The lock of a tab is free when it is gone, in whatever way. @param {string} tab */
  #awaitEnd(tab) {
    if (this.#tabs.has(tab)) return;
    this.#tabs.add(tab);
    navigator.locks.request(`${this.#name}:${tab}`, { mode: "shared" }, () => {
      this.#tabs.delete(tab);
      this.#leave(tab, [...this.#canvases.keys()]);
    });
  }
}

/** A problem loses its class on the way to another tab; what it says stays. @param {Problem} problem */
function told({ status, code, message, hint, retryAfterMs, facts }) {
  return { status, code, message, hint, retryAfterMs, facts };
}

/**
 * @typedef {object} Shared a canvas that at least one tab listens to
 * @property {Set<string>} tabs
 * @property {any} start the event with which the stream began
 * @property {Map<string, any>} presences the newest of each client, for those who come later
 * @property {string} lastId
 * @property {boolean} isUneven whether tabs heard different events last
 * @property {() => void} stop
 */
