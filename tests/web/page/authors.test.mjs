/**
 * Who wrote what, compared with a text in which every character carries its author.
 */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Authors, SITTING_MS, writerOf } from "../../../canvas_server/web/page/authors.js";
import { randomFrom } from "./random.mjs";

const writer = (actor, timestamp = 0, kind = "human") =>
  writerOf({ actor, kind, client_id: null, op_id: `${actor}-${timestamp}`, timestamp });
const insert = (at, text) => ({ from: at, to: at, insert: text });
const told = (authors) => authors.ranges().map(({ from, to, actor }) => [from, to, actor]);
const each = (authors) => authors.ranges().flatMap(({ from, to, actor }) => Array(to - from).fill(actor));

/** A change at random of a text of that length. */
function randomChange(random, length) {
  const from = random(length + 1);
  const to = Math.min(length, from + (random(2) === 0 ? 0 : random(12)));
  return { from, to, insert: "x".repeat(random(3) === 0 ? 0 : random(9)) };
}

/** The same done to an array with one entry for each character. */
function spliced(naive, changes, actor) {
  for (const { from, to, insert: { length } } of changes) naive.splice(from, to - from, ...Array(length).fill(actor));
}

function randomAcks(random, length, count) {
  const acks = [];
  for (let number = 0; number < count; number += 1) {
    const changes = [];
    for (let left = 1 + random(2); left > 0; left -= 1) {
      const change = randomChange(random, length);
      length += change.insert.length - (change.to - change.from);
      changes.push(change);
    }
    acks.push({ actor: ["ada", "bob", "job:1"][random(3)], timestamp: number * random(2) * SITTING_MS, changes });
  }
  return { acks, length };
}

test("what was there before is unknown, and what is written in it is its writer's", () => {
  const authors = new Authors(10);
  authors.apply([insert(4, "abc")], writer("ada"));
  assert.deepEqual(told(authors), [
    [0, 4, null],
    [4, 7, "ada"],
    [7, 13, null],
  ]);
  assert.equal(authors.length, 13);
});

test("letters typed one by one are one stretch, of the last of their operations", () => {
  const authors = new Authors(0);
  for (let at = 0; at < 300; at += 1) authors.apply([insert(at, "x")], writer("ada", at));
  for (let at = 0; at < 300; at += 1) authors.apply([insert(100, "x")], writer("ada", 1000 + at));
  assert.deepEqual(told(authors), [[0, 600, "ada"]]);
  assert.equal(authors.ranges()[0].opId, "ada-1299");
});

test("the stretches of two sittings, of two authors and of two tabs are told apart", () => {
  const authors = new Authors(0);
  authors.apply([insert(0, "one")], writer("ada", 0));
  authors.apply([insert(3, "two")], writer("ada", SITTING_MS + 1));
  authors.apply([insert(6, "three")], writer("bob", SITTING_MS + 1));
  authors.apply([insert(11, "four")], { ...writer("bob", SITTING_MS + 1), clientId: "tab" });
  assert.deepEqual(told(authors), [
    [0, 3, "ada"],
    [3, 6, "ada"],
    [6, 11, "bob"],
    [11, 15, "bob"],
  ]);
});

test("the ranges partition the text and name the author of each character, whatever is done to it", () => {
  for (let seed = 1; seed <= 60; seed += 1) {
    const random = randomFrom(seed);
    const length = random(40);
    const naive = Array(length).fill(null);
    const authors = new Authors(length);
    for (const { actor, timestamp, changes } of randomAcks(random, length, 400).acks) {
      authors.apply(changes, writer(actor, timestamp));
      spliced(naive, changes, actor);
    }
    const ranges = authors.ranges();
    assert.deepEqual(each(authors), naive, `seed ${seed}`);
    assert.ok(ranges.every(({ from, to }, index) => from === (ranges[index - 1]?.to ?? 0) && to > from));
  }
});

test("a history read from its newest page backwards names the same authors as one read from its beginning", () => {
  for (let seed = 1; seed <= 60; seed += 1) {
    const random = randomFrom(seed);
    const start = random(60);
    const pages = [];
    let length = start;
    for (let page = 0; page < 4; page += 1) {
      const before = length;
      const made = randomAcks(random, length, 40);
      length = made.length;
      pages.push({ before, acks: made.acks });
    }
    const forward = new Authors(start);
    const applied = ({ before, acks }) => {
      const authors = new Authors(before);
      for (const { actor, timestamp, changes } of acks) authors.apply(changes, writer(actor, timestamp));
      return authors;
    };
    for (const { actor, timestamp, changes } of pages.flatMap(({ acks }) => acks)) {
      forward.apply(changes, writer(actor, timestamp));
    }
    const backward = applied(pages[3]);
    for (const page of pages.slice(0, 3).reverse()) backward.resolve(applied(page));
    assert.deepEqual(each(backward), each(forward), `seed ${seed}`);
    assert.equal(backward.isOpen, forward.isOpen);
  }
});

test("what is changed while an older page is read is kept, own edits that are not sent yet too", () => {
  const newest = new Authors(6);
  newest.apply([insert(2, "own")], { ...writer("me"), opId: null });
  newest.apply([{ from: 0, to: 1, insert: "" }], writer("bob"));
  const older = new Authors(2);
  older.apply([insert(1, "adas")], writer("ada"));
  newest.resolve(older);
  assert.deepEqual(each(newest), ["ada", "me", "me", "me", "ada", "ada", "ada", null]);
});

test("what nobody is known to have written is not looked for in an older page", () => {
  const authors = new Authors(0);
  authors.apply([insert(0, "found")], null);
  assert.equal(authors.isOpen, false);
  authors.resolve(new Authors(0));
  assert.deepEqual(told(authors), [[0, 5, null]]);
});

test("a change that lies outside the text is an error", () => {
  assert.throws(() => new Authors(3).apply([insert(4, "x")], writer("ada")), RangeError);
  assert.throws(() => new Authors(3).apply([{ from: 2, to: 4, insert: "" }], writer("ada")), RangeError);
});

test("ten thousand operations on a text of 100,000 characters walk a bounded number of pieces each", () => {
  const random = randomFrom(5);
  const authors = new Authors(100_000);
  let length = 100_000;
  for (let number = 0; number < 10_000; number += 1) {
    const from = random(length);
    authors.apply([insert(from, "xy")], writer(`author ${number % 7}`, number));
    length += 2;
  }
  assert.equal(authors.length, 120_000);
  assert.ok(authors.ranges().length > 15_000);
});

test("a job is known by what its first operation says", () => {
  const authors = new Authors(0);
  const job = (timestamp, meta) => ({ ...writer("job:1", timestamp, "job"), meta });
  authors.apply([insert(0, "one")], job(1, { model: "m" }));
  authors.apply([insert(3, "two")], job(2, null));
  authors.apply([insert(6, "three")], job(3, null));
  assert.deepEqual(authors.ranges().map(({ to, opId, meta }) => [to, opId, meta.model]), [[11, "job:1-3", "m"]]);
});
