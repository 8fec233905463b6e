/**
 * The recent works, the last first: what a reader jumps to in the history, and what can be taken back.
 */

import { byId, element } from "./element.js";
import { inEachLanguage, words } from "./language.js";
import { ago, sizeText } from "./telling.js";

/** @typedef {import("./works.js").Work} Work */

/**
 * @typedef {object} WorkListObserver
 * @property {(work: Work) => void} see
 * @property {(work: Work) => void} undo
 * @property {() => void} more older ones are asked for
 */

export class WorkList {
  /** @type {Work[]} */ #works = [];
  /** @type {Set<string>} first operations of works that were taken back in this tab */ #undone = new Set();
  /** @type {string|null} */ #marked = null;
  #hasMore = false;
  #canUndo = false;
  #list = byId("past-works");
  #writers;
  #observer;

  /** @param {import("./writers.js").Writers} writers @param {WorkListObserver} observer */
  constructor(writers, observer) {
    this.#writers = writers;
    this.#observer = observer;
    byId("past-more").addEventListener("click", () => observer.more());
    inEachLanguage(() => this.#draw());
  }

  /** @param {Work[]} works @param {boolean} hasMore there are older ones */
  show(works, hasMore) {
    this.#works = works;
    this.#hasMore = hasMore;
    this.#draw();
  }

  /** @param {boolean} canUndo */
  permit(canUndo) {
    this.#canUndo = canUndo;
    this.#draw();
  }

  /** @param {Work} work was taken back, or nothing is left of it */
  undone({ opIds }) {
    this.#undone.add(opIds[0]);
    this.#draw();
  }

  /** Show where one is in time. @param {string|null} opId of the operation that is shown */
  mark(opId) {
    this.#marked = opId;
    this.#works.forEach(({ opIds }, index) => {
      const line = this.#list.children[index];
      if (opId !== null && opIds.includes(opId)) line.setAttribute("aria-current", "step");
      else line.removeAttribute("aria-current");
    });
  }

  /** A list that is drawn anew while one is in it must not lose the keyboard its place. */
  #draw() {
    const focused = /** @type {HTMLElement|null} */ (document.activeElement)?.dataset.work;
    this.#list.replaceChildren(...this.#works.map((work) => this.#line(work)));
    this.mark(this.#marked);
    byId("past-none").hidden = this.#works.length > 0;
    byId("past-more").hidden = !this.#hasMore;
    if (focused === undefined) return;
    const again = [...this.#list.querySelectorAll("button")].find(({ dataset }) => dataset.work === focused);
    again?.focus();
  }

  /** @param {Work} work */
  #line(work) {
    const { name, look } = this.#writers.of(work);
    const told = { who: name, ago: ago(work.endedAtMs) };
    const swatch = element("span", { class: `swatch ${look}`, "aria-hidden": "true" });
    const facts = element("p", {}, swatch, words("past.work", told), " · ", sizeText(work.added, work.removed));
    const excerpt = element("p", { class: "muted excerpt" }, work.excerpt);
    const buttons = element("div", { class: "row" }, this.#seeButton(work, told), ...this.#undoButtons(work, told));
    const lines = work.excerpt === "" ? [facts, buttons] : [facts, excerpt, buttons];
    return element("li", {}, ...lines);
  }

  /** @param {Work} work @param {{who: string, ago: string}} told */
  #seeButton(work, told) {
    const onclick = () => this.#observer.see(work);
    const attributes = { "aria-label": words("past.see_of", told), "data-work": `see ${work.opIds[0]}` };
    return element("button", { type: "button", class: "quiet", onclick, ...attributes }, words("past.see"));
  }

  /** @param {Work} work @param {{who: string, ago: string}} told */
  #undoButtons(work, told) {
    if (!this.#canUndo) return [];
    const isUndone = this.#undone.has(work.opIds[0]);
    const onclick = () => this.#observer.undo(work);
    const attributes = { "aria-label": words("past.undo_of", told), "data-work": `undo ${work.opIds[0]}` };
    const button = { type: "button", class: "quiet", disabled: isUndone, onclick, ...attributes };
    return [element("button", button, words("past.undo"))];
  }
}
