/**
 * Taking back what some operations did, and nothing else: their inverse, carried over all that came since.
 *
 * It is walked from before the first of them to now with the change that would make the text what it were without them.
 * What others wrote inside is kept. Where exactly this change, or a spot of it, was made already, it is not made again.
 */

import { ChangeSet } from "../client/changeset.js";
import { difference } from "./difference.js";

/**
 * @typedef {import("./past.js").Ack} Ack
 * @typedef {import("../client/changeset.js").Spot} Spot
 */

export class TakeBack {
  #change = ChangeSet.EMPTY;
  #text;
  #isTaken;

  /**
   * @param {string} text the one before the first ack
   * @param {(ack: Ack) => boolean} isTaken whether an operation is to be taken back
   */
  constructor(text, isTaken) {
    this.#text = text;
    this.#isTaken = isTaken;
  }

  /** What takes them back, on the text after the last ack. */
  get change() {
    return this.#change;
  }

  /** The text after the last ack. */
  get text() {
    return this.#text;
  }

  /** @param {Ack} ack the next one of the history */
  add(ack) {
    const made = ChangeSet.of(ack.changes);
    this.#change = this.#isTaken(ack) ? this.#without(made) : this.#carriedOver(made);
    this.#text = made.apply(this.#text);
  }

  /** What it replaced may be almost what it wrote: only what differs is taken back. @param {ChangeSet} made */
  #without(made) {
    const after = made.apply(this.#text);
    const spots = made.invert(this.#text).spots.flatMap(({ from, to, insert }) =>
      difference(after.slice(from, to), insert).map((spot) => ({
        from: from + spot.from,
        to: from + spot.to,
        insert: spot.insert,
      })),
    );
    return new ChangeSet(spots).compose(this.#change);
  }

  /** @param {ChangeSet} made */
  #carriedOver(made) {
    const isDone = (/** @type {Spot} */ spot) => made.spots.some((other) => this.#isSame(spot, other));
    const left = this.#change.spots.filter((spot) => !isDone(spot));
    return new ChangeSet(left).rebase(made, { before: true });
  }

  /** @param {Spot} spot @param {Spot} made what was done, without what is the same at both ends */
  #isSame(spot, made) {
    if (made.from < spot.from || made.to > spot.to) return false;
    const [before, after] = [this.#text.slice(spot.from, made.from), this.#text.slice(made.to, spot.to)];
    return spot.insert === before + made.insert + after;
  }
}
