/**
 * The text at any version: asked of the server once for a page of the history, and moved from there by its changes,
 * forward and backward.
 */

import { PAGE_OPS } from "./past.js";

/**
 * @typedef {import("./authors.js").Change} Change
 * @typedef {import("./past.js").Ack} Ack
 * @typedef {{seq: number, text: string, ack: Ack|null, marks: Mark[]}} Moment ack: null at the beginning of the
 *   history; the marks are what that ack did
 * @typedef {{at: number, inserted: number, removed: string}} Mark `inserted` units at `at` took the place of `removed`
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

  /** Another history: nothing that was known holds. */
  forget() {
    this.#turn += 1;
    this.#here = null;
    this.#back.clear();
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
    const acks = seq === 0 ? [] : await this.#past.page(seq);
    const start = startOf(seq, this.#past.floor);
    if (!this.#canWalk(seq, start)) {
      const text = await this.#past.text(start);
      if (turn !== this.#turn) return null;
      this.#here = { seq: start, text };
    }
    if (turn !== this.#turn) return null;
    this.#walk(seq, acks, start);
    return this.#momentOf(seq, acks[seq - 1 - start] ?? null);
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
    return { seq, text, ack, marks: ack === null ? [] : marksOf(ack.changes, this.#back.get(seq) ?? []) };
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

/**
 * What changes did, in the coordinates of the text after all of them, in its order.
 *
 * @param {Change[]} changes
 * @param {Change[]} inverse
 * @returns {Mark[]}
 */
export function marksOf(changes, inverse) {
  /** @type {Mark[]} */
  let marks = [];
  changes.forEach(({ from, to, insert }, index) => {
    const { insert: removed } = inverse[inverse.length - 1 - index];
    const growth = insert.length - (to - from);
    marks = marks.map((mark) => (mark.at >= to ? { ...mark, at: mark.at + growth } : mark));
    marks.push({ at: from, inserted: insert.length, removed });
  });
  return marks.sort((one, other) => one.at - other.at);
}

/** @param {number} seq @param {number} floor @returns {number} the version before the first operation of its page */
function startOf(seq, floor) {
  return Math.max(floor, Math.floor(Math.max(0, seq - 1) / PAGE_OPS) * PAGE_OPS);
}
