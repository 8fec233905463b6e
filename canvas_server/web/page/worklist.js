/**
 * The recent works, the last first: what a reader jumps to in the history, and what can be taken back.
 */

import { byId, element, say } from "./element.js";
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
  /** @type {Map<string, WorkLine>} by first operation */ #lines = new Map();
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

  /** While others write the list changes all the time: a line that stays is the same element. */
  #draw() {
    const before = this.#lines;
    this.#lines = new Map();
    this.#works.forEach((work, index) => {
      const [opId] = work.opIds;
      const line = before.get(opId) ?? new WorkLine(this.#observer);
      line.show(work, this.#writers.of(work), { canUndo: this.#canUndo, isUndone: this.#undone.has(opId) });
      this.#lines.set(opId, line);
      const there = this.#list.children[index] ?? null;
      if (there !== line.element) this.#list.insertBefore(line.element, there);
    });
    while (this.#list.children.length > this.#works.length) this.#list.lastElementChild?.remove();
    this.mark(this.#marked);
    byId("past-none").hidden = this.#works.length > 0;
    byId("past-more").hidden = !this.#hasMore;
  }
}

class WorkLine {
  /** @type {Work|null} */ #work = null;
  #swatch = element("span", { "aria-hidden": "true" });
  #facts = element("span");
  #excerpt = element("p", { class: "muted excerpt" });
  #see;
  #undo;

  /** @param {WorkListObserver} observer */
  constructor(observer) {
    this.#see = buttonOf(() => this.#work !== null && observer.see(this.#work));
    this.#undo = buttonOf(() => this.#work !== null && observer.undo(this.#work));
    const buttons = element("div", { class: "row" }, this.#see, this.#undo);
    this.element = element("li", {}, element("p", {}, this.#swatch, this.#facts), this.#excerpt, buttons);
  }

  /**
   * @param {Work} work
   * @param {import("./writers.js").Writer} writer
   * @param {{canUndo: boolean, isUndone: boolean}} state
   */
  show(work, { name, look }, { canUndo, isUndone }) {
    this.#work = work;
    const told = { who: name, ago: ago(work.endedAtMs) };
    this.#swatch.className = `swatch ${look}`;
    say(this.#facts, `${words("past.work", told)} · ${sizeText(work.added, work.removed)}`);
    say(this.#excerpt, work.excerpt);
    this.#excerpt.hidden = work.excerpt === "";
    entitle(this.#see, words("past.see"), words("past.see_of", told));
    entitle(this.#undo, words("past.undo"), words("past.undo_of", told));
    this.#undo.hidden = !canUndo;
    this.#undo.toggleAttribute("disabled", isUndone);
  }
}

/** @param {() => void} onclick */
function buttonOf(onclick) {
  return element("button", { type: "button", class: "quiet", onclick });
}

/** @param {HTMLElement} button @param {string} seen @param {string} heard where there are many like it */
function entitle(button, seen, heard) {
  say(button, seen);
  button.setAttribute("aria-label", heard);
}
