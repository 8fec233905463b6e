/**
 * The events of the stream as they came, one line each, the newest last. It keeps 500, and draws only what is looked at.
 */

import { element } from "./element.js";
import { oncePerFrame } from "./frame.js";
import { inEachLanguage, language, words } from "./language.js";

const LINES_MAX = 500;
/** A snapshot may hold 256 KiB: the line shows its beginning and says how much was left out. */
const LINE_CHARS_MAX = 2000;
const AT_END_PX = 24;

/** @typedef {{type: string, raw: string, at: Date}} Line */

export class EventLog {
  /** @type {Line[]} came since the last drawing, or since the pause */ #waiting = [];
  #paused = false;
  #draw = oncePerFrame(() => this.#show());
  #pane;
  #box;
  #pauseButton;

  /**
   * @param {HTMLElement} pane in a `details`
   * @param {HTMLButtonElement} pauseButton
   * @param {HTMLInputElement} heartbeatsBox checked: heartbeats are hidden
   */
  constructor(pane, pauseButton, heartbeatsBox) {
    this.#pane = pane;
    this.#box = /** @type {HTMLDetailsElement} */ (pane.closest("details"));
    this.#pauseButton = pauseButton;
    this.#box.addEventListener("toggle", () => this.#draw());
    pauseButton.addEventListener("click", () => this.#togglePause());
    heartbeatsBox.addEventListener("change", () => this.#hideHeartbeats(heartbeatsBox.checked));
    this.#hideHeartbeats(heartbeatsBox.checked);
    inEachLanguage(() => this.#say());
  }

  /** @param {string} type @param {string} raw the event's JSON as it came */
  add(type, raw) {
    this.#waiting.push({ type, raw, at: new Date() });
    if (this.#waiting.length > LINES_MAX) this.#waiting.shift();
    this.#draw();
  }

  clear() {
    this.#waiting = [];
    this.#pane.replaceChildren();
    this.#say();
  }

  #togglePause() {
    this.#paused = !this.#paused;
    this.#draw();
  }

  /** @param {boolean} hidden */
  #hideHeartbeats(hidden) {
    this.#pane.classList.toggle("without-heartbeats", hidden);
  }

  #show() {
    if (!this.#box.open) return;
    if (!this.#paused) this.#appendWaiting();
    this.#say();
  }

  #appendWaiting() {
    const pane = this.#pane;
    const wasAtEnd = pane.scrollHeight - pane.scrollTop - pane.clientHeight < AT_END_PX;
    pane.append(...this.#waiting.map(lineElement));
    this.#waiting = [];
    while (pane.childElementCount > LINES_MAX) pane.firstElementChild?.remove();
    if (wasAtEnd) pane.scrollTop = pane.scrollHeight;
  }

  #say() {
    const count = this.#waiting.length;
    this.#pauseButton.textContent = this.#paused ? words("log.resume", { count }) : words("log.pause");
    this.#pauseButton.setAttribute("aria-pressed", String(this.#paused));
  }
}

/** @param {Line} line */
function lineElement({ type, raw, at }) {
  const time = element("time", { datetime: at.toISOString() }, clock(at));
  const name = element("span", { class: "type" }, type);
  return element("div", { "data-type": type }, time, " ", name, " ", element("code", {}, shortened(raw)));
}

/** @param {string} raw */
function shortened(raw) {
  if (raw.length <= LINE_CHARS_MAX) return raw;
  return `${raw.slice(0, LINE_CHARS_MAX)} … ${words("log.more", { count: raw.length - LINE_CHARS_MAX })}`;
}

/** @param {Date} at */
function clock(at) {
  const parts = { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hour12: false };
  return new Intl.DateTimeFormat(language(), /** @type {Intl.DateTimeFormatOptions} */ (parts)).format(at);
}
