/**
 * The sections of the open canvas, read again when somebody asks, and not more often than is good for the server.
 */

import { Problem, readOutline } from "./api.js";

/** While a model streams, the outline is read at most this often. */
const READ_EVERY_MS = 1000;

/** @typedef {import("./api.js").Heading} Heading */

export class Outline {
  /** @type {string|null} */ #ref = null;
  /** @type {Heading[]} */ #headings = [];
  #isWanted = false;
  #isReading = false;
  #changed;

  /** @param {() => void} changed the headings may be others now */
  constructor(changed) {
    this.#changed = changed;
  }

  /** As they were read last. */
  get headings() {
    return this.#headings;
  }

  /** @param {string|null} ref null: no canvas is open */
  open(ref) {
    this.#ref = ref;
    this.#headings = [];
    this.#changed();
  }

  /** Read it soon. */
  refresh() {
    if (this.#ref === null) return;
    this.#isWanted = true;
    if (!this.#isReading) this.#readWhileWanted();
  }

  async #readWhileWanted() {
    this.#isReading = true;
    while (this.#isWanted) {
      this.#isWanted = false;
      await this.#read();
      await pause(READ_EVERY_MS);
    }
    this.#isReading = false;
  }

  async #read() {
    const ref = this.#ref;
    if (ref === null) return;
    try {
      const headings = await readOutline(ref);
      if (ref === this.#ref) this.#headings = headings;
    } catch (error) {
      // The sections known so far stay; one that is gone by now is answered by an error with candidates.
      if (!(error instanceof Problem)) throw error;
    }
    this.#changed();
  }
}

/** @param {Heading} heading @returns {string} indented by its level, for a list of choices */
export function indented({ title, level }) {
  return "\u00a0\u00a0".repeat(level - 1) + title;
}

/** @param {number} ms @returns {Promise<void>} */
function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
