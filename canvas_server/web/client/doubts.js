/**
 * Refusals that may not be the last word, since the operation was sent more than once.
 *
 * Rule: a refusal counts when the last copy was answered and the history, read after that, does not have the operation.
 * Until then it stays on its way under its name, so that no copy of it can be applied beside it.
 */

/**
 * @typedef {import("./operation.js").Operation} Operation
 * @typedef {Record<string, any> & {type: string}} ServerEvent
 * @typedef {import("./problem.js").Problem} Problem
 * @typedef {object} Sent
 * @property {number} copies that were sent
 * @property {boolean} isAnswered the last of them was taken, or refused
 * @property {ServerEvent|null} refusal the last that was told of it
 */

export class Doubts {
  /** @type {Map<string, Sent>} by the id of the operation */ #sent = new Map();
  /** @type {{ops: readonly Operation[], problem: Problem}|null} of a whole request */ #refused = null;

  /** @param {readonly Operation[]} ops that were sent in an earlier life */
  constructor(ops) {
    // Nobody knows how often.
    for (const { op_id: id } of ops) this.#sent.set(id, { copies: 2, isAnswered: false, refusal: null });
  }

  /** @returns {boolean} whether the history is to be read, and then what is decided taken */
  get isDue() {
    return this.#refused !== null || [...this.#sent.values()].some(isDue);
  }

  /** @param {readonly Operation[]} ops of a request that is sent now @param {readonly Operation[]} all on their way */
  sending(ops, all) {
    this.#refused = null;
    const underWay = new Set(all.map(({ op_id: id }) => id));
    for (const id of this.#sent.keys()) if (!underWay.has(id)) this.#sent.delete(id);
    for (const { op_id: id } of ops)
      this.#sent.set(id, { copies: (this.#sent.get(id)?.copies ?? 0) + 1, isAnswered: false, refusal: null });
  }

  /** @param {readonly Operation[]} ops of the request that was taken, or refused */
  answered(ops) {
    for (const { op_id: id } of ops) {
      const sent = this.#sent.get(id);
      if (sent !== undefined) sent.isAnswered = true;
    }
  }

  /** @param {ServerEvent} event a refusal of what is on its way @returns {boolean} whether it does not count yet */
  hold(event) {
    const sent = this.#sent.get(event.op_id);
    if (sent === undefined || sent.copies < 2) return false;
    sent.refusal = event;
    return true;
  }

  /**
   * A whole request was refused.
   *
   * @param {readonly Operation[]} ops
   * @param {Problem} problem
   * @returns {boolean} whether it does not count yet
   */
  holdRequest(ops, problem) {
    if (!ops.some(({ op_id: id }) => (this.#sent.get(id)?.copies ?? 0) > 1)) return false;
    this.#refused = { ops, problem };
    return true;
  }

  /** All that is on its way will be sent again. */
  clear() {
    this.#refused = null;
    for (const sent of this.#sent.values()) sent.refusal = null;
  }

  /** The history was read. @returns {ServerEvent[]} refusals that count now, if the operation is still on its way */
  settle() {
    return [...this.#sent.values()].filter(isDue).flatMap((sent) => {
      const { refusal } = sent;
      sent.refusal = null;
      return refusal ?? [];
    });
  }

  /** The history was read. @returns {{ops: readonly Operation[], problem: Problem}|null} */
  settleRequest() {
    const refused = this.#refused;
    this.#refused = null;
    return refused;
  }
}

/** @param {Sent} sent */
function isDue({ isAnswered, refusal }) {
  return isAnswered && refusal !== null;
}
