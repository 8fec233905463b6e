/**
 * Who listens to what. A listener that throws keeps nothing from the others; its error is reported as uncaught.
 */

/** @template {Record<string, any>} Events by type, what is told */
export class Emitter {
  /** @type {Map<keyof Events, Set<(told: any) => void>>} */ #listeners = new Map();

  /**
   * @template {keyof Events} T
   * @param {T} type
   * @param {(told: Events[T]) => void} listener
   * @returns {() => void} listens no more
   */
  on(type, listener) {
    const listeners = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, listeners.add(listener));
    return () => void listeners.delete(listener);
  }

  /**
   * @template {keyof Events} T
   * @param {T} type
   * @param {Events[T]} told
   */
  emit(type, told) {
    for (const listener of [...(this.#listeners.get(type) ?? [])]) {
      try {
        listener(told);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
