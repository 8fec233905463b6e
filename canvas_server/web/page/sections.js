/**
 * The choice of a section, filled from the canvas's outline and kept up to date while it is needed.
 */

import { Problem, readOutline } from "./api.js";
import { element } from "./element.js";
import { inEachLanguage, words } from "./language.js";

/** While a model streams, the outline is read at most this often. */
const READ_EVERY_MS = 1000;
const INDENT = "\u00a0\u00a0";

/** @typedef {import("./api.js").Heading} Heading */

export class SectionChoice {
  /** @type {string|null} */ #ref = null;
  /** @type {Heading[]} */ #headings = [];
  #isWanted = false;
  #isReading = false;
  #select;
  #isNeeded;

  /** @param {HTMLSelectElement} select @param {() => boolean} isNeeded whether a section is to be chosen now */
  constructor(select, isNeeded) {
    this.#select = select;
    this.#isNeeded = isNeeded;
    inEachLanguage(() => this.#show());
  }

  /** @returns {string} the heading id; empty when there is none */
  get chosen() {
    return this.#select.value;
  }

  /** @param {string|null} ref null: no canvas is open */
  open(ref) {
    this.#ref = ref;
    this.#headings = [];
    this.#show();
  }

  /** The text may have changed, or a section is needed from now on. */
  refresh() {
    if (this.#ref === null || !this.#isNeeded()) return;
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
    this.#show();
  }

  /** A section that is gone is chosen no more, and none takes its place: the text must not land in another one. */
  #show() {
    const chosen = this.#select.value;
    const isStillThere = this.#headings.some(({ id }) => id === chosen);
    const options = this.#headings.map(({ id, title, level }) =>
      element("option", { value: id }, INDENT.repeat(level - 1) + title),
    );
    const none = words(options.length > 0 ? "write.choose_section" : "write.no_section");
    this.#select.replaceChildren(element("option", { value: "" }, none), ...options);
    this.#select.value = isStillThere ? chosen : "";
  }
}

/** @param {number} ms @returns {Promise<void>} */
function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
