/**
 * Sends what a replica has to send: one request at a time, and the same again until its end is known.
 *
 * Rule: no answer means nothing; the same operations under the same ids are sent again. What the server refuses for
 * good stops the sending, and stays in the replica until one tries again.
 */

import { BackOff } from "./backoff.js";
import { Doubts } from "./doubts.js";
import { Problem } from "./problem.js";

const UNREACHABLE_MS = /** @type {const} */ ([500, 15_000]);
const CONFLICT_MS = /** @type {const} */ ([50, 2_000]);
/** When the events of what was accepted have not come by then, it is sent again. */
const EVENTS_MS = 10_000;
/** Refusals of the request itself: nothing of it was applied, or ever will be. */
const UNACCEPTABLE = [400, 413, 415, 422];
const DENIED = [403, 404];

/**
 * @typedef {import("./replica.js").Replica} Replica
 * @typedef {import("./operation.js").Operation} Operation
 * @typedef {import("./doubts.js").ServerEvent} ServerEvent
 * @typedef {import("./operation.js").RequestLimits} RequestLimits
 * @typedef {object} OutboxObserver
 * @property {(problem: Problem) => void} blocked it waits for `retry`
 * @property {(ops: Operation[], problem: Problem) => void} dropped operations that were to be sent as they are
 * @property {() => void} doubted the history is to be read, and then `decide` asked
 */

export class Outbox {
  /** @type {Set<string>} ids of operations whose events are still to come */ #accepted = new Set();
  /** @type {ReturnType<typeof setTimeout>|null} until then nothing is sent */ #pause = null;
  /** @type {ReturnType<typeof setTimeout>|undefined} */ #patience;
  #isOpen = false;
  #isPosting = false;
  #isBlocked = false;
  #failures = new BackOff(...UNREACHABLE_MS);
  #conflicts = new BackOff(...CONFLICT_MS);
  #isContended = false;
  #doubts;
  #replica;
  #post;
  #observer;

  /** How much one request may carry. @type {RequestLimits} */ limits = { ops: 100, units: 65_536 };

  /** @param {Replica} replica @param {(ops: Operation[]) => Promise<unknown>} post @param {OutboxObserver} observer */
  constructor(replica, post, observer) {
    this.#replica = replica;
    this.#doubts = new Doubts(replica.sent);
    this.#post = post;
    this.#observer = observer;
  }

  /** All that the server told is heard: send, first what has not ended. */
  open() {
    this.#isOpen = true;
    this.#accepted.clear();
    this.#failures.reset();
    this.wake();
  }

  /** Nothing is sent before it is opened again. */
  close() {
    this.#isOpen = false;
    this.#endPause();
    clearTimeout(this.#patience);
  }

  /** There is something to send, or there may be. */
  wake() {
    if (this.#pause === null) this.#send();
  }

  /** There is something new: what was refused may do with it. */
  renew() {
    this.#isBlocked = false;
    this.wake();
  }

  /** Try again at once. */
  retry() {
    this.#isBlocked = false;
    this.#endPause();
    this.#send();
  }

  /** An operation was refused by an event for good. */
  block() {
    this.#isBlocked = true;
  }

  /** An operation lost a race; the first goes again at once. */
  conflicted() {
    if (this.#isContended) this.#wait(this.#conflicts.next());
    this.#isContended = true;
  }

  /** An operation was applied. */
  succeeded() {
    this.#isContended = false;
    this.#conflicts.reset();
  }

  /** @param {ServerEvent} event @returns {boolean} whether it is a refusal that does not count yet */
  doubts(event) {
    if (event.type !== "conflict" && event.type !== "error") return false;
    const isHeld = this.#isSent(event.op_id) && this.#doubts.hold(event);
    if (isHeld && this.#doubts.isDue) this.#observer.doubted();
    return isHeld;
  }

  /** What was refused before says nothing any more: all that is on its way is sent again. */
  forgetDoubts() {
    this.#doubts.clear();
  }

  /**
   * The history was read.
   *
   * @param {ReadonlySet<string>} appliedIds operations of which it is known that they were applied since
   * @returns {ServerEvent[]} refusals that count now
   */
  decide(appliedIds) {
    const refused = this.#doubts.settleRequest();
    const ops = refused?.ops.filter(({ op_id: id }) => this.#isSent(id)) ?? [];
    if (refused !== null && ops.length > 0 && !ops.some(({ op_id: id }) => appliedIds.has(id)))
      this.#giveBack(ops, refused.problem);
    return this.#doubts.settle().filter(({ op_id: id }) => this.#isSent(id) && !appliedIds.has(id));
  }

  /** @param {string} id */
  #isSent(id) {
    return this.#replica.sent.some((op) => op.op_id === id);
  }

  async #send() {
    if (!this.#isOpen || this.#isPosting || this.#isBlocked) return;
    const ops = this.#next();
    if (ops.length === 0) return;
    this.#isPosting = true;
    this.#doubts.sending(ops, this.#replica.sent);
    try {
      await this.#post(ops);
      this.#doubts.answered(ops);
      this.#take(ops);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#refused(ops, error);
    } finally {
      this.#isPosting = false;
    }
    if (this.#doubts.isDue) this.#observer.doubted();
    this.wake();
  }

  /** @returns {Operation[]} */
  #next() {
    const again = this.#replica.unanswered();
    if (again.length > 0) return again.some((op) => this.#accepted.has(op.op_id)) ? [] : again;
    if (!this.#replica.isReplaying) return this.#replica.takeRequest(this.limits);
    const [first] = this.#replica.replaying;
    if (first !== undefined && this.#accepted.has(first.op_id)) return [];
    return this.#replica.takeReplay(this.limits);
  }

  /** @param {Operation[]} ops */
  #take(ops) {
    this.#failures.reset();
    this.#accepted = new Set(ops.map((op) => op.op_id));
    clearTimeout(this.#patience);
    if (!this.#isOpen) return;
    this.#patience = setTimeout(() => {
      this.#accepted.clear();
      this.wake();
    }, EVENTS_MS);
  }

  /** @param {Operation[]} ops @param {Problem} problem */
  #refused(ops, problem) {
    if (![...DENIED, ...UNACCEPTABLE].includes(problem.status)) {
      if (this.#isOpen) this.#wait(this.#failures.next(problem.retryAfterMs));
      return;
    }
    this.#doubts.answered(ops);
    if (!this.#doubts.holdRequest(ops, problem)) this.#giveBack(ops, problem);
  }

  /** @param {readonly Operation[]} ops of a request that was refused for good @param {Problem} problem */
  #giveBack(ops, problem) {
    // What is denied now may have been applied when it was sent before: it stays what it is.
    const dropped = this.#replica.giveBack(ops, { keepsEdits: DENIED.includes(problem.status) });
    if (dropped.length > 0) return this.#observer.dropped(dropped, problem);
    this.#isBlocked = true;
    this.#observer.blocked(problem);
  }

  /** @param {number} ms */
  #wait(ms) {
    this.#endPause();
    this.#pause = setTimeout(() => {
      this.#pause = null;
      this.#send();
    }, ms);
  }

  #endPause() {
    clearTimeout(this.#pause ?? undefined);
    this.#pause = null;
  }
}
