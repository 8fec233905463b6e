/** The replica, by chance against a small server, and by example where a rule has one. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { crc32 } from "../../../canvas_server/web/client/crc32.js";
import { firstRequest, requestLimits } from "../../../canvas_server/web/client/operation.js";
import { Replica } from "../../../canvas_server/web/client/replica.js";
import { ChangeSet } from "../../../canvas_server/web/client/changeset.js";
import { randomOf } from "./random.mjs";
import { Ink, Seat, SmallServer, live, randomChange } from "./simulation.mjs";

const LIMITS = requestLimits();
const CASES = Number(process.env.REPLICA_CASES ?? 800);

function forAny(plan) {
  for (let seed = 1; seed <= CASES; seed += 1) {
    try {
      live(seed, randomOf(seed), plan);
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
  }
}

test("texts come to be the same, and nothing written is lost or doubled", () => forAny({}));

test("nor when the server forgets what no checkpoint covers", () => forAny({ crashes: true }));

test("nor when many write at once, into each other", () => forAny({ crashes: true, seats: 5, steps: 90 }));

test("nor when pages are reloaded at any moment, with what they kept", () => forAny({ reloads: true, steps: 90 }));

test("nor is anything doubled when the server crashes, too", () => forAny({ reloads: true, crashes: true, steps: 90 }));

/** Two seats of one server, whose requests arrive at once. */
function twoSeats(text, refuses) {
  const server = new SmallServer(text, refuses);
  const seats = [new Seat("a", server), new Seat("b", server)];
  const exchange = (seat) => {
    seat.send(LIMITS, true);
    for (const request of seat.requests.splice(0)) {
      const events = server.submit(request);
      for (const each of seats) if (each.isOnline) each.events.push(...structuredClone(events));
    }
    for (const each of seats) while (each.events.length > 0) each.hear();
  };
  return { server, seats, exchange };
}

test("one's own text shows at once, and stays where it is when it is acknowledged", () => {
  const { seats, exchange } = twoSeats("ab");
  seats[0].edit([{ from: 1, to: 1, insert: "X" }]);
  assert.equal(seats[0].replica.text, "aXb");
  seats[0].send(LIMITS, false);
  seats[0].edit([{ from: 2, to: 2, insert: "Y" }]);
  exchange(seats[0]);
  exchange(seats[0]);
  assert.deepEqual(
    seats.map((seat) => seat.replica.text),
    ["aXYb", "aXYb"],
  );
});

test("a thousand edits that wait are rebased over a thousand of another, and none is lost", () => {
  const { seats, exchange, server } = twoSeats("\n".repeat(2_000));
  for (let index = 0; index < 1_000; index += 1) {
    seats[0].edit([{ from: index * 3, to: index * 3, insert: `<${index % 10}` }]);
    seats[1].edit([{ from: 1_000 + index * 2, to: 1_000 + index * 2, insert: ">" }]);
  }
  while (!seats.every((seat) => seat.isDone)) seats.forEach(exchange);
  assert.equal(seats[0].replica.text, server.text);
  assert.equal(seats[1].replica.text, server.text);
  assert.equal(server.text.match(/<\d/g).length, 1_000);
  assert.equal(server.text.match(/>/g).length, 1_000);
});

test("a request has no more operations and text than may be, and divides no character", () => {
  const set = ChangeSet.at({ from: 1, to: 2, insert: "😀".repeat(10) });
  const { spots, rest } = firstRequest(set, "abc", { ops: 100, units: 7 });
  assert.deepEqual(spots, [{ from: 1, to: 2, insert: "😀😀😀" }]);
  assert.equal(rest.apply(new ChangeSet(spots).apply("abc")), set.apply("abc"));
  const many = new ChangeSet(
    Array.from({ length: 250 }, (_, index) => ({ from: index * 2, to: index * 2, insert: "x" })),
  );
  const first = firstRequest(many, "\n".repeat(500), LIMITS);
  assert.equal(first.spots.length, 100);
  assert.equal(first.rest.spots.length, 150);
});

test("what replaces a text by itself is not sent", () => {
  const { seats } = twoSeats("abc");
  seats[0].edit([{ from: 0, to: 3, insert: "abc" }]);
  seats[0].send(LIMITS, false);
  assert.deepEqual([seats[0].requests, seats[0].replica.pendingCount], [[], 0]);
});

test("a replacement is sent without what it leaves as it is", () => {
  const { seats } = twoSeats("Hello 😀!");
  seats[0].edit([{ from: 0, to: 9, insert: "Hello 😁!" }]);
  seats[0].send(LIMITS, false);
  const [{ target, content, action }] = seats[0].requests[0];
  assert.deepEqual([action, target.position, content], ["replace", { mode: "range", from: 6, to: 8 }, "😁"]);
});

