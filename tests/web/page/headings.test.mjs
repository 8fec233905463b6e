/**
 * The headings that the table of contents shows.
 */

import assert from "node:assert/strict";
import { test } from "node:test";

import { headingAt, headingsOf } from "../../../canvas_server/web/page/headings.js";

const told = (text) => headingsOf(text).map(({ title, level, from }) => [level, title, from]);

test("lines with hashes are headings, with their level and where they begin", () => {
  assert.deepEqual(told("# Un\n\ntexte\n### Trois ###\n#pas un titre\n####### non plus\n#"), [
    [1, "Un", 0],
    [3, "Trois", 12],
    [1, "", 57],
  ]);
});

test("a paragraph of one line that is underlined is a heading, and nothing else is", () => {
  assert.deepEqual(told("Un\n===\nDeux\n---\n\n---\n- liste\n---\n> cité\n---\n"), [
    [1, "Un", 0],
    [2, "Deux", 7],
  ]);
});

test("what stands in fenced code is no heading, and code ends with the fence that it began with", () => {
  assert.deepEqual(told("```\n# a\n~~~\n```` \n# b\n~~~ x\n# c\n```\n~~~\n# d\n"), [
    [1, "b", 18],
    [1, "d", 40],
  ]);
});

test("a place stands under the last heading before it", () => {
  const headings = headingsOf("avant\n# a\ntexte\n# b\n");
  assert.deepEqual(
    [0, 5, 6, 12, 16, 99].map((position) => headingAt(headings, position)),
    [-1, -1, 0, 0, 1, 1],
  );
});
