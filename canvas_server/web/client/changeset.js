/**
 * What turns one text into another: spots that are replaced, all at once, in coordinates of the text before.
 *
 * Rule: spots are sorted, and between two of them at least one character stays; so two sets that do the same are
 * equal. Everything takes time linear in the number of spots. Offsets count UTF-16 units.
 *
 * Where two sets meet, the text that each inserts stands where its spot begins, and is kept whatever the other deletes.
 */

/**
 * @typedef {{from: number, to: number, insert: string}} Change the text from `from` to `to` becomes `insert`
 * @typedef {Readonly<Change>} Spot
 */

export class ChangeSet {
  static EMPTY = new ChangeSet([]);

  /** @readonly @type {readonly Spot[]} */ spots;

  /** Use `of`, `at` or `Spots`: they keep the rule. @param {readonly Spot[]} spots */
  constructor(spots) {
    this.spots = spots;
  }

  /** One change. @param {Change} change @returns {ChangeSet} */
  static at({ from, to, insert }) {
    if (!(from >= 0 && from <= to)) throw new RangeError(`a change cannot go from ${from} to ${to}`);
    return from === to && insert === "" ? ChangeSet.EMPTY : new ChangeSet([{ from, to, insert }]);
  }

  /**
   * Changes that come one after the other, each in the coordinates that the one before left.
   *
   * @param {readonly Change[]} changes
   * @returns {ChangeSet}
   */
  static of(changes) {
    if (changes.length === 0) return ChangeSet.EMPTY;
    if (changes.length === 1) return ChangeSet.at(changes[0]);
    const half = changes.length >> 1;
    return ChangeSet.of(changes.slice(0, half)).compose(ChangeSet.of(changes.slice(half)));
  }

  /** Changes to be made one after the other: the last spot first, so that none moves another. @returns {Change[]} */
  get changes() {
    return this.spots.map((spot) => ({ ...spot })).reverse();
  }

  get isEmpty() {
    return this.spots.length === 0;
  }

  /** By how much the text becomes longer. @returns {number} */
  get growth() {
    return this.spots.reduce((sum, spot) => sum + growthOf(spot), 0);
  }

  /** The least length of a text that it can be applied to. @returns {number} */
  get reach() {
    return this.spots.at(-1)?.to ?? 0;
  }

  /** @param {string} text @returns {string} @throws {RangeError} a spot lies outside the text */
  apply(text) {
    if (this.reach > text.length) throw new RangeError(`${this.reach} lies outside a text of ${text.length}`);
    let made = "";
    let done = 0;
    for (const { from, to, insert } of this.spots) {
      made += text.slice(done, from) + insert;
      done = to;
    }
    return made + text.slice(done);
  }

  /** What takes it back. @param {string} text the one before @returns {ChangeSet} on the one after */
  invert(text) {
    let shift = 0;
    const spots = this.spots.map((spot) => {
      const from = spot.from + shift;
      shift += growthOf(spot);
      return { from, to: from + spot.insert.length, insert: text.slice(spot.from, spot.to) };
    });
    return new ChangeSet(spots);
  }

  /** This, and then another. @param {ChangeSet} next on the text that this makes @returns {ChangeSet} both at once */
  compose(next) {
    if (this.isEmpty) return next;
    if (next.isEmpty) return this;
    return composed(this.spots, next.spots);
  }

  /**
   * The same intention on a text in which another set, made of the same text, was applied.
   *
   * `a.compose(b.rebase(a, {before: false}))` equals `b.compose(a.rebase(b, {before: true}))`.
   *
   * @param {ChangeSet} over
   * @param {{before: boolean}} order whether this comes first where both insert at one point
   * @returns {ChangeSet}
   */
  rebase(over, { before }) {
    if (this.isEmpty || over.isEmpty) return this;
    const rebased = new Spots();
    const way = new Way(over.spots);
    for (const { from, to, insert } of this.spots) {
      const at = way.point(from, before);
      rebased.add(at, at, insert);
      way.keptPieces(from, to, (start, end) => rebased.add(start, end, ""));
    }
    return rebased.done();
  }

  /**
   * Where a point goes.
   *
   * @param {number} position
   * @param {-1|1} side of text that is inserted right there, or in place of what it was in: before or behind it
   * @returns {number}
   */
  mapPoint(position, side) {
    let shift = 0;
    for (const spot of this.spots) {
      if (spot.from > position || (spot.from === position && side < 0)) break;
      if (spot.to > position) return spot.from + shift + (side < 0 ? 0 : spot.insert.length);
      if (spot.to === position && side < 0) return spot.from + shift;
      shift += growthOf(spot);
    }
    return position + shift;
  }

  /**
   * Where a point comes from: one inside of what is inserted, from behind what that takes the place of.
   *
   * @param {number} position in the text that this makes
   * @returns {number} in the one before
   */
  unmapPoint(position) {
    let shift = 0;
    for (const spot of this.spots) {
      const from = spot.from + shift;
      if (position <= from) break;
      if (position < from + spot.insert.length) return spot.to;
      shift += growthOf(spot);
    }
    return position - shift;
  }

  /** @param {ChangeSet} other @returns {boolean} whether it does the same */
  equals(other) {
    const { spots } = other;
    return (
      this.spots.length === spots.length &&
      this.spots.every(
        ({ from, to, insert }, index) =>
          from === spots[index].from && to === spots[index].to && insert === spots[index].insert,
      )
    );
  }
}

/** Collects spots in ascending order, and joins those that touch. */
export class Spots {
  /** @type {Change[]} */ #spots = [];

