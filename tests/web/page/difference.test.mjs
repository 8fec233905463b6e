/**
 * How texts differ: what is changed leads from one to the other, and what both have stays.
 */

import assert from "node:assert/strict";
import { test } from "node:test";

import { difference } from "../../../canvas_server/web/page/difference.js";
import { blocksOf, segmentsOf } from "../../../canvas_server/web/page/marked.js";
import { randomFrom } from "./random.mjs";

const applied = (before, spots) =>
  spots.reduceRight((text, { from, to, insert }) => text.slice(0, from) + insert + text.slice(to), before);

const PIECES = ["one", " ", "\n", "two words", "😀", "😁", "é", "\n\n", "# Titre\n", "x"];

function randomText(random, count) {
  return Array.from({ length: random(count) }, () => PIECES[random(PIECES.length)]).join("");
}

function edited(random, text) {
  const from = random(text.length + 1);
  const to = Math.min(text.length, from + random(8));
  const cut = text.slice(0, from) + PIECES[random(PIECES.length)] + text.slice(to);
  return cut.isWellFormed() ? cut : text;
}

test("the same text has no difference", () => {
  assert.deepEqual(difference("a\nb\n", "a\nb\n"), []);
  assert.deepEqual(difference("", ""), []);
});

test("only what differs is a spot, word by word", () => {
  assert.deepEqual(difference("The old port.\nRain.\nThe end.\n", "The new port.\nRain.\nAn end.\n"), [
    { from: 4, to: 7, insert: "new" },
    { from: 20, to: 23, insert: "An" },
  ]);
});

test("a line that went and one that came are two spots, and the lines between them stay", () => {
  assert.deepEqual(difference("a\nb\nc\nd\n", "b\nc\nnew\nd\n"), [
    { from: 0, to: 2, insert: "" },
    { from: 6, to: 6, insert: "new\n" },
  ]);
});

test("half of a character is never changed", () => {
  assert.deepEqual(difference("a😀b", "a😁b"), [{ from: 1, to: 3, insert: "😁" }]);
});

test("the spots lead from one text to the other, in order, whole characters, and none touches another", () => {
  for (let seed = 1; seed <= 300; seed += 1) {
    const random = randomFrom(seed);
    const before = randomText(random, 60);
    let after = random(4) === 0 ? randomText(random, 60) : before;
    for (let count = random(6); count > 0; count -= 1) after = edited(random, after);
    const spots = difference(before, after);
    assert.equal(applied(before, spots), after, `seed ${seed}`);
    spots.forEach(({ from, to, insert }, index) => {
      assert.ok(from < to || insert !== "");
      assert.ok(index === 0 || from > spots[index - 1].to, `seed ${seed}: ${JSON.stringify(spots)}`);
      assert.ok(insert.isWellFormed() && before.slice(from, to).isWellFormed(), `seed ${seed}`);
    });
  }
});

test("texts that have nothing in common are one spot, and are compared in a bounded number of steps", () => {
  const lines = (word) => Array.from({ length: 20_000 }, (_, number) => `${word} ${number}\n`).join("");
  const [before, after] = [`same\n${lines("a")}`, `same\n${lines("b")}`];
  const spots = difference(before, after);
  assert.equal(applied(before, spots), after);
});

test("a thousand small changes all over a long text are a thousand small spots", () => {
  const lines = Array.from({ length: 20_000 }, (_, number) => (number % 2 === 0 ? `## Line ${number}\n` : "The same.\n"));
  const before = lines.join("");
  const after = lines.map((line, number) => (number % 20 === 1 ? line.replace("same", "very same") : line)).join("");
  const spots = difference(before, after);
  assert.equal(applied(before, spots), after);
  assert.equal(spots.length, 1000);
  assert.ok(spots.every(({ from, to, insert }) => from === to && insert.trim() === "very"));
});

test("marked text holds both texts, and its blocks are the same behind a change", () => {
  for (let seed = 1; seed <= 60; seed += 1) {
    const random = randomFrom(seed);
    const before = Array.from({ length: 400 }, () => randomText(random, 20)).join("\n");
    const after = edited(random, edited(random, before));
    const segments = segmentsOf(before, difference(before, after));
    const blocks = blocksOf(segments);
    const textOf = (...kinds) =>
      blocks.flat().filter(({ kind }) => kinds.includes(kind)).map(({ text }) => text).join("");
    assert.equal(textOf("same", "removed"), before);
    assert.equal(textOf("same", "added"), after);
  }
});

test("a change in the first lines of a long text leaves most blocks as they were", () => {
  const before = Array.from({ length: 3000 }, (_, number) => `line ${"x".repeat((number * 7) % 23)} ${number}\n`).join("");
  const blocks = (text) => blocksOf(segmentsOf(text, [])).map((block) => block[0].text);
  const kept = new Set(blocks(before));
  const after = blocks(`A new first line.\n${before}`);
  assert.ok(after.length > 20);
  assert.ok(after.filter((block) => !kept.has(block)).length <= 3);
});
