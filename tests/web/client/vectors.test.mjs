/** All clients agree on what changes do: the one in Python is checked by the same file. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { ChangeSet } from "../../../canvas_server/web/client/changeset.js";

const FILE = new URL("../../vectors/changesets.json", import.meta.url);
const CASES = JSON.parse(readFileSync(FILE, "utf8")).filter(({ unit }) => unit !== "codepoint");

const setOf = (rows) => ChangeSet.of(rows.map(([from, to, insert]) => ({ from, to, insert })));
const rowsOf = (set) => set.spots.map(({ from, to, insert }) => [from, to, insert]);

for (const told of CASES) {
  test(`changes do what they do elsewhere: ${told.name}`, () => {
    const [a, b, c] = [setOf(told.a), setOf(told.b), setOf(told.c)];
    assert.deepEqual(rowsOf(a), told.a_spots);
    assert.deepEqual(rowsOf(b), told.b_spots);
    assert.equal(a.apply(told.text), told.result);
    assert.deepEqual(rowsOf(a.rebase(b, { before: true })), told.before);
    assert.deepEqual(rowsOf(a.rebase(b, { before: false })), told.after);
    assert.deepEqual(rowsOf(a.compose(c)), told.composed);
    assert.deepEqual(rowsOf(a.invert(told.text)), told.inverse);
  });
}
