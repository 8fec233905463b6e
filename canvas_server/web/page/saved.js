/**
 * How long ago the open canvas was saved as a file.
 */

import { inEachLanguage, language, moment, words } from "./language.js";

const REFRESH_MS = 5000;
/** From how many seconds on a unit is used, largest first. */
const UNITS = /** @type {const} */ ([
  [86400, "day"],
  [3600, "hour"],
  [60, "minute"],
  [0, "second"],
]);

export class SavedAgo {
  /** @type {number|null} null: not since the page listens */ #savedUnixMs = null;
  #shown;

  /** @param {HTMLElement} shown not a live region: it changes all the time */
  constructor(shown) {
    this.#shown = shown;
    setInterval(() => this.#show(), REFRESH_MS);
    inEachLanguage(() => this.#show());
  }

  /** @param {any} event of type saved; a server's clock that is ahead counts as ours */
  receive({ saved_at: savedUnixMs }) {
    this.#savedUnixMs = Math.min(savedUnixMs, Date.now());
    this.#show();
  }

  forget() {
    this.#savedUnixMs = null;
    this.#show();
  }

  #show() {
    const savedUnixMs = this.#savedUnixMs;
    if (savedUnixMs === null) {
      this.#shown.textContent = "";
      return;
    }
    this.#shown.textContent = words("saved", { ago: agoText(Math.max(0, Date.now() - savedUnixMs), language()) });
    this.#shown.title = `${words("saved.title")} (${moment(savedUnixMs)})`;
  }
}

/** @param {number} passedMs @param {string} locale @returns {string} "il y a 12 s" */
export function agoText(passedMs, locale) {
  const passedS = Math.floor(passedMs / 1000);
  const [size, unit] = UNITS.find(([from]) => passedS >= from) ?? [0, "second"];
  const count = Math.floor(passedS / Math.max(1, size));
  return new Intl.RelativeTimeFormat(locale, { style: "short" }).format(-count, unit);
}
