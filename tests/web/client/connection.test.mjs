/** The one stream of a client, over real HTTP: what it asks for, and when it comes back. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";

import { Connection } from "../../../canvas_server/web/client/connection.js";
import { Http } from "../../../canvas_server/web/client/http.js";
import { transportOf } from "../../../canvas_server/web/client/streams.js";

const START = { type: "start", canvas: "a", heartbeat_ms: 15_000, resumed: true };
const frame = (event, id) => `${id === undefined ? "" : `id: ${id}\n`}data: ${JSON.stringify(event)}\n\n`;

/** An answer of these frames, that ends unless it is to stay. */
const streaming =
  (frames, { stays = false } = {}) =>
  (answer) => {
    answer.writeHead(200, { "Content-Type": "text/event-stream" });
    for (const piece of frames) answer.write(piece);
    if (!stays) setImmediate(() => answer.end());
  };

const refusing = (status, code) => (answer) => {
  answer.writeHead(status, { "Content-Type": "application/problem+json" });
  answer.end(JSON.stringify({ code, detail: code }));
};

/**
 * Serve until the end of `use`. Streams take the next of `answers`, the last of them again and again; other requests
 * are answered by `other`.
 */
async function served(answers, use, other = () => refusing(404, "NOT_FOUND")) {
  const asked = [];
  const server = createServer((request, answer) => {
    const url = new URL(request.url, "http://x");
    if (!url.pathname.endsWith("ops:listen")) return other(url)(answer);
    asked.push({ refs: url.searchParams.getAll("ref"), after: url.searchParams.getAll("last_event_id") });
    (answers.length > 1 ? answers.shift() : answers[0])(answer);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const http = new Http({ url: `http://127.0.0.1:${server.address().port}`, clientId: "me" });
  const connection = new Connection(http);
  try {
    await use(connection, asked);
  } finally {
    connection.close();
    server.closeAllConnections();
    server.close();
  }
}

/** What a subscriber is told; `until` waits for it. */
function ear() {
  const told = [];
  let check = () => {};
  const note = (said) => (told.push(said), check());
  return {
    told,
    subscriber: {
      event: (event) => note(event.type),
      state: (state) => note(`(${state})`),
      gone: (problem) => note(problem.code),
    },
    until: (said, times = 1) =>
      new Promise((resolve) => {
        check = () => told.filter((each) => each === said).length >= times && resolve();
        check();
      }),
  };
}

test("it comes back after the last event that it heard", () =>
  served(
    [
      streaming(["retry: 1\n\n", frame(START), frame({ type: "ack", canvas: "a" }, "a:1-x")]),
      streaming([frame(START)], { stays: true }),
    ],
    async (connection, asked) => {
      const { subscriber, until } = ear();
      connection.subscribe("a", subscriber);
      await until("start", 2);
      assert.deepEqual(
        asked.map(({ after }) => after),
        [[], ["a:1-x"]],
      );
    },
  ));

test("another canvas makes another stream, on which each goes on where it was, and nobody counts as cut off", () =>
  served(
    [streaming([frame(START), frame({ type: "ack", canvas: "a" }, "a:1-x")], { stays: true })],
    async (connection, asked) => {
      const [one, two] = [ear(), ear()];
      connection.subscribe("a", one.subscriber);
      await one.until("ack");
      const stop = connection.subscribe("b", two.subscriber, "b:7-y");
      await one.until("ack", 2);
      stop();
      await one.until("ack", 3);
      assert.deepEqual(asked, [
        { refs: ["a"], after: [] },
        { refs: ["a", "b"], after: ["a:1-x", "b:7-y"] },
        { refs: ["a"], after: ["a:1-x"] },
      ]);
      assert.deepEqual(one.told, ["(connecting)", "(open)", "start", "ack", "start", "ack", "start", "ack"]);
    },
  ));

test("canvases that are asked for in one turn make one stream", () =>
  served([streaming([frame(START)], { stays: true })], async (connection, asked) => {
    const { subscriber, until } = ear();
    for (const ref of ["a", "b", "c"]) connection.subscribe(ref, subscriber);
    await until("start");
    assert.deepEqual(asked, [{ refs: ["a", "b", "c"], after: [] }]);
  }));

test("silence of two heartbeats ends a connection", () =>
  served([streaming([frame({ ...START, heartbeat_ms: 20 })], { stays: true })], async (connection, asked) => {
    const { subscriber, told, until } = ear();
    connection.subscribe("a", subscriber);
    await until("start", 3);
    assert(asked.length >= 3);
    assert(told.includes("(waiting)"));
  }));

test("a goodbye tells when to come back", () =>
  served(
    [
      streaming([frame(START), frame({ type: "bye", reason: "shutdown", retry_ms: 1 })]),
      streaming([frame(START)], { stays: true }),
    ],
    async (connection) => {
      const { subscriber, told, until } = ear();
      connection.subscribe("a", subscriber);
      await until("start", 2);
      assert.deepEqual(told, ["(connecting)", "(open)", "start", "bye", "(waiting)", "(connecting)", "(open)", "start"]);
    },
  ));

test("a canvas that is not there is found among the others, which go on", () =>
  served(
    [refusing(404, "NOT_FOUND"), streaming([frame(START)], { stays: true })],
    async (connection, asked) => {
      const [there, gone] = [ear(), ear()];
      connection.subscribe("a", there.subscriber);
      connection.subscribe("none", gone.subscriber);
      await gone.until("NOT_FOUND");
      await there.until("start");
      assert.deepEqual(there.told, ["(connecting)", "(open)", "start"]);
      assert.deepEqual(asked.at(-1).refs, ["a"]);
    },
    (url) => (url.pathname.includes("none") ? refusing(404, "NOT_FOUND") : (answer) => answer.end("{}")),
  ));

test("what waits to come back does so at once when it is woken", () =>
  served([streaming([frame(START)]), streaming([frame(START)], { stays: true })], async (connection, asked) => {
    const { subscriber, until } = ear();
    connection.subscribe("a", subscriber);
    await until("(waiting)");
    connection.wake();
    await until("start", 2);
    connection.wake(60_000);
    assert.equal(asked.length, 2);
  }));

test("with nobody who listens there is no stream", () =>
  served([streaming([frame(START)], { stays: true })], async (connection, asked) => {
    const { subscriber, until } = ear();
    const stop = connection.subscribe("a", subscriber);
    await until("start");
    stop();
    await Promise.resolve();
    connection.wake();
    assert.equal(asked.length, 1);
  }));

test("where fetch cannot be read as a stream, EventSource listens", () => {
  assert.equal(transportOf(globalThis), "fetch");
  assert.equal(transportOf({ ReadableStream, EventSource: Object }), "eventsource");
});