test("what is refused stays in the text, and goes again", () => {
  let isFull = true;
  const { server, seats, exchange } = twoSeats("a\n\nb", (op) => isFull && op.content === "big");
  seats[0].edit([{ from: 1, to: 1, insert: "big" }]);
  exchange(seats[0]);
  assert.deepEqual([seats[0].replica.text, server.text, seats[0].replica.pendingCount], ["abig\n\nb", "a\n\nb", 1]);
  isFull = false;
  exchange(seats[0]);
  assert.deepEqual([server.text, seats[0].replica.pendingCount], ["abig\n\nb", 0]);
});

test("operations as they are given go after what was written before, and change the text by their ack", () => {
  const { seats, exchange } = twoSeats("ab");
  const [seat] = seats;
  seat.edit([{ from: 2, to: 2, insert: "c" }]);
  seat.replica.enqueue([
    {
      op_id: "raw",
      action: "insert",
      content: "X",
      target: { type: "position", position: { mode: "offset", offset: 0 } },
    },
  ]);
  seat.edit([{ from: 3, to: 3, insert: "d" }]);
  exchange(seat);
  assert.equal(seat.replica.text, "abcd");
  exchange(seat);
  assert.equal(seat.replica.text, "Xabcd");
  exchange(seat);
  assert.deepEqual([seats[1].replica.text, seat.replica.pendingCount], ["Xabcd", 0]);
});

test("what a crash forgot comes back as it was, with its versions, when its authors send it again", () => {
  const { server, seats, exchange } = twoSeats("");
  for (const [index, seat] of [0, 1, 0].entries()) {
    seats[seat].edit([{ from: index, to: index, insert: String(index) }]);
    exchange(seats[seat]);
  }
  const { version, text } = server;
  server.crash();
  assert.equal(server.text, "");
  for (const seat of seats) seat.cut();
  for (const seat of seats) seat.connect();
  for (const seat of [0, 1, 0]) exchange(seats[seat]);
  assert.deepEqual([server.version, server.text], [version, text]);
  assert(seats.every((seat) => seat.isDone && seat.replica.text === text && !seat.replica.isSaved));
  for (const seat of seats) seat.replica.receive(server.checkpoint());
  assert(seats.every((seat) => seat.replica.isSaved));
});

test("where another author does not come back, one's own is written anew, and only that", () => {
  const { server, seats, exchange } = twoSeats("..");
  seats[1].edit([{ from: 1, to: 1, insert: "theirs" }]);
  exchange(seats[1]);
  seats[0].edit([{ from: 3, to: 3, insert: "mine" }]);
  exchange(seats[0]);
  server.crash();
  seats[1].cut();
  seats[0].cut();
  seats[0].connect();
  exchange(seats[0]);
  assert.equal(server.text, "..");
  assert(seats[0].replica.waitsForOthers);
  seats[0].giveUpOthers();
  exchange(seats[0]);
  assert.deepEqual([server.text, seats[0].replica.text], [".mine.", ".mine."]);
});

test("a canvas that was made again is taken as it is, with what was not acknowledged", () => {
  const { server, seats } = twoSeats("old text");
  seats[0].edit([{ from: 8, to: 8, insert: "!" }]);
  server.recreate("new text");
  seats[0].follow(seats[0].replica.rebuild({ version: server.version, content: server.text }, { keepsLost: false }));
  assert.equal(seats[0].replica.text, "new text!");
});

test("a heartbeat tells a gap from a text that drifted", () => {
  const replica = new Replica({ version: 'W/"3-a"', content: "é" }, () => "x");
  const heartbeat = { server_version: 'W/"3-a"', length: 1, crc32: crc32("é") };
  assert.equal(replica.compare({ ...heartbeat, crc32: 1 }), "drift");
  assert.equal(replica.compare({ ...heartbeat, length: 2 }), "drift");
  assert.equal(replica.compare(heartbeat), "same");
  assert.equal(replica.compare({ ...heartbeat, server_version: 'W/"4-b"' }), "gap");
  assert.equal(replica.compare({ ...heartbeat, server_version: 'W/"3-b"' }), "gap");
  assert.equal(replica.compare({ ...heartbeat, server_version: 'W/"2-b"' }), "same");
});

test("an edit outside the text is refused and changes nothing", () => {
  const replica = new Replica({ version: 'W/"0-a"', content: "abc" }, () => "x");
  assert.throws(() => replica.edit([{ from: 0, to: 4, insert: "" }]), RangeError);
  assert.deepEqual([replica.text, replica.pendingCount], ["abc", 0]);
});

test("half a character that is left behind becomes the replacement character", () => {
  const replica = new Replica({ version: 'W/"0-a"', content: "a😀b" }, () => "x");
  replica.edit([{ from: 2, to: 3, insert: "\r\n" }]);
  assert.equal(replica.text, "a\ufffd\nb");
});

test("text that is deleted by one and written into by another keeps what was written", () => {
  const ink = new Ink();
  const { server, seats, exchange } = twoSeats(ink.take(9));
  const random = randomOf(5);
  for (let round = 0; round < 200; round += 1) {
    for (const seat of seats) seat.edit([randomChange(seat.replica.text, ink, random)]);
    exchange(seats[round % 2]);
  }
  while (!seats.every((seat) => seat.isDone)) seats.forEach(exchange);
  ink.check(server.text);
});
