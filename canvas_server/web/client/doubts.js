/**
 * Refusals that may not be the last word, since the operation was sent more than once.
 *
 * Rule: a refusal counts when the last copy was answered and the history, read after that, does not have the operation.
 * Until then it stays on its way under its name, so that no copy of it can be applied beside it.
 */

/**
 * @typedef {import("./operation.js").Operation} Operation
 * @typedef {Record<string, any> & {type: string}} ServerEvent
 */

export class Doubts {
  /** @type {ReadonlySet<string>} ids of the last request */ #sent = new Set();
  /** @type {Map<string, ServerEvent>} the last of each operation, by its id */ #refusals = new Map();
  #copies = 0;
  #isAnswered = true;

  /** @returns {boolean} whether the history is to be read, and then `settle` */
  get isDue() {
    return this.#isAnswered && this.#refusals.size > 0;
  }

  /** @param {readonly Operation[]} ops of the request that is sent now */
  sending(ops) {
    this.#copies = ops.some((op) => this.#sent.has(op.op_id)) ? this.#copies + 1 : 1;
    this.#sent = new Set(ops.map((op) => op.op_id));
    this.#isAnswered = false;
  }

  /** The last copy was taken, or refused. */
  answered() {
    this.#isAnswered = true;
  }

  /** Nobody knows where the last copy is; one more will be sent, and what becomes of that is told. */
  lost() {
    this.#refusals.clear();
  }

  /** @param {ServerEvent} event a refusal of what is on its way @returns {boolean} whether it does not count yet */
  hold(event) {
    if (this.#copies < 2 || !this.#sent.has(event.op_id)) return false;
    this.#refusals.set(event.op_id, event);
    return true;
  }

  /** The history was read. @returns {ServerEvent[]} what counts now */
  settle() {
    if (!this.isDue) return [];
    const refusals = [...this.#refusals.values()];
    this.#refusals.clear();
    return refusals;
  }
}
