/**
 * What the status told, kept for some minutes in this tab: how fast counters rise, and how gauges went.
 */

/** How many answers are kept: five minutes of one every two seconds. */
export const KEPT = 150;

/**
 * @typedef {Record<string, number>} Figures
 * @typedef {{at: number, figures: Figures}} Taken `at` in seconds of the server's life
 */

export class History {
  /** @type {Taken[]} oldest first */ #taken = [];

  /**
   * Whatever a server before this one told is forgotten: its counters have nothing to do with these.
   *
   * @param {number} at seconds since the server started
   * @param {Figures} figures
   */
  add(at, figures) {
    const last = this.#taken.at(-1);
    if (last !== undefined && at < last.at) this.#taken = [];
    if (last !== undefined && at === last.at) this.#taken.pop();
    this.#taken.push({ at, figures });
    if (this.#taken.length > KEPT) this.#taken.shift();
  }

  /** @param {string} name of a gauge @returns {[number, number][]} when, and how much */
  gauge(name) {
    return this.#taken
      .filter(({ figures }) => figures[name] !== undefined)
      .map(({ at, figures }) => [at, figures[name]]);
  }

  /** @param {string[]} names of counters, taken together @returns {[number, number][]} when, and how many a second */
  rate(...names) {
    /** @type {[number, number][]} */
    const rates = [];
    for (let index = 1; index < this.#taken.length; index += 1) {
      const [before, after] = [this.#taken[index - 1], this.#taken[index]];
      const rise = sum(after.figures, names) - sum(before.figures, names);
      rates.push([after.at, Math.max(0, rise) / (after.at - before.at)]);
    }
    return rates;
  }

  /** @param {string} name of a counter @returns {number} by how much it rose in what is kept */
  rise(name) {
    const told = this.gauge(name);
    return told.length === 0 ? 0 : told[told.length - 1][1] - told[0][1];
  }
}

/** @param {Figures} figures @param {string[]} names */
function sum(figures, names) {
  return names.reduce((total, name) => total + (figures[name] ?? 0), 0);
}
