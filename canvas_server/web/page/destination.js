/**
 * The choice of where a generated text goes: nowhere but the panel, or into the open canvas.
 */

import { element } from "./element.js";
import { inEachLanguage, words } from "./language.js";
import { Outline, indented } from "./outline.js";
import { recall, remember } from "./remembered.js";

const NOWHERE = "";
/** Sections stand in the choice under this and their heading id, so that none is taken for the end. */
const SECTION = "section:";
const END = "end";
/** The section that the reader's cursor is in when the text is asked for. */
const HERE = "here";
/** What holds in any canvas is chosen again in the next one. */
const LASTING = [NOWHERE, END, HERE];
const KEY = "destination";
const OPTIONS = { surround_with_blank_lines: 1 };

export class DestinationChoice {
  /** @type {string|null} */ #ref = null;
  #canWrite = true;
  #outline = new Outline(() => this.#show());
  #select;
  #cursor;

  /** @param {HTMLSelectElement} select @param {() => number} cursor where the reader's is, in UTF-16 units */
  constructor(select, cursor) {
    this.#select = select;
    this.#cursor = cursor;
    select.addEventListener("change", () => {
      if (LASTING.includes(select.value)) remember(KEY, select.value);
      this.#outline.refresh();
    });
    select.addEventListener("focus", () => this.#outline.refresh());
    inEachLanguage(() => this.#show());
  }

  /** @returns {object|null} what a job is told of where to write; null: it writes nowhere */
  get chosen() {
    const { value } = this.#select;
    if (value === NOWHERE) return null;
    return { ref: this.#ref, action: "insert", ...this.#place(value) };
  }

  /** @param {string|null} ref null: no canvas is open */
  open(ref) {
    this.#ref = ref;
    this.#select.value = recall(KEY) ?? NOWHERE;
    this.#outline.open(ref);
  }

  /** Read the sections again: they may be others. */
  refresh() {
    this.#outline.refresh();
  }

  /** @param {boolean} canWrite into the open canvas */
  permit(canWrite) {
    this.#canWrite = canWrite;
    this.#show();
  }

  /** @param {any} event of the canvas's stream */
  receive(event) {
    const isOfSection = this.#select.value === HERE || this.#select.value.startsWith(SECTION);
    if (event.type === "start" || (event.type === "ack" && isOfSection)) this.#outline.refresh();
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
    if (!this.#canWrite) return [nowhere];
    const here = element("option", { value: HERE }, words("destination.here"));
    return [nowhere, element("option", { value: END }, words("destination.end")), here];
  }

  /** @param {string} value */
  #place(value) {
    if (value === END) return atPoint({ type: "position", position: { mode: "end" } });
    if (value !== HERE) return inSection(value.slice(SECTION.length));
    const cursor = this.#cursor();
    const here = this.#outline.headings.findLast(({ start }) => start <= cursor);
    return here ? inSection(here.id) : atPoint({ type: "anchor", anchor: { name: "before_first_heading" } });
  }

  #sectionOptions() {
    if (!this.#canWrite) return [];
    const options = this.#outline.headings.map((heading) =>
      element("option", { value: SECTION + heading.id }, indented(heading)),
    );
    return options.length === 0 ? [] : [element("optgroup", { label: words("destination.section_end") }, ...options)];
  }
}

/** @param {object} target */
function atPoint(target) {
  return { target, options: OPTIONS };
}

/** @param {string} headingId */
function inSection(headingId) {
  const target = { type: "heading", heading: { heading_id: headingId } };
  return { target, where: "inside_end", options: { ...OPTIONS, subsections: true } };
}
