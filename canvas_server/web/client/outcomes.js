/**
 * What became of operations, for whoever waits for it.
 */

/** So many ends are remembered for those who ask late. */
const REMEMBERED_MAX = 1_024;

/**
 * @typedef {Record<string, any>} ServerEvent an `ack`, `conflict` or `error`
 * @typedef {{resolve: (event: ServerEvent) => void, reject: (error: unknown) => void}} Waiter
 */

export class Outcomes {
  /** @type {Map<string, ServerEvent>} by op_id, oldest first */ #known = new Map();
  /** @type {Map<string, Waiter[]>} */ #waiters = new Map();

  /** @param {string} opId @returns {Promise<ServerEvent>} its end, or the one that it had last */
  wait(opId) {
    const known = this.#known.get(opId);
    return known === undefined ? this.waitNext(opId) : Promise.resolve(known);
  }

  /** @param {string} opId @returns {Promise<ServerEvent>} the end that comes next */
  waitNext(opId) {
    return new Promise((resolve, reject) => {
      this.#waiters.set(opId, [...(this.#waiters.get(opId) ?? []), { resolve, reject }]);
    });
  }

  /** What was applied stays so, whatever becomes of the same sent again. @param {ServerEvent} event */
  note(event) {
    const wasApplied = this.#known.get(event.op_id)?.type === "ack" && !this.#waiters.has(event.op_id);
    if (wasApplied && event.type !== "ack") return;
    this.#known.delete(event.op_id);
    this.#known.set(event.op_id, event);
    if (this.#known.size > REMEMBERED_MAX) this.#known.delete(/** @type {string} */ (this.#known.keys().next().value));
    for (const { resolve } of this.#take(event.op_id)) resolve(event);
  }

  /** @param {readonly string[]} opIds that have no end @param {unknown} error */
  fail(opIds, error) {
    for (const { reject } of opIds.flatMap((opId) => this.#take(opId))) reject(error);
  }

  /** @param {unknown} error */
  failAll(error) {
    this.fail([...this.#waiters.keys()], error);
  }

  /** @param {string} opId */
  #take(opId) {
    const waiters = this.#waiters.get(opId) ?? [];
    this.#waiters.delete(opId);
    return waiters;
  }
}
