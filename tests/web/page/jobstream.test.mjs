/**
 * Reading a job's event stream over real HTTP: cut anywhere, broken off, refused.
 */

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";

import { JobStream } from "../../../canvas_server/web/page/jobstream.js";
import { EventStreamParser } from "../../../canvas_server/web/client/sse.js";

const STREAM =
  ': comment\r\nid: 1\r\ndata: {"a":\r\ndata: 1}\r\n\r\nretry: 5\n\nevent: x\ndata:two\n\nid: 3\rdata: é😀\r\rid\ndata\n\n';
const EVENTS = [
  { id: "1", data: '{"a":\n1}' },
  { id: "1", data: "two" },
  { id: "3", data: "é😀" },
  { id: "", data: "" },
];

/** Serve until the end of `use`; each request takes the next of `answers`. */
async function served(answers, use) {
  const asked = [];
  const server = createServer((request, answer) => {
    asked.push(request.headers["last-event-id"] ?? null);
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

/** Read a stream until its last event, or until it is refused for good. */
function read(url) {
  const told = [];
  return new Promise((resolve) => {
    const stream = new JobStream(url, {
      event: (event) => {
        told.push(event.type);
        if (event.type === "complete" || event.type === "error") resolve(told);
      },
      connection: (isOpen) => isOpen || told.push("away"),
      gone: (problem) => resolve([...told, problem.code]),
    });
    stream.open();
  });
}

const event = (id, type) => `id: ${id}\r\ndata: {"type":"${type}"}\r\n\r\n`;

/** An answer that sends these pieces and ends, or is torn off. */
const streaming =
  (pieces, end = (answer) => answer.end()) =>
  (answer) => {
    answer.writeHead(200, { "Content-Type": "text/event-stream" });
    for (const piece of pieces) answer.write(piece);
    setImmediate(() => end(answer));
  };
const refusing = (status, code) => (answer) => {
  answer.writeHead(status, { "Content-Type": "application/problem+json" });
  answer.end(JSON.stringify({ status, code, detail: "no" }));
};

test("events are read whole wherever the text is cut", () => {
  assert.deepEqual(new EventStreamParser().push(STREAM), EVENTS);
  for (let cut = 0; cut <= STREAM.length; cut += 1) {
    const parser = new EventStreamParser();
    assert.deepEqual(
      [...parser.push(STREAM.slice(0, cut)), ...parser.push(STREAM.slice(cut))],
      EVENTS,
      `cut at ${cut}`,
    );
  }
  const parser = new EventStreamParser();
  assert.deepEqual(
    [...STREAM].flatMap((letter) => parser.push(letter)),
    EVENTS,
  );
});

test("an event that is not ended is not told, and an id with a NUL is none", () => {
  const parser = new EventStreamParser();
  assert.deepEqual(parser.push("id: 1\ndata: a\n"), []);
  assert.deepEqual(parser.push("id: b\0\n\n"), [{ id: "1", data: "a" }]);
});

test("a stream is read to its last event and not asked for again", async () => {
  await served([streaming([event(1, "step"), event(2, "complete")])], async (url, asked) => {
    assert.deepEqual(await read(url), ["step", "complete"]);
    assert.deepEqual(asked, [null]);
  });
});

test("a stream that breaks or ends too early goes on after the last event it told", async () => {
  const torn = streaming([event(1, "step"), 'id: 2\r\ndata: {"ty'], (answer) => answer.destroy());
  const ended = streaming([event(2, "chunk"), 'data: {"type":"queued"}\r\n\r\n']);
  const rest = streaming([event(3, "error")]);
  await served([torn, ended, rest], async (url, asked) => {
    assert.deepEqual(await read(url), ["step", "away", "chunk", "queued", "away", "error"]);
    assert.deepEqual(asked, [null, "1", "2"]);
  });
});

test("a server in trouble is asked again, one that knows no such job is not", async () => {
  await served([refusing(503, "DRAINING"), refusing(404, "NOT_FOUND")], async (url, asked) => {
    assert.deepEqual(await read(url), ["away", "NOT_FOUND"]);
    assert.equal(asked.length, 2);
  });
});

test("a stream that its reader closes is over for the server too, and tells nothing more", async () => {
  const told = [];
  let closed;
  const open = (answer) => {
    closed = once(answer, "close");
    streaming([event(1, "step"), event(2, "chunk")], () => {})(answer);
  };
  await served([open], async (url, asked) => {
    await new Promise((resolve) => {
      const take = ({ type }) => {
        told.push(type);
        stream.close();
        resolve();
      };
      const stream = new JobStream(url, { event: take, connection: () => {}, gone: () => told.push("gone") });
      stream.open();
    });
    await closed;
    assert.deepEqual([told, asked], [["step"], [null]]);
  });
});
