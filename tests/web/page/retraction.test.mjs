/**
 * Taking work back in a canvas in which others go on writing. The canvas is a string that obeys.
 */

import assert from "node:assert/strict";
import { test } from "node:test";

import { PAGE_OPS, Past } from "../../../canvas_server/web/page/past.js";
import { OtherHistory, findJob, retract, wholeWork } from "../../../canvas_server/web/page/retraction.js";
import { replayed } from "../../../canvas_server/web/page/timeline.js";
import { worksOf } from "../../../canvas_server/web/page/works.js";

const version = (seq) => `W/"${seq}-0123456789abcdef"`;

/** A canvas, and the server that has its history; whenever something is read, `meanwhile` happens. */
class Told {
  pendingCount = 0;
  acks = [];
  texts;
  meanwhile = () => {};
  source = {
    ops: async (after, limit) => {
      this.meanwhile();
      return this.acks.slice(after, after + limit);
    },
    text: async (seq) => ({ content: this.texts[seq], version: version(seq) }),
  };

  constructor(text) {
    this.texts = [text];
    this.past = new Past(this.source, 0);
  }

  get text() {
    return this.texts[this.texts.length - 1];
  }

  get version() {
    return version(this.acks.length);
  }

  async settled() {
    this.pendingCount = 0;
  }

  add(actor, change) {
    const seq = this.texts.length;
    this.texts.push(replayed(this.text, [change]));
    const versions = { server_version: version(seq), base_version: version(seq - 1) };
    const kind = actor.startsWith("job:") ? "job" : "human";
    this.acks.push({ op_id: `op${seq}`, ...versions, actor, kind, client_id: null, timestamp: seq, changes: [change] });
    this.past.add(this.acks[seq - 1]);
  }

  write = (changes) => {
    for (const change of changes) this.add("me", change);
  };
}

const append = (canvas, text) => ({ from: canvas.text.length, to: canvas.text.length, insert: text });
const idsOf = (canvas, author) => new Set(canvas.acks.filter(({ actor }) => actor === author).map((ack) => ack.op_id));

test("what others write while the history is read is kept, and the work goes", async () => {
  const canvas = new Told("Start. ");
  for (let number = 0; number < PAGE_OPS + 20; number += 1) {
    canvas.add(number % 2 === 0 ? "agent" : "ada", append(canvas, number % 2 === 0 ? "machine " : "ada "));
  }
  const fresh = new Past(canvas.source, canvas.acks.length);
  canvas.past = fresh;
  const opIds = idsOf(canvas, "agent");
  canvas.meanwhile = () => canvas.add("bob", { from: 0, to: 0, insert: "bob " });
  const retracted = await retract(canvas, fresh, { first: 1, opIds }, canvas.write);
  const half = PAGE_OPS / 2 + 10;
  assert.equal(retracted.removed, half * "machine ".length);
  assert.equal(canvas.text.replaceAll("bob ", ""), `Start. ${"ada ".repeat(half)}`);
  assert.ok(canvas.text.startsWith("bob "));
});

test("when nothing is left of a work nothing is written", async () => {
  const canvas = new Told("Start. ");
  canvas.add("agent", append(canvas, "machine"));
  canvas.add("ada", { from: 7, to: 14, insert: "" });
  const written = canvas.acks.length;
  assert.equal(await retract(canvas, canvas.past, { first: 1, opIds: idsOf(canvas, "agent") }, canvas.write), null);
  assert.equal(canvas.acks.length, written);
});

test("own words that are on their way are waited for", async () => {
  const canvas = new Told("Start. ");
  canvas.add("agent", append(canvas, "machine"));
  canvas.pendingCount = 1;
  canvas.settled = async () => {
    canvas.add("me", { from: 0, to: 0, insert: "Me. " });
    canvas.pendingCount = 0;
  };
  await retract(canvas, canvas.past, { first: 1, opIds: idsOf(canvas, "agent") }, canvas.write);
  assert.equal(canvas.text, "Me. Start. ");
});

test("where the history does not lead to the text nothing is written", async () => {
  const canvas = new Told("Start. ");
  canvas.add("agent", append(canvas, "machine"));
  canvas.texts[0] = "Other. ";
  const opIds = idsOf(canvas, "agent");
  await assert.rejects(retract(canvas, canvas.past, { first: 1, opIds }, canvas.write), OtherHistory);
  assert.equal(canvas.acks.length, 1);
});

test("a job is found with all that it wrote, over several pages", async () => {
  const canvas = new Told("");
  canvas.add("ada", append(canvas, "ada "));
  for (let number = 0; number < PAGE_OPS + 50; number += 1) canvas.add("job:7", append(canvas, "x"));
  for (let number = 0; number < PAGE_OPS + 50; number += 1) canvas.add("ada", append(canvas, "y"));
  const found = await findJob(canvas.past, "7");
  assert.deepEqual([found.first, found.opIds.size], [2, PAGE_OPS + 50]);
  assert.equal(await findJob(canvas.past, "8"), null);
});

test("a work that began before what was listed is taken as a whole", async () => {
  const canvas = new Told("");
  canvas.add("bob", append(canvas, "b"));
  for (let number = 0; number < 3 * PAGE_OPS; number += 1) canvas.add("ada", append(canvas, "x"));
  const [listed] = worksOf(await canvas.past.newest(10));
  assert.ok(listed.opIds.length < 2 * PAGE_OPS);
  const whole = await wholeWork(canvas.past, listed);
  assert.deepEqual([whole.first, whole.opIds.length], [2, 3 * PAGE_OPS]);
});
