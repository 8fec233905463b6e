/**
 * The history of one canvas as far as it was asked for: acks in pages, read once and kept.
 *
 * Rule: a page is whole or it is read again. The newest one grows with each ack that is heard.
 */

/** A page is read and shown without a wait that one notices. */
export const PAGE_OPS = 500;
/** So many pages of acks stay in memory; those that were not asked for lately go. */
const PAGES_MAX = 200;

/**
 * @typedef {import("./authors.js").Change} Change
 * @typedef {{op_id: string, server_version: string, base_version: string, changes: Change[], actor: string,
 *   kind: string, client_id: string|null, timestamp: number, action: string, meta?: Record<string, string>,
 *   reverts?: string}} Ack
 * @typedef {object} Source
 * @property {(after: number, limit: number) => Promise<Ack[]>} ops
 * @property {(seq: number) => Promise<{content: string, version: string}>} text
 */

/** What was asked for is in the history no more: a setting of the server cuts it. */
export class PastGone extends Error {}

/** @param {string} version the ETag @returns {number} */
export function seqOf(version) {
  return Number(/^W\/"(\d+)-/.exec(version)?.[1] ?? Number.NaN);
}

export class Past {
  /** @type {Map<number, Ack[]>} by the number of the page, the one asked for last at the end */ #pages = new Map();
  /** @type {Map<number, Promise<Ack[]>>} that are being read */ #asked = new Map();
  /** the newest version there is */ #head;
  /** @type {number} the oldest version there is, as far as is known */ #floor = 0;
  #source;

  /** @param {Source} source refuses what is gone with a status of 404 @param {number} head */
  constructor(source, head) {
    this.#source = source;
    this.#head = head;
  }

  get head() {
    return this.#head;
  }

  get floor() {
    return this.#floor;
  }

  /** @param {Ack} ack heard on the stream */
  add(ack) {
    const seq = seqOf(ack.server_version);
    if (seq !== this.#head + 1) return;
    this.#head = seq;
    const number = pageOf(seq);
    if ((seq - 1) % PAGE_OPS === 0) this.#keep(number, []);
    const page = this.#pages.get(number);
    if (page !== undefined && page.length === (seq - 1) % PAGE_OPS) page.push(ack);
  }

  /** Operations were applied that were not heard one by one. @param {number} head */
  reach(head) {
    this.#head = Math.max(this.#head, head);
  }

  /**
   * @param {number} seq from 1
   * @returns {Promise<Ack[]>} the page with the operation that made this version, oldest first; at its end the history
   *   may have gone on
   * @throws {PastGone}
   */
  async page(seq) {
    const number = pageOf(seq);
    // What was being read already may have been answered before this version came.
    for (let attempt = 0; attempt < 2; attempt += 1) {
      const acks = await this.#current(number, seq);
      if (this.#endOf(number, acks) >= seq) return acks;
    }
    throw new PastGone(`version ${seq}`);
  }

  /** @param {number} number @param {number} seq @returns {Promise<Ack[]>} */
  async #current(number, seq) {
    const held = this.#pages.get(number);
    const end = Math.min(this.#head, (number + 1) * PAGE_OPS);
    if (held !== undefined && this.#endOf(number, held) >= end) {
      this.#keep(number, held);
      return held;
    }
    const asked = this.#asked.get(number) ?? this.#ask(number, seq);
    this.#asked.set(number, asked);
    return asked;
  }

  /** @param {number} count @returns {Promise<Ack[]>} the newest, in order: so many, whole pages, or all there are */
  async newest(count) {
    /** @type {Ack[]} */
    let acks = [];
    for (let seq = this.#head; seq > this.#floor && acks.length < count; ) {
      const page = await this.page(seq);
      if (page.length === 0) break;
      acks = [...page, ...acks];
      seq = seqOf(page[0].base_version);
    }
    return acks;
  }

  /** @param {number} seq @returns {Promise<{content: string, version: string}>} @throws {PastGone} */
  async text(seq) {
    try {
      return await this.#source.text(seq);
    } catch (error) {
      if (isGone(error)) throw new PastGone(`version ${seq}`, { cause: error });
      throw error;
    }
  }

  /** @param {number} number @param {number} seq @returns {Promise<Ack[]>} */
  async #ask(number, seq) {
    try {
      const acks = await this.#read(number, seq);
      this.#keep(number, acks);
      this.#head = Math.max(this.#head, this.#endOf(number, acks));
      return acks;
    } finally {
      this.#asked.delete(number);
    }
  }

  /** @param {number} number @param {number} seq @returns {Promise<Ack[]>} */
  async #read(number, seq) {
    if (seq <= this.#floor) throw new PastGone(`version ${seq}`);
    const start = Math.max(this.#floor, number * PAGE_OPS);
    try {
      return await this.#source.ops(start, (number + 1) * PAGE_OPS - start);
    } catch (error) {
      if (!isGone(error)) throw error;
    }
    await this.#findFloor(start);
    return this.#read(number, seq);
  }

  /**
   * Find the oldest version there is, in some questions: it is looked for between one that is gone and the newest.
   *
   * @param {number} gone
   */
  async #findFloor(gone) {
    let [low, high] = [gone, Math.max(this.#head, gone + 1)];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (await this.#isThere(middle)) high = middle;
      else low = middle;
    }
    this.#floor = high;
  }

  /** @param {number} seq */
  async #isThere(seq) {
    try {
      await this.#source.ops(seq, 1);
      return true;
    } catch (error) {
      if (isGone(error)) return false;
      throw error;
    }
  }

  /** @param {number} number @param {Ack[]} acks */
  #keep(number, acks) {
    this.#pages.delete(number);
    this.#pages.set(number, acks);
    const [oldest] = this.#pages.keys();
    if (this.#pages.size > PAGES_MAX) this.#pages.delete(oldest);
  }

  /** @param {number} number @param {Ack[]} acks @returns {number} the version at the end of a page that is held */
  #endOf(number, acks) {
    return acks.length === 0 ? number * PAGE_OPS : seqOf(acks[acks.length - 1].server_version);
  }
}

/** @param {number} seq */
function pageOf(seq) {
  return Math.floor((seq - 1) / PAGE_OPS);
}

/** @param {unknown} error */
function isGone(error) {
  return error instanceof Error && /** @type {{status?: number}} */ (error).status === 404;
}
