/**
 * This tab's own operations that are applied but not yet on disk, in order.
 *
 * Rule (PROTOCOL section 5): whoever wrote an op keeps it until a checkpoint covers it. When a server comes back
 * without it, it is sent again unchanged, with its op_id: then its old version comes back too.
 */

import { sequenceOf } from "./document.js";

/** @typedef {import("./operation.js").Operation} Operation */

export class UnsavedOperations {
  /** @type {{op: Operation, version: string}[]} */ #kept = [];

  /** @param {Operation} op @param {string} version the one its ack gave it */
  applied(op, version) {
    const known = this.#kept.some((entry) => entry.op.op_id === op.op_id);
    if (!known) this.#kept.push({ op, version });
  }

  /** Everything up to this version is on disk. @param {string} version */
  checkpoint(version) {
    const durable = sequenceOf(version);
    this.#kept = this.#kept.filter((entry) => sequenceOf(entry.version) > durable);
  }

  /**
   * The server's history no longer goes as far as ours did.
   *
   * @returns {Operation[]} what to send again, oldest first; no longer kept here until acknowledged anew
   */
  forgotten() {
    const forgotten = this.#kept.map((entry) => entry.op);
    this.#kept = [];
    return forgotten;
  }
}
