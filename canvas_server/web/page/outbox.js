/**
 * This tab's own operations on their way: sent, answered by the stream, and on disk at last.
 *
 * Rule: an op whose end is not known is sent again unchanged, with its op_id. The server applies it once. One that
 * stood on a version which a crashed server forgot is made anew, unless it replaces text: what others wrote there since must not go unseen.
 */

import { Problem, submit } from "./api.js";
import { madeAnew, undoneBy } from "./operation.js";
import { UnsavedOperations } from "./unsaved.js";

/** Answers that leave open whether the op was taken: no answer at all, or a server in trouble. */
const UNSURE_STATUS_MIN = 500;

/**
 * @typedef {import("./operation.js").Operation} Operation
 * @typedef {object} OutboxObserver
 * @property {(op: Operation) => void} sent
 * @property {(op: Operation, event: any) => void} ended by an ack, a conflict or an error
 * @property {(op: Operation, problem: Problem, isOver: boolean) => void} refused not over: send it again unchanged
 */

export class Outbox {
  /** @type {Map<string, Operation>} whose end is not known, oldest first */ #pending = new Map();
  /** @type {string[]} op_ids of this tab's applied writings, the last one last */ #undoable = [];
  #unsaved = new UnsavedOperations();
  #ref;
  #observer;

  /** @param {string} ref @param {OutboxObserver} observer */
  constructor(ref, observer) {
    this.#ref = ref;
    this.#observer = observer;
  }

  /** The op_id that "undo my last" would undo; null when there is none. */
  get lastApplied() {
    return this.#undoable.at(-1) ?? null;
  }

  /** @param {Operation} op */
  async send(op) {
    this.#pending.set(op.op_id, op);
    this.#observer.sent(op);
    try {
      await submit(this.#ref, op);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#refused(op, error);
    }
  }

  /** Send again what has not ended: after a new connection, or because the author asks. */
  async resend() {
    for (const op of [...this.#pending.values()]) {
      if (this.#pending.has(op.op_id)) await this.send(op);
    }
  }

  /** @param {any} event of the stream, in its order */
  receive(event) {
    switch (event.type) {
      case "ack":
      case "conflict":
      case "error":
        return this.#end(event);
      case "checkpoint":
        return event.failed ? undefined : this.#unsaved.checkpoint(event.server_version);
      case "reset":
        return event.reason === "history" ? this.#keepForgotten() : undefined;
    }
  }

  /** @param {any} event */
  #end(event) {
    const op = this.#pending.get(event.op_id);
    if (op === undefined) return;
    const anew = madeAnew(op, event);
    if (anew !== null) return this.send(anew);
    this.#pending.delete(op.op_id);
    if (event.type === "ack") this.#applied(op, event.server_version);
    this.#observer.ended(op, event);
  }

  /** @param {Operation} op @param {string} version */
  #applied(op, version) {
    this.#unsaved.applied(op, version);
    const others = this.#undoable.filter((opId) => opId !== op.op_id && opId !== undoneBy(op));
    this.#undoable = op.action === "revert" ? others : [...others, op.op_id];
  }

  /** What was applied and is forgotten goes before what was still on its way. */
  #keepForgotten() {
    const forgotten = this.#unsaved.forgotten().map((op) => /** @type {const} */ ([op.op_id, op]));
    this.#pending = new Map([...forgotten, ...this.#pending]);
  }

  /** @param {Operation} op @param {Problem} problem */
  #refused(op, problem) {
    const isOver = problem.status !== 0 && problem.status < UNSURE_STATUS_MIN;
    if (isOver) this.#pending.delete(op.op_id);
    this.#observer.refused(op, problem, isOver);
  }
}
