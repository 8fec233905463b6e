/**
 * Who wrote what in the open canvas: followed from the moment it is asked for, and read backwards from there.
 *
 * Rule: the ranges are of the text on screen, own words that are not sent yet included.
 */

import { Authors, writerOf } from "./authors.js";
import { settledOrClosed } from "./canvases.js";
import { PastGone, seqOf } from "./past.js";

/** What is older than so many operations is not looked for. */
const OPS_MAX = 50_000;

/**
 * @typedef {import("./authors.js").AuthorRange} AuthorRange
 * @typedef {import("./past.js").Past} Past
 * @typedef {import("./retraction.js").OpenCanvas} OpenCanvas
 */

export class Authorship {
  /** @type {Authors|null} null: it is not followed yet */ #authors = null;
  #isReading = false;
  #isStopped = false;
  /** @type {(() => void)[]} */ #offs = [];
  #canvas;
  #past;
  #self;
  #changed;

  /**
   * @param {OpenCanvas} canvas
   * @param {Past} past
   * @param {() => import("./authors.js").Writer} self who writes in this tab, now
   * @param {() => void} changed there are other ranges
   */
  constructor(canvas, past, self, changed) {
    this.#canvas = canvas;
    this.#past = past;
    this.#self = self;
    this.#changed = changed;
  }

  /** Whether older pages are on their way. */
  get isReading() {
    return this.#isReading;
  }

  /** @returns {AuthorRange[]} in order; none before the text is followed */
  get ranges() {
    return this.#authors?.ranges() ?? [];
  }

  /** Follow the text, and read who wrote it before. @throws {import("./http.js").Problem} the history cannot be read */
  async start() {
    this.#isReading = true;
    try {
      const begun = await this.#follow();
      if (begun !== null) await this.#readBackwards(begun);
    } finally {
      this.#isReading = false;
      if (!this.#isStopped) this.#changed();
    }
  }

  /** Names have changed, and no ranges. */
  tell() {
    if (this.#authors !== null) this.#changed();
  }

  stop() {
    this.#isStopped = true;
    for (const off of this.#offs) off();
  }

  /** It begins where the text on screen is the server's: between the two there are no words to be told apart. */
  async #follow() {
    while (this.#canvas.pendingCount > 0) if (!(await settledOrClosed(this.#canvas))) return null;
    if (this.#isStopped) return null;
    const authors = new Authors(this.#canvas.text.length);
    this.#authors = authors;
    this.#offs.push(this.#canvas.on("change", (told) => this.#follows(authors, told)));
    return { authors, length: authors.length, base: seqOf(this.#canvas.version) };
  }

  /** @param {Authors} authors @param {{changes: import("./authors.js").Change[], origin: string, event: any}} told */
  #follows(authors, { changes, origin, event }) {
    if (origin === "local") authors.apply(changes, this.#self());
    else authors.apply(changes, event?.type === "ack" ? writerOf(event) : null);
    this.#changed();
  }

  /** @param {{authors: Authors, length: number, base: number}} begun with a text of that length, at version `base` */
  async #readBackwards({ authors, length, base }) {
    for (let seq = base; seq > Math.max(this.#past.floor, base - OPS_MAX) && authors.isOpen; ) {
      const acks = await this.#pageUpTo(seq);
      if (this.#isStopped || acks.length === 0) return;
      length -= growthOf(acks);
      const older = new Authors(length);
      for (const ack of acks) older.apply(ack.changes, writerOf(ack));
      authors.resolve(older);
      seq -= acks.length;
      this.#changed();
    }
  }

  /** @param {number} seq @returns {Promise<import("./past.js").Ack[]>} none where the history ends */
  async #pageUpTo(seq) {
    try {
      const page = await this.#past.page(seq);
      return page.filter(({ server_version: version }) => seqOf(version) <= seq);
    } catch (error) {
      if (error instanceof PastGone) return [];
      throw error;
    }
  }
}

/** @param {{changes: import("./authors.js").Change[]}[]} acks @returns {number} */
function growthOf(acks) {
  const changes = acks.flatMap((ack) => ack.changes);
  return changes.reduce((sum, { from, to, insert }) => sum + insert.length - (to - from), 0);
}
