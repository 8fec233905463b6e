/**
 * The text at any version, from a history that is read in pages. The server is an array of texts.
 */

import assert from "node:assert/strict";
import { test } from "node:test";

import { PAGE_OPS, Past, PastGone } from "../../../canvas_server/web/page/past.js";
import { Timeline } from "../../../canvas_server/web/page/timeline.js";
import { randomFrom } from "./random.mjs";

const version = (seq) => `W/"${seq}-0123456789abcdef"`;
const gone = () => Object.assign(new Error("gone"), { status: 404 });

/** A history of so many operations, cut before `floor`; it notes what it is asked for. */
function told(count, floor = 0) {
  const random = randomFrom(3);
  const texts = ["Once."];
  const acks = [];
  const asked = [];
  const source = {
    ops: async (after, limit) => {
      asked.push(["ops", after]);
      if (after < floor) throw gone();
      return acks.slice(after, after + limit);
    },
    text: async (seq) => {
      asked.push(["text", seq]);
      if (seq < floor) throw gone();
      return { content: texts[seq], version: version(seq) };
    },
  };
  const write = () => {
    const before = texts[texts.length - 1];
    const from = random(before.length + 1);
    const to = Math.min(before.length, from + random(4));
    const insert = "abcdef".slice(0, random(6));
    const seq = texts.length;
    texts.push(before.slice(0, from) + insert + before.slice(to));
    const ack = { op_id: `op${seq}`, server_version: version(seq), base_version: version(seq - 1), actor: "ada" };
    acks.push({ ...ack, kind: "human", client_id: null, timestamp: seq, changes: [{ from, to, insert }] });
    return acks[seq - 1];
  };
  for (let number = 0; number < count; number += 1) write();
  return { source, texts, acks, asked, write };
}

test("the text of every version is the one that was, whatever the way to it", async () => {
  const { source, texts } = told(3 * PAGE_OPS + 40);
  const timeline = new Timeline(new Past(source, texts.length - 1));
  const random = randomFrom(11);
  for (let step = 0; step < 400; step += 1) {
    const seq = random(texts.length);
    const moment = await timeline.go(seq);
    assert.equal(moment.text, texts[seq]);
    assert.equal(moment.before, texts[Math.max(0, seq - 1)]);
    assert.equal(moment.ack?.op_id ?? null, seq === 0 ? null : `op${seq}`);
  }
});

test("opening a long history asks for its newest page alone, and walking in a page for nothing", async () => {
  const { source, texts, asked } = told(4 * PAGE_OPS);
  const timeline = new Timeline(new Past(source, texts.length - 1));
  await timeline.go(texts.length - 1);
  assert.deepEqual(asked, [
    ["ops", 3 * PAGE_OPS],
    ["text", 3 * PAGE_OPS],
  ]);
  for (let seq = texts.length - 2; seq > 3 * PAGE_OPS; seq -= 1) assert.equal((await timeline.go(seq)).text, texts[seq]);
  assert.equal(asked.length, 2);
});

test("what is heard meanwhile lengthens the history without a question", async () => {
  const { source, texts, asked, write } = told(PAGE_OPS - 2);
  const past = new Past(source, texts.length - 1);
  const timeline = new Timeline(past);
  await timeline.go(past.head);
  const before = asked.length;
  for (let number = 0; number < 5; number += 1) past.add(write());
  assert.equal(past.head, PAGE_OPS + 3);
  for (let seq = PAGE_OPS - 2; seq <= past.head; seq += 1) assert.equal((await timeline.go(seq)).text, texts[seq]);
  assert.deepEqual(asked.slice(before), []);
});

test("an ack that does not follow is read again with its page", async () => {
  const { source, texts, acks, write } = told(10);
  const past = new Past(source, 10);
  await past.page(10);
  write();
  past.add(write());
  assert.equal(past.head, 10);
  assert.equal((await past.page(10)).length, 10);
  past.add(acks[10]);
  past.add(acks[11]);
  assert.equal((await past.page(12)).length, 12);
  assert.equal(texts.length, 13);
});

test("a history that was cut is known from its oldest version on, and what is before is said to be gone", async () => {
  const floor = PAGE_OPS + 77;
  const { source, texts } = told(3 * PAGE_OPS, floor);
  const past = new Past(source, texts.length - 1);
  const timeline = new Timeline(past);
  assert.equal((await timeline.go(floor + 3)).text, texts[floor + 3]);
  assert.equal(past.floor, floor);
  assert.equal((await timeline.go(floor)).text, texts[floor]);
  await assert.rejects(timeline.go(floor - 1), PastGone);
});

test("when another version is asked for meanwhile, the first answer is dropped", async () => {
  const { source, texts } = told(2 * PAGE_OPS);
  const timeline = new Timeline(new Past(source, texts.length - 1));
  const [first, second] = await Promise.all([timeline.go(5), timeline.go(PAGE_OPS + 5)]);
  assert.equal(first, null);
  assert.equal(second.text, texts[PAGE_OPS + 5]);
});

test("a text that is not the one the page stands on is of another history", async () => {
  const { source, texts, acks } = told(10);
  const timeline = new Timeline(new Past(source, texts.length - 1));
  acks[0].base_version = 'W/"0-ffffffffffffffff"';
  await assert.rejects(timeline.go(5), PastGone);
});
