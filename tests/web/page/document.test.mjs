/**
 * How the page follows a canvas: events in, text out. The server's side of each story is a plain string.
 */

import assert from "node:assert/strict";
import { test } from "node:test";

import { crc32 } from "../../../canvas_server/web/client/crc32.js";
import { LiveDocument, applyChanges, sequenceOf } from "../../../canvas_server/web/page/document.js";

const version = (seq, chain = "0123456789abcdef") => `W/"${seq}-${chain}"`;
const insert = (at, text) => ({ from: at, to: at, insert: text });
const snapshot = (seq, content) => ({ type: "snapshot", title: "t", server_version: version(seq), content });
const heartbeat = (seq, text) => ({
  type: "heartbeat",
  server_version: version(seq),
  length: [...text].length,
  crc32: crc32(text),
});
const ack = (seq, ...changes) => ({
  type: "ack",
  op_id: `op${seq}`,
  base_version: version(seq - 1),
  server_version: version(seq),
  changes,
});

/** A document that notes what it tells, and whose reads the test answers one by one. */
function observed() {
  const told = [];
  const reads = [];
  const load = (url) => new Promise((resolve, reject) => reads.push({ url, resolve, reject }));
  const live = new LiveDocument(load, {
    replaced: (text) => told.push(["replaced", text]),
    changed: (changes) => told.push(["changed", changes]),
    reading: (reason) => told.push(["reading", reason]),
    failed: (error) => told.push(["failed", error.message]),
  });
  return { live, told, reads };
}

