/**
 * The choice of where a generated text goes: nowhere but the panel, or into the open canvas.
 */

import { element } from "./element.js";
import { inEachLanguage, words } from "./language.js";
import { writing } from "./operation.js";
import { Outline, indented } from "./outline.js";

const NOWHERE = "";
/** Sections stand in the choice under this and their heading id, so that none is taken for the end. */
const SECTION = "section:";
const END = "end";

export class DestinationChoice {
  /** @type {string|null} */ #ref = null;
  #canWrite = true;
  #outline = new Outline(() => this.#show());
  #select;

  /** @param {HTMLSelectElement} select */
  constructor(select) {
    this.#select = select;
    select.addEventListener("focus", () => this.#outline.refresh());
    inEachLanguage(() => this.#show());
  }

  /** @returns {object|null} what a job is told of where to write; null: it writes nowhere */
  get chosen() {
    const { value } = this.#select;
    if (value === NOWHERE) return null;
    const place = value === END ? /** @type {const} */ ("end") : /** @type {const} */ ("section_end");
    const choice = { place, headingId: value.slice(SECTION.length), content: "", blankLine: true, subsections: true };
    const { target, action, where, options } = writing(choice, null);
    return { ref: this.#ref, target, action, where, options };
  }

  /** @param {string|null} ref null: no canvas is open */
  open(ref) {
    this.#ref = ref;
    this.#select.value = NOWHERE;
    this.#outline.open(ref);
  }

  /** @param {boolean} canWrite into the open canvas */
  permit(canWrite) {
    this.#canWrite = canWrite;
    this.#show();
  }

  /** @param {any} event of the canvas's stream */
  receive(event) {
    const mayHaveMoved = event.type === "ack" && this.#select.value.startsWith(SECTION);
    if (event.type === "snapshot" || mayHaveMoved) this.#outline.refresh();
  }

  /** Where the chosen section is gone nothing is written: the text must not land in another one. */
  #show() {
    const chosen = this.#select.value;
    this.#select.replaceChildren(...this.#fixedOptions(), ...this.#sectionOptions());
    this.#select.value = chosen;
    if (this.#select.selectedIndex === -1) this.#select.value = NOWHERE;
  }

  #fixedOptions() {
    const nowhere = element("option", { value: NOWHERE }, words("destination.nowhere"));
    return this.#canWrite ? [nowhere, element("option", { value: END }, words("destination.end"))] : [nowhere];
  }

  #sectionOptions() {
    if (!this.#canWrite) return [];
    const options = this.#outline.headings.map((heading) =>
      element("option", { value: SECTION + heading.id }, indented(heading)),
    );
    return options.length === 0 ? [] : [element("optgroup", { label: words("destination.section_end") }, ...options)];
  }
}
