/**
 * The text at any version: asked of the server once for a page of the history, and moved from there by its changes,
 * forward and backward.
 */

import { PAGE_OPS, PastGone } from "./past.js";

/**
 * @typedef {import("./authors.js").Change} Change
 * @typedef {import("./past.js").Ack} Ack
 * @typedef {{seq: number, text: string, before: string, ack: Ack|null}} Moment before: the text that the ack met;
 *   ack: null at the beginning of the history
 */

export class Timeline {
  /** @type {{seq: number, text: string}|null} where one is */ #here = null;
  /** @type {Map<number, Change[]>} by the version they lead back from, as far as the texts are known */ #back = new Map();
  #turn = 0;
  #past;

  /** @param {import("./past.js").Past} past */
  constructor(past) {
    this.#past = past;
  }

  get oldest() {
    return this.#past.floor;
  }

  get newest() {
    return this.#past.head;
  }

  /**
   * Go to a version.
   *
   * @param {number} seq
   * @returns {Promise<Moment|null>} null: another was asked for meanwhile
   * @throws {import("./past.js").PastGone}
   */
  async go(seq) {
    this.#turn += 1;
    const turn = this.#turn;
    if (seq < this.#past.floor) throw new PastGone(`version ${seq}`);
    const acks = seq === this.#past.floor ? [] : await this.#past.page(seq);
    const start = startOf(seq, this.#past.floor);
    if (turn === this.#turn && !this.#canWalk(seq, start)) await this.#enter(start, acks, turn);
    if (turn !== this.#turn) return null;
    this.#walk(seq, acks, start);
    return this.#momentOf(seq, acks[seq - 1 - start] ?? null);
  }

  /** @param {number} start @param {Ack[]} acks that follow it @param {number} turn */
  async #enter(start, acks, turn) {
    const { content, version } = await this.#past.text(start);
    if (acks.length > 0 && acks[0].base_version !== version) throw new PastGone(`version ${start}`);
    if (turn === this.#turn) this.#here = { seq: start, text: content };
  }

  /** @param {number} seq @param {number} start of its page */
  #canWalk(seq, start) {
    if (this.#here === null) return false;
    const { seq: now } = this.#here;
    if (now < start || now > start + PAGE_OPS) return false;
    return now <= seq || this.#knowsTheWayBack(now, seq);
  }

  /** @param {number} from @param {number} to */
  #knowsTheWayBack(from, to) {
    for (let seq = from; seq > to; seq -= 1) if (!this.#back.has(seq)) return false;
    return true;
  }

  /** @param {number} seq @param {Ack[]} acks of its page @param {number} start */
  #walk(seq, acks, start) {
    let { seq: now, text } = this.#here ?? { seq: start, text: "" };
    for (; now > seq; now -= 1) text = replayed(text, this.#back.get(now) ?? []);
    for (; now < seq; now += 1) {
      const { changes } = acks[now - start];
      this.#back.set(now + 1, inverseOf(text, changes));
      text = replayed(text, changes);
    }
    this.#here = { seq, text };
  }

  /** @param {number} seq @param {Ack|null} ack @returns {Moment} */
  #momentOf(seq, ack) {
    const text = this.#here?.text ?? "";
    return { seq, text, before: ack === null ? text : replayed(text, this.#back.get(seq) ?? []), ack };
  }
}

/**
 * @param {string} text
 * @param {Change[]} changes one after the other, each in the coordinates left by the one before
 * @returns {string}
 */
export function replayed(text, changes) {
  return changes.reduce((before, { from, to, insert }) => before.slice(0, from) + insert + before.slice(to), text);
}

/**
 * @param {string} text the one before the changes
 * @param {Change[]} changes
 * @returns {Change[]} what leads back
 */
export function inverseOf(text, changes) {
  /** @type {Change[]} */
  const inverse = [];
  for (const change of changes) {
    const { from, to, insert } = change;
    inverse.unshift({ from, to: from + insert.length, insert: text.slice(from, to) });
    text = replayed(text, [change]);
  }
  return inverse;
}

/** @param {number} seq @param {number} floor @returns {number} the version before the first operation of its page */
function startOf(seq, floor) {
  return Math.max(floor, Math.floor(Math.max(0, seq - 1) / PAGE_OPS) * PAGE_OPS);
}
