/**
 * Taking back: all of what was chosen, and not one character of others.
 */

import assert from "node:assert/strict";
import { test } from "node:test";

import { TakeBack } from "../../../canvas_server/web/page/takeback.js";
import { inverseOf, replayed } from "../../../canvas_server/web/page/timeline.js";
import { randomFrom } from "./random.mjs";

const ack = (actor, ...changes) => ({ op_id: `${actor}-${Math.abs(changes[0]?.from)}`, actor, changes });
const insert = (at, text) => ({ from: at, to: at, insert: text });
const byAgent = ({ actor }) => actor === "agent";

function takenBack(text, acks, isTaken = byAgent) {
  const back = new TakeBack(text, isTaken);
  for (const each of acks) back.add(each);
  return { change: back.change, text: back.change.apply(back.text) };
}

test("when nothing else happened the text is what it was", () => {
  const acks = [ack("agent", insert(3, " two")), ack("agent", { from: 0, to: 3, insert: "ONE" }), ack("agent", insert(7, "!"))];
  assert.equal(takenBack("one\n", acks).text, "one\n");
});

test("what others wrote before, behind and inside stays", () => {
  const acks = [ack("agent", insert(1, "machine")), ack("ada", insert(4, "ADA")), ack("ada", insert(0, "<")), ack("ada", insert(13, ">"))];
  assert.equal(takenBack("()", acks).text, "<(ADA)>");
});

test("what was deleted comes back where it was, beside what others wrote there", () => {
  const acks = [ack("agent", { from: 2, to: 9, insert: "" }), ack("ada", insert(2, "new "))];
  assert.equal(takenBack("a sombre story", acks).text, "a sombre new story");
});

test("where a whole section was written anew, only the words that differ are taken back", () => {
  const before = "Rain over the port.\nMira waits.\n";
  const after = "Snow over the port.\nMira waits.\n";
  const written = ack("agent", { from: 0, to: before.length, insert: after });
  const { change, text } = takenBack(before, [written, ack("ada", insert(after.length - 2, " alone"))]);
  assert.deepEqual(change.spots, [{ from: 0, to: 4, insert: "Rain" }]);
  assert.equal(text, "Rain over the port.\nMira waits alone.\n");
});

test("what was taken back already is not taken back again, deletions too", () => {
  const acks = [ack("agent", { from: 2, to: 6, insert: "" }), ack("agent", insert(0, "x")), ack("agent", { from: 4, to: 5, insert: "yz" })];
  const { change, text } = takenBack("a long story", acks);
  const undone = change.changes.map((each) => ack("ada", each));
  const again = takenBack("a long story", [...acks, ...undone]);
  assert.equal(text, "a long story");
  assert.deepEqual(again.change.spots, []);
});

test("what was taken back is taken up again by taking that back", () => {
  const acks = [ack("agent", insert(0, "machine ")), ack("ada", insert(3, "X"))];
  const { change, text } = takenBack("end", acks);
  const undo = change.changes.map((each) => ack("bob", each));
  const redone = takenBack("end", [...acks, ...undo], ({ actor }) => actor === "bob");
  assert.equal(text, "Xend");
  assert.equal(redone.text, "macXhine end");
});

/** Each character with the one who wrote it. */
const lettersOf = (text, actor) => Array.from({ length: text.length }, (_, index) => ({ unit: text[index], actor }));

function applyTo(letters, changes, actor) {
  for (const { from, to, insert: text } of changes) letters.splice(from, to - from, ...lettersOf(text, actor));
}

function randomChange(random, length) {
  const from = random(length + 1);
  const to = Math.min(length, from + (random(2) === 0 ? 0 : random(7)));
  return { from, to, insert: "abcdefgh".slice(0, random(3) === 0 ? 0 : random(8)) };
}

test("nothing that others wrote is ever deleted, whatever is taken back", () => {
  for (let seed = 1; seed <= 400; seed += 1) {
    const random = randomFrom(seed);
    const start = "The old port, at night.\n";
    const letters = lettersOf(start, "ada");
    const acks = [];
    for (let count = random(40); count > 0; count -= 1) {
      const actor = ["agent", "ada", "bob"][random(3)];
      const changes = [randomChange(random, letters.length)];
      applyTo(letters, changes, actor);
      acks.push(ack(actor, ...changes));
    }
    const { change } = takenBack(start, acks);
    const touched = change.spots.flatMap(({ from, to }) => letters.slice(from, to));
    assert.ok(touched.every(byAgent), `seed ${seed}`);
  }
});

test("alone, whatever was done is taken back to the letter", () => {
  for (let seed = 1; seed <= 400; seed += 1) {
    const random = randomFrom(seed);
    const start = "The old port, at night.\n";
    const acks = [];
    let length = start.length;
    for (let count = random(40); count > 0; count -= 1) {
      const change = randomChange(random, length);
      length += change.insert.length - (change.to - change.from);
      acks.push(ack("agent", change));
    }
    assert.equal(takenBack(start, acks).text, start, `seed ${seed}`);
  }
});

test("others that wrote elsewhere find their text as if nothing had been there", () => {
  for (let seed = 1; seed <= 100; seed += 1) {
    const random = randomFrom(seed);
    const [upper, lower] = ["# Ada\n\nOne.\n", "# Agent\n\nTwo.\n"];
    const acks = [];
    const texts = [upper, lower];
    for (let count = 30; count > 0; count -= 1) {
      const half = random(2);
      const change = randomChange(random, texts[half].length - 1);
      texts[half] = replayed(texts[half], [change]);
      const offset = half === 0 ? 0 : texts[0].length;
      acks.push(ack(half === 0 ? "ada" : "agent", { ...change, from: change.from + offset, to: change.to + offset }));
    }
    const { text } = takenBack(upper + lower, acks);
    assert.equal(text, texts[0] + lower, `seed ${seed}`);
  }
});

test("changes that come one after the other are led back by their inverse", () => {
  const changes = [insert(2, "xy"), { from: 0, to: 3, insert: "" }, insert(1, "z")];
  const after = replayed("abcd", changes);
  assert.equal(replayed(after, inverseOf("abcd", changes)), "abcd");
});
