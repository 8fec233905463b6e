/**
 * What was acknowledged above the last checkpoint, in order: a crash of the server may forget it.
 *
 * Rule (protocol, section 5): acknowledged is applied and visible, a checkpoint is on disk. Until then whoever wrote an
 * operation keeps it. `lost` are those at the end which the server was found to have forgotten.
 */

import { operationOf } from "./operation.js";
import { sequenceOf } from "./version.js";

/**
 * @typedef {import("./changeset.js").Change} Change
 * @typedef {import("./changeset.js").ChangeSet} ChangeSet
 * @typedef {import("./operation.js").Operation} Operation
 *
 * @typedef {object} Entry
 * @property {string} version that it made
 * @property {string} base
 * @property {string} opId
 * @property {Change[]} changes as they were acknowledged
 * @property {ChangeSet} set the same at once
 * @property {ChangeSet} inverse what takes it back
 * @property {Operation|null} op as it was sent; null: another's
 * @property {Sending|null} sending while it is sent again
 *
 * @typedef {{op: Operation, request: symbol}} Sending an operation on its way, and the request that it is one of
 */

export class UnsavedLog {
  /** @type {Entry[]} */ #kept = [];
  /** @type {Entry[]} */ #lost = [];
  /** @type {string|null} a checkpoint that the log does not reach yet */ #checkpoint = null;
  #floor;

  /** @param {string} floor the version before the first entry */
  constructor(floor) {
    this.#floor = floor;
  }

  /** The version before the first entry: as far as is known, on disk. */
  get floor() {
    return this.#floor;
  }

  /** The newest version of which the server is not known to have forgotten it. */
  get head() {
    return this.#kept.at(-1)?.version ?? this.#floor;
  }

  /** @returns {readonly Entry[]} */
  get lost() {
    return this.#lost;
  }

  get holdsOwn() {
    return [...this.#kept, ...this.#lost].some((entry) => entry.op !== null);
  }

  /** @param {Entry} entry that makes a version of `head` */
  add(entry) {
    this.#kept.push(entry);
    this.#forgetSaved();
  }

  /** Everything up to this version is on disk. @param {string} version */
  checkpoint(version) {
    this.#checkpoint = version;
    this.#forgetSaved();
  }

  /** Whether a version is another one than that of the same number here. @param {string} version */
  contradicts(version) {
    const number = sequenceOf(version);
    return [this.#floor, ...this.#kept.map((entry) => entry.version)].some(
      (known) => sequenceOf(known) === number && known !== version,
    );
  }

  /**
   * Everything after the newest version that the server knows counts as lost.
   *
   * @param {ReadonlySet<string>} known
   * @returns {boolean} false: it knows none of them, and all is lost
   */
  loseAfter(known) {
    const all = [...this.#kept, ...this.#lost];
    const index = all.findLastIndex((entry) => known.has(entry.version));
    this.#kept = all.slice(0, index + 1);
    this.#lost = all.slice(index + 1);
    return index >= 0 || known.has(this.#floor);
  }

  /** The first that was lost is there again. */
  regain() {
    for (const entry of this.#lost.splice(0, 1)) this.add({ ...entry, sending: null });
  }

  /** A lost one and all that was sent again with it, behind it, is not on its way any more. @param {Entry} entry */
  recall(entry) {
    const request = entry.sending?.request;
    for (const later of this.#lost.slice(this.#lost.indexOf(entry)))
      if (later.sending?.request === request) later.sending = null;
  }

  /** @returns {Entry[]} what was lost, and is not kept here any more */
  giveUp() {
    return this.#lost.splice(0);
  }

  #forgetSaved() {
    const saved = this.#kept.findIndex((entry) => entry.version === this.#checkpoint);
    if (saved < 0) return;
    this.#floor = this.#kept[saved].version;
    this.#kept.splice(0, saved + 1);
  }
}

/**
 * An operation that gives its old version back: it stands on the version before, and does what it did. Offsets were
 * read in an older text, so what they came to takes their place.
 *
 * @param {Entry} entry
 * @returns {Operation}
 */
export function replayOf({ opId, base, changes, op }) {
  const { where, options, content, ...kept } = /** @type {Operation} */ (op);
  const hasOffsets = kept.target?.type === "position" && changes.length === 1;
  return hasOffsets
    ? { ...kept, ...operationOf(changes[0], base, opId) }
    : { .../** @type {Operation} */ (op), client_version: base };
}