  /** @param {number} from not before the end of the one before @param {number} to @param {string} insert */
  add(from, to, insert) {
    if (from === to && insert === "") return;
    const last = this.#spots.at(-1);
    if (last !== undefined && from <= last.to) {
      last.to = Math.max(last.to, to);
      last.insert += insert;
    } else {
      this.#spots.push({ from, to, insert });
    }
  }

  /** @returns {ChangeSet} */
  done() {
    return this.#spots.length === 0 ? ChangeSet.EMPTY : new ChangeSet(this.#spots);
  }
}

/** Goes along a set once, from left to right, and tells where the places of the text before it are after it. */
class Way {
  #spots;
  #next = 0;
  #shift = 0;

  /** @param {readonly Spot[]} spots */
  constructor(spots) {
    this.#spots = spots;
  }

  /**
   * Where text goes that is inserted at `position`; `before`: ahead of what is inserted at the same point.
   *
   * @param {number} position
   * @param {boolean} before
   */
  point(position, before) {
    while (this.#spot !== undefined && this.#spot.from < position && this.#spot.to <= position) this.#pass();
    const spot = this.#spot;
    const isBehind = spot !== undefined && (spot.from < position || (spot.from === position && !before));
    return (isBehind ? spot.from + spot.insert.length : position) + this.#shift;
  }

  /**
   * The pieces of the text from `from` to `to` that are still there, in order.
   *
   * @param {number} from
   * @param {number} to
   * @param {(start: number, end: number) => void} tell
   */
  keptPieces(from, to, tell) {
    let start = from;
    for (let spot = this.#spot; spot !== undefined && spot.from < to; spot = this.#spot) {
      if (spot.from > start) tell(start + this.#shift, spot.from + this.#shift);
      start = Math.max(start, spot.to);
      if (spot.to > to) return;
      this.#pass();
    }
    if (start < to) tell(start + this.#shift, to + this.#shift);
  }

  get #spot() {
    return this.#spots[this.#next];
  }

  #pass() {
    this.#shift += growthOf(this.#spots[this.#next]);
    this.#next += 1;
  }
}

/** A set read piece by piece along the text before it: what is kept, what is inserted, what is dropped. */
class Pieces {
  #spots;
  #next = 0;
  #done = 0;
  #inserted = 0;

  /** @param {readonly Spot[]} spots */
  constructor(spots) {
    this.#spots = spots;
  }

  /** The piece that comes now: its kind and how many units are left of it; at the end an endless one is kept. */
  get head() {
    const spot = this.#spots[this.#next];
    if (spot === undefined) return { kind: "keep", length: Infinity };
    if (this.#done < spot.from) return { kind: "keep", length: spot.from - this.#done };
    if (this.#inserted < spot.insert.length) return { kind: "insert", length: spot.insert.length - this.#inserted };
    return { kind: "drop", length: spot.to - this.#done };
  }

  get isOver() {
    return this.#next === this.#spots.length;
  }

  /** Go on by so many units of the piece. @param {number} length @returns {string} what is inserted there */
  take(length) {
    const { kind } = this.head;
    if (kind === "insert") this.#inserted += length;
    else this.#done += length;
    const { insert = "" } = this.#spots[this.#next] ?? {};
    const taken = kind === "insert" ? insert.slice(this.#inserted - length, this.#inserted) : "";
    this.#endSpot();
    return taken;
  }

  #endSpot() {
    const spot = this.#spots[this.#next];
    if (spot === undefined || this.#done < spot.to || this.#inserted < spot.insert.length) return;
    this.#next += 1;
    this.#inserted = 0;
  }
}

/** @param {readonly Spot[]} first @param {readonly Spot[]} second */
function composed(first, second) {
  const spots = new Spots();
  const [before, after] = [new Pieces(first), new Pieces(second)];
  let at = 0;
  while (!before.isOver || !after.isOver) {
    const [one, two] = [before.head, after.head];
    if (one.kind === "drop") {
      before.take(one.length);
      spots.add(at, (at += one.length), "");
    } else if (two.kind === "insert") {
      spots.add(at, at, after.take(two.length));
    } else {
      const length = Math.min(one.length, two.length);
      const inserted = before.take(length);
      after.take(length);
      const end = one.kind === "keep" ? at + length : at;
      if (two.kind === "drop") spots.add(at, end, "");
      else spots.add(at, at, inserted);
      at = end;
    }
  }
  return spots.done();
}

/** @param {Spot} spot */
function growthOf({ from, to, insert }) {
  return insert.length - (to - from);
}

/**
 * The smallest change of one stretch that makes one text of another; it divides no surrogate pair.
 *
 * @param {string} before
 * @param {string} after
 * @returns {ChangeSet}
 */
export function textDifference(before, after) {
  if (before === after) return ChangeSet.EMPTY;
  const most = Math.min(before.length, after.length);
  let start = 0;
  while (start < most && before.charCodeAt(start) === after.charCodeAt(start)) start += 1;
  if (start > 0 && isHigh(before.charCodeAt(start - 1))) start -= 1;
  let end = 0;
  while (end < most - start && before.charCodeAt(before.length - 1 - end) === after.charCodeAt(after.length - 1 - end))
    end += 1;
  if (end > 0 && isLow(before.charCodeAt(before.length - end))) end -= 1;
  return ChangeSet.at({ from: start, to: before.length - end, insert: after.slice(start, after.length - end) });
}

/** @param {number} unit @returns {boolean} whether it is the first half of a pair */
export function isHigh(unit) {
  return unit >= 0xd800 && unit <= 0xdbff;
}

/** @param {number} unit @returns {boolean} whether it is the second half of a pair */
export function isLow(unit) {
  return unit >= 0xdc00 && unit <= 0xdfff;
}
