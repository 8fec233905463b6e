/**
 * What was typed into a text box, told by its value before and after.
 */

import assert from "node:assert/strict";
import { test } from "node:test";

import { typedChange } from "../../../canvas_server/web/page/typed.js";

test("of equal letters the one at the cursor was typed", () => {
  assert.deepEqual(typedChange("aa", "aaa", 1), { from: 0, to: 0, insert: "a" });
  assert.deepEqual(typedChange("aa", "aaa", 2), { from: 1, to: 1, insert: "a" });
  assert.deepEqual(typedChange("aa", "aaa", 3), { from: 2, to: 2, insert: "a" });
  assert.equal(typedChange("aa", "aa", 1), null);
});

test("what is deleted or replaced is told as such", () => {
  assert.deepEqual(typedChange("un deux", "un", 2), { from: 2, to: 7, insert: "" });
  assert.deepEqual(typedChange("un deux", "un trois", 8), { from: 3, to: 7, insert: "trois" });
});

test("no surrogate pair is cut", () => {
  for (const [before, after, cursor] of [
    ["😀", "😁", 2],
    ["😀", "😀😁", 4],
    ["😀😁", "😁", 0],
    ["a😀b", "a😁b", 3],
  ]) {
    const { from, to, insert } = typedChange(before, after, cursor);
    assert.equal(before.slice(0, from) + insert + before.slice(to), after);
    for (const part of [before.slice(0, from), before.slice(from, to), insert]) assert.ok(part.isWellFormed());
  }
});

test("whatever was typed leads from one text to the other", () => {
  let seed = 11;
  const random = (below) => (seed = (seed * 48271) % 2147483647) % below;
  const piece = () => ["a", "b", "😀", "\n", "ab", ""][random(6)];
  for (let step = 0; step < 3000; step += 1) {
    const units = Array.from({ length: random(8) }, piece);
    const at = random(units.length + 1);
    const made = Array.from({ length: random(3) }, piece);
    const after = [...units.slice(0, at), ...made, ...units.slice(at + random(3))].join("");
    const before = units.join("");
    const cursor = [...units.slice(0, at), ...made].join("").length;
    const change = typedChange(before, after, cursor) ?? { from: 0, to: 0, insert: "" };
    assert.equal(before.slice(0, change.from) + change.insert + before.slice(change.to), after);
  }
});
