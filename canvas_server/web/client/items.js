/**
 * What an author wrote that is not acknowledged, in order: what is on its way, and what waits.
 *
 * Rule: each item changes the text that the confirmed one and all items before it make. Neighbours that wait are one.
 */

import { ChangeSet } from "./changeset.js";

/**
 * @typedef {import("./operation.js").Operation} Operation
 *
 * @typedef {object} Item
 * @property {ChangeSet} set what it does; nothing, for an operation as it was given: that is applied by its ack
 * @property {Operation|null} raw an operation as it was given
 * @property {symbol|null} request the one that it was sent in, or has to be
 * @property {Operation|null} op as it was sent; null: it is not on its way
 */

export class Items {
  /** @type {Item[]} */ #list = [];

  get isEmpty() {
    return this.#list.length === 0;
  }

  /** @returns {Item|undefined} */
  get head() {
    return this.#list[0];
  }

  /** What all of them do together. @returns {ChangeSet} */
  get set() {
    return this.#list.reduce((all, { set }) => all.compose(set), ChangeSet.EMPTY);
  }

  /** The edits, as data; `isWhole`: there is nothing but edits. */
  get draft() {
    const requests = [...new Set(this.#list.map(({ request }) => request))];
    const edits = this.#list.filter(({ raw }) => raw === null);
    return {
      edits: edits.map(({ set, op, request }) => ({ spots: set.spots, op, request: requests.indexOf(request) })),
      isWhole: edits.length === this.#list.length,
    };
  }

  /** @param {import("./drafts.js").DraftEdit[]} edits */
  restore(edits) {
    /** @type {Map<number, symbol>} */
    const requests = new Map(edits.map(({ request }) => [request, Symbol("restored")]));
    for (const { spots, op, request } of edits)
      this.#list.push(itemOf({ set: new ChangeSet(spots), op, request: requests.get(request) }));
    this.tidy();
  }

  /** How many operations that makes. @returns {number} */
  get count() {
    return this.#list.reduce((sum, { op, raw, set }) => sum + (op || raw ? 1 : set.spots.length), 0);
  }

  /** The operations of the first request on its way, as they were sent. @returns {Operation[]} */
  get onTheirWay() {
    const first = this.#list.find(({ op }) => op !== null);
    return this.#list.flatMap(({ op, request }) => (op !== null && request === first?.request ? [op] : []));
  }

  /** All operations on their way, as they were sent. @returns {Operation[]} */
  get sent() {
    return this.#list.flatMap(({ op }) => op ?? []);
  }

  /** @param {Partial<Item>} item */
  push(item) {
    this.#list.push(itemOf(item));
    this.tidy();
  }

  /** @param {Partial<Item>} item */
  unshift(item) {
    this.#list.unshift(itemOf(item));
  }

  /** @param {Partial<Item>[]} items that take the place of the head */
  replaceHead(items) {
    this.#list.splice(0, 1, ...items.map(itemOf));
    this.tidy();
  }

  /** @param {symbol|null} request @returns {Item[]} */
  batch(request) {
    return this.#list.filter((item) => item.request === request);
  }

  /** Where an operation is that is on its way. @param {string} opId @returns {number} -1: nowhere */
  indexOf(opId) {
    return this.#list.findIndex(({ op }) => op?.op_id === opId);
  }

  /** @param {number} index @returns {Item|undefined} */
  at(index) {
    return this.#list[index];
  }

  /**
   * Have a change of the text below go through.
   *
   * @param {ChangeSet} incoming
   * @param {number} [from] the first item that stands on it
   * @returns {ChangeSet} what it does above
   */
  pass(incoming, from = 0) {
    for (const item of this.#list.slice(from)) {
      const { set } = item;
      item.set = set.rebase(incoming, { before: false });
      incoming = incoming.rebase(set, { before: true });
    }
    return incoming;
  }

  /** Take the head out without taking back what it did: it is in the text below now. @returns {Item} */
  shift() {
    return /** @type {Item} */ (this.#list.shift());
  }

  /**
   * An operation as it was given is applied: it is out, and the next of its request may be sent without it.
   *
   * @param {number} index
   * @param {string} version that it made
   */
  endRaw(index, version) {
    const [{ request }] = this.#list.splice(index, 1);
    const next = this.#list[index];
    if (next?.raw && next.op && next.request === request) next.op = { client_version: version, ...next.op };
  }

  /**
   * Take an item out, and what it did.
   *
   * @param {number} index
   * @param {string} below
   * @returns {ChangeSet} what that does above
   */
  exclude(index, below) {
    const before = this.#list.slice(0, index).reduce((text, { set }) => set.apply(text), below);
    const [item] = this.#list.splice(index, 1);
    return this.pass(item.set.invert(before), index);
  }

  /**
   * An operation was refused: after it nothing of its request was run. Edits wait again, operations as given are out.
   *
   * @param {number} index
   * @returns {boolean} whether it is out
   */
  refuse(index) {
    const { raw, request } = this.#list[index];
    this.#list = this.#list.filter((item, at) => at < index || item.raw === null || item.request !== request);
    for (const item of this.#list.slice(index)) if (item.request === request) item.op = null;
    this.tidy();
    return raw !== null;
  }

  /**
   * A request was refused as a whole.
   *
   * @param {ReadonlySet<string>} ids
   * @param {boolean} keepsEdits on their way
   * @returns {Operation[]} what is out
   */
  giveBack(ids, keepsEdits) {
    const refused = this.#list.filter(({ op }) => op !== null && ids.has(op.op_id));
    const out = refused.filter(({ raw }) => raw !== null);
    this.#list = this.#list.filter((item) => !out.includes(item));
    const dropped = out.flatMap(({ op }) => op ?? []);
    if (!keepsEdits) for (const item of refused) item.op = null;
    this.tidy();
    return dropped;
  }

  /** Take out what was given as it is. @returns {Operation[]} */
  withdraw() {
    const out = this.#list.flatMap(({ raw }) => raw ?? []);
    this.#list = this.#list.filter(({ raw }) => raw === null);
    this.tidy();
    return out;
  }

  tidy() {
    /** @type {Item[]} */
    const list = [];
    for (const item of this.#list) {
      const last = list.at(-1);
      if (last !== undefined && waits(last) && waits(item)) last.set = last.set.compose(item.set);
      else list.push(item);
    }
    this.#list = list.filter((item) => !waits(item) || !item.set.isEmpty);
  }
}

/** @param {Partial<Item>} given @returns {Item} */
function itemOf(given) {
  return { set: ChangeSet.EMPTY, raw: null, request: null, op: null, ...given };
}

/** @param {Item} item @returns {boolean} whether it is an edit that is not on its way */
function waits({ raw, op }) {
  return raw === null && op === null;
}
