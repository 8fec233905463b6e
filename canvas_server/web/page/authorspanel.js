/**
 * Who wrote what, shown: colours in the text, and a legend that says whose they are and how much of the text is whose.
 */

import { byId, element, say } from "./element.js";
import { inEachLanguage, moment, words } from "./language.js";
import { recall, remember } from "./remembered.js";

const SHOWN_KEY = "authors";
/** Typing goes on meanwhile: what is new is coloured a moment later. */
const REDRAW_MS = 400;

/**
 * @typedef {import("./authors.js").AuthorRange} AuthorRange
 * @typedef {AuthorRange & {look: string, title: string}} ShownRange look: a class
 * @typedef {{name: string, look: string, length: number}} Share
 * @typedef {object} AuthorsObserver
 * @property {(isShown: boolean) => void} wanted the reader asks for it, or not any more
 * @property {(ranges: ShownRange[]) => void} ranges to colour in the text; none takes the colours away
 */

export class AuthorsPanel {
  /** @type {(() => {ranges: AuthorRange[], isReading: boolean})|null} */ #source = null;
  /** @type {ReturnType<typeof setTimeout>|null} */ #timer = null;
  /** @type {() => string} */ #notice = () => "";
  #box = /** @type {HTMLInputElement} */ (byId("authors-show"));
  #writers;
  #observer;

  /** @param {import("./writers.js").Writers} writers @param {AuthorsObserver} observer */
  constructor(writers, observer) {
    this.#writers = writers;
    this.#observer = observer;
    this.#box.checked = recall(SHOWN_KEY) === "yes";
    this.#box.addEventListener("change", () => this.#choose());
    inEachLanguage(() => this.#draw());
  }

  get isWanted() {
    return this.#box.checked;
  }

  /** @param {() => {ranges: AuthorRange[], isReading: boolean}} source */
  show(source) {
    this.#source = source;
    this.#notice = () => "";
    this.#draw();
  }

  hide() {
    this.#source = null;
    this.#notice = () => "";
    this.#draw();
  }

  /** There are other ranges. */
  changed() {
    this.#timer ??= setTimeout(() => this.#draw(), REDRAW_MS);
  }

  /** @param {() => string} sentence why there are no older ones */
  failed(sentence) {
    this.#notice = sentence;
    this.#draw();
  }

  #choose() {
    remember(SHOWN_KEY, this.#box.checked ? "yes" : "");
    this.#observer.wanted(this.#box.checked);
  }

  #draw() {
    clearTimeout(this.#timer ?? undefined);
    this.#timer = null;
    const { ranges, isReading } = this.#source?.() ?? { ranges: [], isReading: false };
    const shown = ranges.map((range) => this.#shown(range));
    this.#observer.ranges(shown.filter(({ actor }) => actor !== null));
    const shares = sharesOf(ranges.map((range) => ({ ...this.#writers.of(range), length: range.to - range.from })));
    byId("authors").hidden = this.#source === null;
    byId("authors-legend").replaceChildren(...shares.map((share) => shareElement(share, ranges.at(-1)?.to ?? 0)));
    say(byId("authors-status"), isReading ? words("author.looking") : this.#notice());
  }

  /** @param {AuthorRange} range @returns {ShownRange} */
  #shown(range) {
    const { name, look } = this.#writers.of(range);
    const title = range.timestamp === null ? name : words("author.title", { name, ago: moment(range.timestamp) });
    return { ...range, look, title };
  }
}

/**
 * @param {{key: string, name: string, look: string, length: number}[]} parts
 * @returns {Share[]} of each author, the largest first
 */
export function sharesOf(parts) {
  /** @type {Map<string, Share>} */
  const shares = new Map();
  for (const { key, name, look, length } of parts) {
    const share = shares.get(key) ?? { name, look, length: 0 };
    share.length += length;
    shares.set(key, share);
  }
  return [...shares.values()].sort((one, other) => other.length - one.length);
}

/** @param {Share} share @param {number} total */
function shareElement({ name, look, length }, total) {
  const percent = Math.round((100 * length) / total);
  const told = percent === 0 ? words("author.less", { name }) : words("author.share", { name, percent });
  return element("li", {}, element("span", { class: `swatch ${look}`, "aria-hidden": "true" }), told);
}
