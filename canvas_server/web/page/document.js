/**
 * The text of one canvas as this page knows it, kept equal to the server's by following its events.
 *
 * Rule: an ack is applied only to the very version it was made from. Whatever does not fit (a gap, a change
 * outside the text, a heartbeat that tells of another text) is healed by reading the canvas again, never guessed.
 * Offsets count UTF-16 units, as JavaScript strings do: the stream is asked for `unit=utf16`.
 */

import { crc32 } from "../client/crc32.js";

/** Acks kept while a read is under way; more than that and they are dropped: a later heartbeat shows the gap. */
const HELD_MAX = 1000;

/**
 * @typedef {{from: number, to: number, insert: string}} Change
 * @typedef {{version: string, content: string}} State the canvas as a GET answers it
 * @typedef {{type: string, server_version?: string, base_version?: string, changes?: Change[], content?: string,
 *   content_url?: string, crc32?: number, duplicate?: boolean}} StreamEvent only what this module reads
 * @typedef {"replaced"|"applied"|"known"|"gap"|"drift"|"waiting"|"same"|"late"|"ignored"} Reception
 *
 * @typedef {object} Observer
 * @property {(text: string) => void} replaced the whole text is new
 * @property {(changes: Change[]) => void} changed these were applied one after the other
 * @property {(reason: "gap"|"drift"|"large") => void} reading a read has begun, and why
 * @property {(error: unknown) => void} failed the read failed; the next heartbeat tries again
 */

/**
 * Count applied operations from a version.
 *
 * @param {string|null} version the ETag `W/"<seq>-<chain>"`
 * @returns {number} -1 when it is no version
 */
export function sequenceOf(version) {
  const match = /^W\/"(\d+)-/.exec(version ?? "");
  return match === null ? -1 : Number(match[1]);
}

/**
 * Apply changes one after the other, each in the coordinates left by the one before.
 *
 * @param {string} text
 * @param {Change[]} changes
 * @returns {string}
 * @throws {RangeError} when one lies outside the text
 */
export function applyChanges(text, changes) {
  return changes.reduce((before, { from, to, insert }) => {
    if (from < 0 || from > to || to > before.length) {
      throw new RangeError(`change ${from}..${to} lies outside a text of ${before.length}`);
    }
    return before.slice(0, from) + insert + before.slice(to);
  }, text);
}

export class LiveDocument {
  /** @type {string} */ #text = "";
  /** @type {string|null} */ #version = null;
  /** @type {StreamEvent[]} */ #held = [];
  /** @type {symbol|null} names the read under way; a newer snapshot takes its place */ #reading = null;
  /** true after a failed read: acks cannot fit until a heartbeat has compared */ #stale = false;
  #load;
  #observer;

  /**
   * @param {(url: string|null) => Promise<State>} load reads the canvas: as it is now, or from a `content_url`
   * @param {Observer} observer
   */
  constructor(load, observer) {
    this.#load = load;
    this.#observer = observer;
  }

  get text() {
    return this.#text;
  }

  /** The version of `text`; null before the first snapshot. */
  get version() {
    return this.#version;
  }

  /**
   * Take one event of the stream, in its order.
   *
   * @param {StreamEvent} event
   * @returns {Reception} what became of it
   */
  receive(event) {
    switch (event.type) {
      case "snapshot":
        return this.#begin(event);
      case "ack":
        return this.#reading === null ? this.#follow(event) : this.#hold(event);
      case "heartbeat":
        return this.#reading === null ? this.#compare(event) : "waiting";
      default:
        return "ignored";
    }
  }

  /** @param {StreamEvent} snapshot @returns {Reception} */
  #begin(snapshot) {
    this.#held = [];
    const { server_version: version = "", content, content_url: url = null } = snapshot;
    if (content === undefined) {
      this.#read("large", url);
      return "waiting";
    }
    this.#reading = null;
    this.#replace({ version, content });
    return "replaced";
  }

  /** @param {StreamEvent} ack @returns {Reception} */
  #follow(ack) {
    if (this.#isKnown(ack)) return "known";
    if (this.#apply(ack)) return "applied";
    if (!this.#stale) this.#read("gap");
    return "gap";
  }

  /**
   * The answer to an op sent twice is told again with its first version, and a read may have overtaken the stream.
   *
   * @param {StreamEvent} ack
   */
  #isKnown(ack) {
    const behind = sequenceOf(ack.server_version ?? null) - sequenceOf(this.#version);
    return ack.duplicate === true || ack.server_version === this.#version || behind < 0;
  }

  /** @param {StreamEvent} ack @returns {boolean} false when it does not fit, and then nothing has changed */
  #apply(ack) {
    if (ack.base_version !== this.#version) return false;
    const changes = ack.changes ?? [];
    try {
      this.#text = applyChanges(this.#text, changes);
    } catch (error) {
      if (error instanceof RangeError) return false;
      throw error;
    }
    this.#version = ack.server_version ?? null;
    this.#observer.changed(changes);
    return true;
  }

  /** @param {StreamEvent} heartbeat @returns {Reception} */
  #compare(heartbeat) {
    const ahead = sequenceOf(heartbeat.server_version ?? null) - sequenceOf(this.#version);
    if (ahead < 0) return "late";
    const sameVersion = heartbeat.server_version === this.#version;
    if (sameVersion && crc32(this.#text) === heartbeat.crc32) {
      this.#stale = false;
      return "same";
    }
    const reason = ahead > 0 ? "gap" : "drift";
    this.#read(reason);
    return reason;
  }

  /** @param {StreamEvent} ack @returns {Reception} */
  #hold(ack) {
    if (this.#held.length < HELD_MAX) this.#held.push(ack);
    return "waiting";
  }

  /**
   * @param {"gap"|"drift"|"large"} reason
   * @param {string|null} [url]
   */
  async #read(reason, url = null) {
    const reading = Symbol(reason);
    this.#reading = reading;
    this.#observer.reading(reason);
    let state;
    try {
      state = await this.#load(url);
    } catch (error) {
      if (this.#reading === reading) this.#giveUp(error);
      return;
    }
    if (this.#reading === reading) this.#catchUp(state);
  }

  /**
   * What was held while reading is older than the state, or stands on it. What still does not fit waits for a
   * heartbeat: reading again at once could go on forever against a server that answers with an old text.
   *
   * @param {State} state
   */
  #catchUp(state) {
    const held = this.#held;
    this.#held = [];
    this.#reading = null;
    this.#replace(state);
    this.#stale = held.some((ack) => !this.#isKnown(ack) && !this.#apply(ack));
  }

  /** @param {unknown} error */
  #giveUp(error) {
    this.#held = [];
    this.#reading = null;
    this.#stale = true;
    this.#observer.failed(error);
  }

  /** @param {State} state */
  #replace({ version, content }) {
    this.#text = content;
    this.#version = version;
    this.#stale = false;
    this.#observer.replaced(content);
  }
}
