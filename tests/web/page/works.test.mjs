/**
 * Operations as the works that a reader would name.
 */

import assert from "node:assert/strict";
import { test } from "node:test";

import { PAUSE_MS, opIdsOfJob, worksOf } from "../../../canvas_server/web/page/works.js";

let seq = 0;
const ack = (actor, timestamp, insert, removed = 0) => {
  seq += 1;
  return {
    op_id: `op${seq}`,
    server_version: `W/"${seq}-0123456789abcdef"`,
    actor,
    kind: actor.startsWith("job:") ? "job" : "human",
    client_id: null,
    timestamp,
    changes: [{ from: 0, to: removed, insert }],
  };
};
const shown = (works) => works.map(({ actor, added, removed, excerpt }) => [actor, added, removed, excerpt]);

test("what one author writes without a long pause is one work, others in between or not", () => {
  const acks = [ack("ada", 0, "Once"), ack("bob", 1, "!"), ack("ada", 2, " upon", 3), ack("ada", 3 + PAUSE_MS, "Later")];
  const works = worksOf(acks);
  assert.deepEqual(shown(works), [
    ["ada", 5, 0, "Later"],
    ["ada", 9, 3, "Once upon"],
    ["bob", 1, 0, "!"],
  ]);
  assert.deepEqual(works[1].opIds, [acks[0].op_id, acks[2].op_id]);
  assert.deepEqual([works[1].last - works[1].first, works[1].startedAtMs, works[1].endedAtMs], [2, 0, 2]);
});

test("a job is one work, however long its model takes, and its operations are found by its id", () => {
  const acks = [ack("job:1", 0, "a"), ack("job:2", 1, "b"), ack("job:1", 10 * PAUSE_MS, "c")];
  assert.deepEqual(worksOf(acks).map(({ opIds }) => opIds.length), [2, 1]);
  assert.deepEqual([...opIdsOfJob("1", acks)], [acks[0].op_id, acks[2].op_id]);
});

test("the first words are told without the marks of Markdown, cut at a word", () => {
  const excerptOf = (text) => worksOf([ack("ada", 0, text)])[0].excerpt;
  assert.equal(excerptOf("## Le  port\n\n- *Mira* attend"), "Le port Mira attend");
  assert.equal(excerptOf("mot ".repeat(40)), `${"mot ".repeat(14)}mot…`);
  assert.ok(excerptOf(`${"x".repeat(59)}😀 end`).isWellFormed());
  assert.equal(excerptOf(""), "");
});
