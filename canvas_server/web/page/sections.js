/**
 * The choice of a section, filled from the canvas's outline and kept up to date while it is needed.
 */

import { element } from "./element.js";
import { inEachLanguage, words } from "./language.js";
import { Outline, indented } from "./outline.js";

export class SectionChoice {
  #outline = new Outline(() => this.#show());
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
    this.#outline.open(ref);
  }

  /** The text may have changed, or a section is needed from now on. */
  refresh() {
    if (this.#isNeeded()) this.#outline.refresh();
  }

  /** A section that is gone is chosen no more, and none takes its place: the text must not land in another one. */
  #show() {
    const { headings } = this.#outline;
    const chosen = this.#select.value;
    const isStillThere = headings.some(({ id }) => id === chosen);
    const options = headings.map((heading) => element("option", { value: heading.id }, indented(heading)));
    const none = words(options.length > 0 ? "write.choose_section" : "write.no_section");
    this.#select.replaceChildren(element("option", { value: "" }, none), ...options);
    this.#select.value = isStillThere ? chosen : "";
  }
}
