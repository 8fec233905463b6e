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

  /** @param {number|null} [askedMs] what the server asked for @returns {number} in ms */
  next(askedMs = null) {
    if (askedMs !== null) return askedMs * (1 + Math.random() / 4);
    const waitMs = Math.min(this.#firstMs * 2 ** this.#failures, this.#mostMs) * (0.5 + Math.random());
    this.#failures = Math.min(this.#failures + 1, 16);
    return waitMs;
  }

  reset() {
    this.#failures = 0;
  }
}
