/** The algebra of changes, by chance: what must hold for any texts and changes. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { ChangeSet, textDifference } from "../../../canvas_server/web/client/changeset.js";
import { cleanSet, cleanText } from "../../../canvas_server/web/client/clean.js";
import { undo } from "../../../canvas_server/web/client/undo.js";
import { randomOf } from "./random.mjs";

const CASES = 1_500;
const PIECES = ["a", "b", "é", "😀", "𝒳", "\n", "xyz"];

const oneByOne = (text, changes) =>
  changes.reduce((before, { from, to, insert }) => before.slice(0, from) + insert + before.slice(to), text);

function textOf(random, length = 12) {
  return Array.from({ length: random(length) }, () => PIECES[random(PIECES.length)]).join("");
}

/** Changes that come one after the other. */
function changesOf(text, random, count = 4) {
  let length = text.length;
  return Array.from({ length: random(count + 1) }, () => {
    const from = random(length + 1);
    const to = random(2) ? from : Math.min(length, from + random(5));
    const insert = textOf(random, 3);
    length += insert.length - (to - from);
    return { from, to, insert };
  });
}

function forAny(check) {
  for (let seed = 1; seed <= CASES; seed += 1) {
    const random = randomOf(seed);
    const text = textOf(random);
    check(text, random, `seed ${seed}`);
  }
}

test("a set does what its changes do one after the other, and tells changes that do the same", () =>
  forAny((text, random, seed) => {
    const changes = changesOf(text, random);
    const set = ChangeSet.of(changes);
    assert.equal(set.apply(text), oneByOne(text, changes), seed);
    assert.equal(oneByOne(text, set.changes), set.apply(text), seed);
    assert.equal(set.apply(text).length, text.length + set.growth, seed);
  }));

test("spots are sorted, and between two of them a character stays", () =>
  forAny((text, random, seed) => {
    const { spots } = ChangeSet.of(changesOf(text, random));
    for (const [index, { from, to, insert }] of spots.entries()) {
      assert(from <= to && (from < to || insert !== ""), seed);
      assert(index === 0 || from > spots[index - 1].to, seed);
    }
  }));

test("two sets of one text, each rebased over the other, come to the same", () =>
  forAny((text, random, seed) => {
    const [one, two] = [ChangeSet.of(changesOf(text, random)), ChangeSet.of(changesOf(text, random))];
    const oneFirst = one.compose(two.rebase(one, { before: false }));
    const twoFirst = two.compose(one.rebase(two, { before: true }));
    assert(oneFirst.equals(twoFirst), seed);
    assert.equal(oneFirst.apply(text), twoFirst.rebase(ChangeSet.EMPTY, { before: true }).apply(text), seed);
  }));

test("sets may be composed in any grouping", () =>
  forAny((text, random, seed) => {
    const one = ChangeSet.of(changesOf(text, random));
    const two = ChangeSet.of(changesOf(one.apply(text), random));
    const three = ChangeSet.of(changesOf(two.apply(one.apply(text)), random));
    const grouped = one.compose(two).compose(three);
    assert(grouped.equals(one.compose(two.compose(three))), seed);
    assert.equal(grouped.apply(text), three.apply(two.apply(one.apply(text))), seed);
  }));

test("a set and its inverse leave the text as it was", () =>
  forAny((text, random, seed) => {
    const set = ChangeSet.of(changesOf(text, random));
    assert.equal(set.invert(text).apply(set.apply(text)), text, seed);
    assert.equal(set.compose(set.invert(text)).apply(text), text, seed);
  }));

test("what one inserts is kept whatever the other deletes", () => {
  const deletion = ChangeSet.at({ from: 1, to: 9, insert: "" });
  const insertion = ChangeSet.at({ from: 5, to: 5, insert: "kept" });
  assert.equal(insertion.rebase(deletion, { before: false }).apply(deletion.apply("0123456789")), "0kept9");
  assert.equal(deletion.rebase(insertion, { before: false }).apply(insertion.apply("0123456789")), "0kept9");
});

test("at one point the one that is to come before comes first", () => {
  const [one, two] = ["one", "two"].map((insert) => ChangeSet.at({ from: 1, to: 1, insert }));
  assert.equal(one.compose(two.rebase(one, { before: false })).apply("ab"), "aonetwob");
  assert.equal(one.compose(two.rebase(one, { before: true })).apply("ab"), "atwooneb");
});

