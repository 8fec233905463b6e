/**
 * Who wrote what, shown: colours in the text, and a legend that says whose they are and how much of the text is whose.
 */

import { byId, element, say } from "./element.js";
import { inEachLanguage, moment, words } from "./language.js";
import { recall, remember } from "./remembered.js";

const SHOWN_KEY = "authors";
/** Typing goes on meanwhile: what is new is coloured a moment later. */
const REDRAW_MS = 400;
const MINUTE_MS = 60_000;
/** Who wrote least is counted, and not named. */
const LEGEND_MAX = 12;

/**
 * @typedef {import("./authors.js").AuthorRange} AuthorRange
 * @typedef {{from: number, to: number, look: string, title: string}} ShownRange look: classes
 * @typedef {{range: AuthorRange, writer: import("./writers.js").Writer}} Written
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
    const written = ranges.map((range) => ({ range, writer: this.#writers.of(range) }));
    this.#observer.ranges(shownRanges(written));
    byId("authors").hidden = this.#source === null;
    byId("authors-legend").replaceChildren(...legend(sharesOf(written), ranges.at(-1)?.to ?? 0));
    say(byId("authors-status"), isReading ? words("author.looking") : this.#notice());
  }
}

/** @param {Written[]} written @returns {ShownRange[]} what is known; thousands of ranges tell but few times */
export function shownRanges(written) {
  /** @type {Map<string, string>} by writer and minute */
  const titles = new Map();
  /** @type {ShownRange[]} */
  const shown = [];
  for (const { range, writer } of written) {
    if (range.timestamp === null) continue;
    const { from, to } = range;
    const minute = Math.floor(range.timestamp / MINUTE_MS);
    const key = `${minute} ${writer.key}`;
    const title = titles.get(key) ?? words("author.title", { name: writer.name, when: moment(minute * MINUTE_MS) });
    titles.set(key, title);
    const last = shown.at(-1);
    if (last?.to === from && last.look === writer.look && last.title === title) last.to = to;
    else shown.push({ from, to, look: writer.look, title });
  }
  return shown;
}

/** @param {Written[]} written @returns {Share[]} of each author, the largest first */
export function sharesOf(written) {
  /** @type {Map<string, Share>} */
  const shares = new Map();
  for (const { range, writer } of written) {
    const { key, name, look } = writer;
    const share = shares.get(key) ?? { name, look, length: 0 };
    share.length += range.to - range.from;
    shares.set(key, share);
  }
  return [...shares.values()].sort((one, other) => other.length - one.length);
}

/** @param {Share[]} shares @param {number} total @returns {HTMLElement[]} */
function legend(shares, total) {
  const shown = shares.slice(0, LEGEND_MAX).map((share) => shareElement(share, total));
  const count = shares.length - shown.length;
  return count === 0 ? shown : [...shown, element("li", {}, words("author.others", { count }))];
}

/** @param {Share} share @param {number} total */
function shareElement({ name, look, length }, total) {
  const percent = Math.round((100 * length) / total);
  const told = percent === 0 ? words("author.less", { name }) : words("author.share", { name, percent });
  return element("li", {}, element("span", { class: `swatch ${look}`, "aria-hidden": "true" }), told);
}
