/**
 * How long to wait before trying again: longer after each failure, and for each client by another bit.
 */

export class BackOff {
  #failures = 0;
  #firstMs;
  #mostMs;

  /** @param {number} firstMs @param {number} mostMs */
  constructor(firstMs, mostMs) {
    this.#firstMs = firstMs;
    this.#mostMs = mostMs;
  }

  /** @param {number|null} [leastMs] what the server asked for @returns {number} in ms */
  next(leastMs = null) {
    const waitMs = Math.min(this.#firstMs * 2 ** this.#failures, this.#mostMs) * (0.5 + Math.random());
    this.#failures = Math.min(this.#failures + 1, 16);
    return Math.max(waitMs, leastMs ?? 0);
  }

  reset() {
    this.#failures = 0;
  }
}
