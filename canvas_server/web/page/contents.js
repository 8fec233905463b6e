/**
 * The table of contents of the open canvas: it follows the text, marks where the cursor is, and leads there.
 */

import { element } from "./element.js";
import { headingAt, headingsOf } from "./headings.js";
import { inEachLanguage, words } from "./language.js";

/** While text streams in, the headings are looked for at most this often. */
const LOOK_EVERY_MS = 250;

/** @typedef {import("./headings.js").Heading} Heading */

export class Contents {
  /** @type {Heading[]} */ #headings = [];
  /** @type {ReturnType<typeof setTimeout>|null} */ #timer = null;
  #drawn = "";
  /** @type {Element|null} */ #marked = null;
  #list;
  #text;
  #cursor;
  #sectionsChanged;

  /**
   * @param {HTMLElement} list
   * @param {() => string} text as it is now
   * @param {() => number} cursor where the reader is in it
   * @param {(position: number) => void} go
   * @param {() => void} sectionsChanged the headings are others
   */
  constructor(list, text, cursor, go, sectionsChanged) {
    this.#list = list;
    this.#text = text;
    this.#cursor = cursor;
    this.#sectionsChanged = sectionsChanged;
    inEachLanguage(() => this.#draw());
    list.addEventListener("click", (event) => {
      const link = /** @type {Element} */ (event.target).closest("[data-index]");
      if (link === null) return;
      event.preventDefault();
      this.#look();
      const heading = this.#headings[Number(link.getAttribute("data-index"))];
      if (heading !== undefined) go(heading.from);
    });
  }

  /** The title of the section that the cursor is in; null above the first heading. */
  get section() {
    return this.#headings[headingAt(this.#headings, this.#cursor())]?.title ?? null;
  }

  /** The text, or the place of the cursor, may be another: soon to be seen. */
  changed() {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.#look();
    }, LOOK_EVERY_MS);
  }

  #look() {
    this.#headings = headingsOf(this.#text());
    this.#draw();
  }

  #draw() {
    const drawn = this.#headings.map(({ title, level }) => `${level} ${title}`).join("\n");
    const none = words("contents.none");
    const isOther = drawn !== this.#drawn;
    if (isOther || this.#headings.length === 0) this.#drawAnew(none);
    this.#drawn = drawn;
    if (isOther) this.#sectionsChanged();
    this.#mark(headingAt(this.#headings, this.#cursor()));
  }

  /** @param {string} none what to say where there is nothing */
  #drawAnew(none) {
    const least = Math.min(6, ...this.#headings.map(({ level }) => level));
    const lines = this.#headings.map((heading, index) => lineElement(heading, index, least));
    this.#list.replaceChildren(...(lines.length > 0 ? lines : [element("li", { class: "muted" }, none)]));
    this.#marked = null;
  }

  /** @param {number} current */
  #mark(current) {
    const link = this.#list.children[current]?.firstElementChild ?? null;
    if (link === this.#marked) return;
    this.#marked?.removeAttribute("aria-current");
    if (this.#headings.length > 0) link?.setAttribute("aria-current", "location");
    this.#marked = link;
  }
}

/** @param {Heading} heading @param {number} index @param {number} least the highest level there is */
function lineElement({ title, level }, index, least) {
  const link = element("button", { type: "button", "data-index": String(index) }, title || words("contents.untitled"));
  return element("li", { "data-depth": String(Math.min(4, level - least)) }, link);
}