test("a point goes where an insertion at that point would be", () =>
  forAny((text, random, seed) => {
    const set = ChangeSet.of(changesOf(text, random));
    const position = random(text.length + 1);
    assert(set.mapPoint(position, -1) <= set.mapPoint(position, 1), seed);
    const kept = set.spots.every(({ from, to }) => position < from || position > to);
    if (kept) assert.equal(set.mapPoint(position, -1), set.mapPoint(position, 1), seed);
    if (kept) assert.equal(set.apply(text)[set.mapPoint(position, 1)], text[position], seed);
  }));

test("a point that a set leaves in the text comes from where it was", () =>
  forAny((text, random, seed) => {
    const set = ChangeSet.of(changesOf(text, random));
    const position = random(text.length + 1);
    if (set.spots.every(({ from, to }) => position < from || position > to)) {
      assert.equal(set.unmapPoint(set.mapPoint(position, 1)), position, seed);
    }
    const behind = set.unmapPoint(random(set.apply(text).length + 1));
    assert(behind >= 0 && behind <= text.length, seed);
  }));

test("a point inside of what was inserted comes from behind what that took the place of", () => {
  const set = ChangeSet.at({ from: 2, to: 4, insert: "abc" });
  assert.deepEqual(
    [0, 2, 3, 4, 5, 6].map((position) => set.unmapPoint(position)),
    [0, 2, 4, 4, 4, 5],
  );
});

test("a difference makes one text of the other, and divides no surrogate pair", () =>
  forAny((text, random, seed) => {
    const other = random(2) ? textOf(random) : ChangeSet.of(changesOf(text, random)).apply(text).toWellFormed();
    const difference = textDifference(text, other);
    assert.equal(difference.apply(text), other, seed);
    for (const { from, to, insert } of difference.spots) {
      assert(insert.isWellFormed(), seed);
      assert(text.slice(0, from).isWellFormed() && text.slice(to).isWellFormed(), seed);
    }
  }));

test("a clean set leaves clean text", () =>
  forAny((text, random, seed) => {
    const dirty = ["\r\n", "\r", "\0", "\ud83d", "\ude00", "ok"];
    const changes = changesOf(text, random).map((change) => ({ ...change, insert: change.insert + dirty[random(6)] }));
    const before = text;
    const after = cleanSet(ChangeSet.of(changes.slice(0, 1)), before).apply(before);
    assert.equal(cleanText(after), after, seed);
    assert(after.isWellFormed() && !/[\r\0]/.test(after), seed);
  }));

test("a change outside the text is refused", () => {
  assert.throws(() => ChangeSet.at({ from: 2, to: 1, insert: "" }), RangeError);
  assert.throws(() => ChangeSet.at({ from: -1, to: 1, insert: "" }), RangeError);
  assert.throws(() => ChangeSet.at({ from: 0, to: 4, insert: "" }).apply("abc"), RangeError);
});

test("ten thousand spots are composed and rebased in linear time", () => {
  const text = "ab".repeat(100_000);
  const many = (shift) =>
    new ChangeSet(
      Array.from({ length: 10_000 }, (_, i) => ({ from: i * 20 + shift, to: i * 20 + shift + 1, insert: "xy" })),
    );
  const [one, two] = [many(0), many(7)];
  assert(one.compose(two.rebase(one, { before: false })).equals(two.compose(one.rebase(two, { before: true }))));
  assert.equal(one.apply(text).length, text.length + 10_000);
});

test("undoing some of a history leaves all that the others wrote", () =>
  forAny((text, random, seed) => {
    let now = text;
    const acks = Array.from({ length: 1 + random(6) }, (_, index) => {
      const changes = changesOf(now, random, 2);
      now = oneByOne(now, changes);
      return { changes, index };
    });
    assert.equal(undo(text, acks, () => true).apply(now), text, seed);
    assert(undo(text, acks, () => false).isEmpty, seed);
    const last = acks.length - 1;
    const before = acks.slice(0, last).reduce((made, { changes }) => oneByOne(made, changes), text);
    assert.equal(undo(text, acks, ({ index }) => index === last).apply(now), before, seed);
  }));

test("an insertion goes, and what another wrote into it stays", () => {
  const acks = [
    { by: "agent", changes: [{ from: 1, to: 1, insert: "long" }] },
    { by: "me", changes: [{ from: 3, to: 3, insert: "-mine-" }] },
    { by: "agent", changes: [{ from: 0, to: 1, insert: "A" }] },
  ];
  const now = acks.reduce((text, { changes }) => oneByOne(text, changes), "ab");
  assert.equal(now, "Alo-mine-ngb");
  assert.equal(undo("ab", acks, ({ by }) => by === "agent").apply(now), "a-mine-b");
});
