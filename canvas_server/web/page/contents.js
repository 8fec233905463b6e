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
  #list;
  #text;
  #cursor;

  /**
   * @param {HTMLElement} list
   * @param {() => string} text as it is now
   * @param {() => number} cursor where the reader is in it
   * @param {(position: number) => void} go
   */
  constructor(list, text, cursor, go) {
    this.#list = list;
    this.#text = text;
    this.#cursor = cursor;
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
    const current = headingAt(this.#headings, this.#cursor());
    const drawn = JSON.stringify([this.#headings.map(({ title, level }) => [title, level]), words("contents.none")]);
    if (drawn !== this.#drawn) {
      this.#drawn = drawn;
      const least = Math.min(6, ...this.#headings.map(({ level }) => level));
      const lines = this.#headings.map((heading, index) => lineElement(heading, index, least));
      this.#list.replaceChildren(...(lines.length > 0 ? lines : [element("li", { class: "muted" }, words("contents.none"))]));
    }
    this.#mark(current);
  }

  /** @param {number} current */
  #mark(current) {
    for (const link of this.#list.querySelectorAll("[data-index]")) {
      const isCurrent = Number(link.getAttribute("data-index")) === current;
      if (isCurrent) link.setAttribute("aria-current", "location");
      else link.removeAttribute("aria-current");
    }
  }
}

/** @param {Heading} heading @param {number} index @param {number} least the highest level there is */
function lineElement({ title, level }, index, least) {
  const link = element("button", { type: "button", "data-index": String(index) }, title || words("contents.untitled"));
  return element("li", { "data-depth": String(Math.min(4, level - least)) }, link);
}