/** Let the promises that are settled run on. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

async function answer(read, seq, content) {
  read.resolve({ version: version(seq), content });
  await settled();
}

test("a version tells how many operations were applied", () => {
  assert.equal(sequenceOf('W/"42-00ff00ff00ff00ff"'), 42);
  assert.equal(sequenceOf('W/"x"'), -1);
  assert.equal(sequenceOf(null), -1);
});

test("the checksum is CRC-32 of the UTF-8 bytes", () => {
  assert.equal(crc32(""), 0);
  assert.equal(crc32("123456789"), 0xcbf43926);
  assert.equal(crc32("é😀"), 0x7f805a06);
});

test("changes apply one after the other, in the coordinates left by the one before", () => {
  assert.equal(applyChanges("abc", [insert(0, "xy"), { from: 2, to: 3, insert: "" }]), "xybc");
});

test("offsets count UTF-16 units: an emoji is two", () => {
  assert.equal(applyChanges("a😀b", [{ from: 1, to: 3, insert: "é" }, insert(2, "👩‍🚀")]), "aé👩‍🚀b");
});

test("a change outside the text is refused", () => {
  assert.throws(() => applyChanges("abc", [{ from: 2, to: 4, insert: "" }]), RangeError);
  assert.throws(() => applyChanges("abc", [{ from: 2, to: 1, insert: "" }]), RangeError);
  assert.throws(() => applyChanges("abc", [{ from: -1, to: 1, insert: "" }]), RangeError);
});

test("a snapshot and the acks after it give the text and the version", () => {
  const { live, told } = observed();
  assert.equal(live.receive(snapshot(3, "héllo 😀\n")), "replaced");
  assert.equal(live.receive(ack(4, insert(8, "!"))), "applied");
  assert.equal(live.text, "héllo 😀!\n");
  assert.equal(live.version, version(4));
  assert.deepEqual(told, [
    ["replaced", "héllo 😀\n"],
    ["changed", [insert(8, "!")]],
  ]);
});

test("random changes with emoji leave the same text as the server's", () => {
  let seed = 1;
  const random = (below) => (seed = (seed * 48271) % 2147483647) % below;
  const pieces = ["a", "é", "😀", "\n", "👩‍🚀", "語", ""];
  const { live } = observed();
  let points = [..."# T\n\nbonjour 😀"];
  live.receive(snapshot(0, points.join("")));
  for (let seq = 1; seq <= 500; seq += 1) {
    const from = random(points.length + 1);
    const to = Math.min(points.length, from + random(4));
    const piece = pieces[random(pieces.length)];
    const utf16 = (end) => points.slice(0, end).join("").length;
    live.receive(ack(seq, { from: utf16(from), to: utf16(to), insert: piece }));
    points = [...points.slice(0, from), ...piece, ...points.slice(to)];
  }
  assert.equal(live.text, points.join(""));
  assert.equal(live.receive(heartbeat(500, points.join(""))), "same");
});

test("an ack that is told again changes nothing", () => {
  const { live } = observed();
  live.receive(snapshot(0, ""));
  live.receive(ack(1, insert(0, "a")));
  assert.equal(live.receive(ack(1, insert(0, "a"))), "known");
  assert.equal(live.receive({ ...ack(9, insert(0, "z")), duplicate: true }), "known");
  assert.equal(live.text, "a");
});

test("a gap is read again, and what came meanwhile is applied on top", async () => {
  const { live, told, reads } = observed();
  live.receive(snapshot(0, ""));
  assert.equal(live.receive(ack(2, insert(1, "b"))), "gap");
  assert.equal(live.receive(ack(3, insert(2, "c"))), "waiting");
  assert.equal(live.receive(ack(4, insert(3, "d"))), "waiting");
  await answer(reads[0], 3, "abc");
  assert.equal(live.text, "abcd");
  assert.equal(live.version, version(4));
  assert.deepEqual(
    told.map(([what]) => what),
    ["replaced", "reading", "replaced", "changed"],
  );
});

test("a change that does not fit the text is healed like a gap", async () => {
  const { live, reads } = observed();
  live.receive(snapshot(0, "ab"));
  assert.equal(live.receive(ack(1, { from: 5, to: 6, insert: "" })), "gap");
  assert.equal(live.text, "ab");
  await answer(reads[0], 1, "abc");
  assert.equal(live.text, "abc");
});

test("a read that overtook the stream makes the acks on their way known", async () => {
  const { live, reads } = observed();
  live.receive(snapshot(0, ""));
  live.receive(ack(2, insert(0, "b")));
  await answer(reads[0], 5, "12345");
  assert.equal(live.receive(ack(4, insert(0, "x"))), "known");
  assert.equal(live.receive(ack(5, insert(0, "x"))), "known");
  assert.equal(live.receive(ack(6, insert(5, "6"))), "applied");
  assert.equal(live.text, "123456");
});

test("a heartbeat of the same version with another checksum is a drift, and is healed", async () => {
  const { live, told, reads } = observed();
  live.receive(snapshot(7, "abc"));
  assert.equal(live.receive(heartbeat(7, "abc")), "same");
  assert.equal(live.receive(heartbeat(7, "abd")), "drift");
  await answer(reads[0], 7, "abd");
  assert.equal(live.text, "abd");
  assert.deepEqual(told[1], ["reading", "drift"]);
});

test("a heartbeat of another history is a drift, and one that is ahead a gap", () => {
  const other = { ...heartbeat(7, "abc"), server_version: version(7, "ffffffffffffffff") };
  const drifted = observed();
  drifted.live.receive(snapshot(7, "abc"));
  assert.equal(drifted.live.receive(other), "drift");
  const behind = observed();
  behind.live.receive(snapshot(7, "abc"));
  assert.equal(behind.live.receive(heartbeat(8, "abcd")), "gap");
});

test("a heartbeat that is behind tells nothing", () => {
  const { live, reads } = observed();
  live.receive(snapshot(7, "abc"));
  assert.equal(live.receive(heartbeat(6, "ab")), "late");
  assert.equal(reads.length, 0);
});

test("a large snapshot is read at its address", async () => {
  const { live, reads } = observed();
  const url = "/api/v2/canvas/c?at=3";
  const large = { type: "snapshot", title: "t", server_version: version(3), content_url: url };
  assert.equal(live.receive(large), "waiting");
  assert.equal(live.receive(ack(4, insert(3, "!"))), "waiting");
  assert.equal(reads[0].url, url);
  await answer(reads[0], 3, "abc");
  assert.equal(live.text, "abc!");
});

test("a read that fails is tried again by the next heartbeat, not by every ack", async () => {
  const { live, told, reads } = observed();
  live.receive(snapshot(0, ""));
  live.receive(ack(2, insert(0, "b")));
  reads[0].reject(new Error("no"));
  await settled();
  assert.deepEqual(told.at(-1), ["failed", "no"]);
  assert.equal(live.receive(ack(3, insert(0, "c"))), "gap");
  assert.equal(reads.length, 1);
  assert.equal(live.receive(heartbeat(3, "abc")), "gap");
  await answer(reads[1], 3, "abc");
  assert.equal(live.text, "abc");
  assert.equal(live.receive(ack(4, insert(3, "d"))), "applied");
});

test("a server that answers with an old text is not asked in a loop", async () => {
  const { live, reads } = observed();
  live.receive(snapshot(0, ""));
  live.receive(ack(5, insert(0, "e")));
  live.receive(ack(6, insert(0, "f")));
  await answer(reads[0], 1, "a");
  assert.equal(reads.length, 1);
  assert.equal(live.receive(ack(7, insert(0, "g"))), "gap");
  assert.equal(reads.length, 1);
  live.receive(heartbeat(7, "abcdefg"));
  assert.equal(reads.length, 2);
});

test("a snapshot that comes while reading stands above the read", async () => {
  const { live, reads } = observed();
  live.receive(snapshot(0, ""));
  live.receive(ack(2, insert(0, "b")));
  live.receive(snapshot(9, "new"));
  await answer(reads[0], 2, "ab");
  assert.equal(live.text, "new");
  assert.equal(live.version, version(9));
});
