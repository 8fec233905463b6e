/**
 * Coming back to an event stream over real HTTP: as soon as the server says, after silence, and not where it is no use.
 */

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";

import { EventStream } from "../../../canvas_server/web/page/eventstream.js";

const event = (id, told) => `id: ${id}\ndata: ${JSON.stringify(told)}\n\n`;
const START = { type: "start", heartbeat_ms: 15000 };

/** Serve until the end of `use`; each request takes the next of `answers`, and when it came is kept. */
async function served(answers, use) {
  const asked = [];
  const server = createServer((request, answer) => {
    asked.push({ after: request.headers["last-event-id"] ?? null, atMs: performance.now() });
    answers.shift()(answer);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    await use(`http://127.0.0.1:${server.address().port}/stream`, asked);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

/** Read until an event of type `last`, or until the stream is refused for good. */
function read(url, last) {
  const told = [];
  return new Promise((resolve) => {
    const stream = new EventStream(url, {
      event: ({ type }) => {
        told.push(type);
        if (type !== last) return;
        stream.close();
        resolve(told);
      },
      state: (state) => state === "reconnecting" && told.push("away"),
      gone: (problem) => resolve([...told, problem.code]),
    });
    stream.open();
  });
}

/** An answer of these pieces, that ends unless it is to go on in silence. */
const streaming =
  (pieces, { ends = true } = {}) =>
  (answer) => {
    answer.writeHead(200, { "Content-Type": "text/event-stream" });
    for (const piece of pieces) answer.write(piece);
    if (ends) setImmediate(() => answer.end());
  };

const refusing = (status, code) => (answer) => {
  answer.writeHead(status, { "Content-Type": "application/problem+json" });
  answer.end(JSON.stringify({ status, code, detail: "no" }));
};

test("a stream that ends comes back when its field retry says, after the event it told last", async () => {
  const first = streaming(["retry: 2000\n", event("v.1", START)]);
  await served([first, streaming([event("v.2", { type: "ack" })])], async (url, asked) => {
    assert.deepEqual(await read(url, "ack"), ["start", "away", "ack"]);
    assert.deepEqual(
      asked.map(({ after }) => after),
      [null, "v.1"],
    );
    assert.ok(asked[1].atMs - asked[0].atMs >= 1999, "it came before its time");
  });
});

test("what bye says goes before what retry said", async () => {
  const bye = { type: "bye", reason: "overload", retry_ms: 400 };
  const first = streaming(["retry: 5000\n", event("v.1", START), event("v.2", bye)]);
  await served([first, streaming([event("v.3", { type: "ack" })])], async (url, asked) => {
    assert.deepEqual(await read(url, "ack"), ["start", "away", "bye", "away", "ack"]);
    const waitedMs = asked[1].atMs - asked[0].atMs;
    assert.ok(waitedMs >= 399 && waitedMs < 4500, `it waited ${waitedMs} ms`);
  });
});

test("whoever loses the right hears of it soon, and does not come again", async () => {
  const bye = { type: "bye", reason: "revoked", retry_ms: 60000 };
  await served([streaming([event("v.1", START), event("v.2", bye)]), refusing(404, "NOT_FOUND")], async (url, asked) => {
    assert.deepEqual(await read(url, "never"), ["start", "away", "bye", "away", "NOT_FOUND"]);
    assert.ok(asked[1].atMs - asked[0].atMs < 30000);
  });
});

test("two heartbeats that do not come are a dead connection", async () => {
  const silent = streaming(["retry: 1\n", event("v.1", { type: "start", heartbeat_ms: 100 })], { ends: false });
  await served([silent, streaming([event("v.2", { type: "ack" })])], async (url, asked) => {
    assert.deepEqual(await read(url, "ack"), ["start", "away", "ack"]);
    assert.equal(asked[1].after, "v.1");
    assert.ok(asked[1].atMs - asked[0].atMs >= 199);
  });
});

test("each failure makes the wait longer than the last", async () => {
  const answers = [refusing(503, "A"), refusing(503, "B"), refusing(403, "FORBIDDEN")];
  await served(answers, async (url, asked) => {
    assert.deepEqual(await read(url, "never"), ["away", "away", "FORBIDDEN"]);
    const [first, second, third] = asked.map(({ atMs }) => atMs);
    assert.ok(second - first >= 499, "the first wait");
    assert.ok(third - second >= 999, "the second wait");
  });
});
