/**
 * Load for a peer: reads a job as JSON on stdin, prints what it measured as JSON.
 *
 * A job: `{kind, port, pid, text, places, documents, listeners, seconds, warm_s, way}`; `way` is `rate` (as fast as the
 * server goes, 200 edits under way), `calm` (100 edits a second) or `idle` (memory of listeners that hear nothing).
 * The author of a document is one of its listeners: it hears its own edits too.
 */

const { readFileSync } = require("node:fs");
const Y = require("yjs");
const { Connection, numbered } = require("./connection.cjs");

const UNDER_WAY_MAX = 200;
const EDITS_PER_S_MAX = 40_000;
const CALM_PER_S = 100;
const CALM_WARM = 50;
const IDLE_WARM = 50;
const TICK_S = 0.01;
const PAGE_BYTES = 4096;

/** One document: its author, its other listeners, and its edits as frames, made before they are needed. */
class Room {
  constructor(job, name, edits) {
    this.job = job;
    this.name = name;
    this.connections = [new Connection(job, name)];
    this.sent = 0;
    this.frames = [];
    const doc = new Y.Doc();
    const text = doc.getText("text");
    text.insert(0, job.text);
    this.beginning = this.connections[0].frame(Y.encodeStateAsUpdate(doc));
    doc.on("update", (update) => this.frames.push(this.connections[0].frame(update)));
    for (let number = 0; number < edits; number += 1) {
      const place = job.places[number % job.places.length];
      doc.transact(() => {
        const words = numbered(number + 1);
        text.delete(place, words.length);
        text.insert(place, words);
      });
    }
  }

  async open(listeners) {
    const [author] = this.connections;
    await author.joined;
    author.send([this.beginning]);
    await until(() => author.updates > 0);
    await this.listen(listeners);
  }

  async listen(listeners) {
    while (this.connections.length < listeners) {
      this.connections.push(new Connection(this.job, this.name));
      await this.connections.at(-1).joined;
    }
  }

  /** Sends as much as may be under way; the last one to be told sets the pace. */
  pump(underWayMax) {
    const underWay = this.sent - this.connections.at(-1).edits;
    if (underWay < underWayMax) this.send(underWayMax - underWay);
  }

  send(count) {
    if (this.sent + count > this.frames.length) throw new Error("there are too few edits");
    this.connections[0].send(this.frames.slice(this.sent, this.sent + count));
    this.sent += count;
  }

  get settled() {
    return this.connections.every((connection) => connection.edits >= this.sent);
  }

  close() {
    for (const connection of this.connections) connection.close();
  }
}

async function rate(job) {
  const edits = Math.ceil((EDITS_PER_S_MAX * (job.seconds + job.warm_s)) / job.documents);
  const rooms = Array.from({ length: job.documents }, (_, number) => new Room(job, `room-${number}`, edits));
  for (const room of rooms) await room.open(job.listeners);
  await write(rooms, job.warm_s);
  const before = {
    sent: sent(rooms),
    at_s: now(),
    server_s: serverCpu(job.pid),
    server_waited_s: waited(job.pid),
    load_s: loadCpu(),
    load_waited_s: waited("self"),
  };
  await write(rooms, job.seconds);
  const took_s = now() - before.at_s;
  const measured = {
    edits: sent(rooms) - before.sent,
    took_s,
    server_s: serverCpu(job.pid) - before.server_s,
    server_waited_s: waited(job.pid) - before.server_waited_s,
    load_s: loadCpu() - before.load_s,
    load_waited_s: waited("self") - before.load_waited_s,
  };
  for (const room of rooms) room.close();
  return measured;
}

async function write(rooms, seconds) {
  const underWayMax = Math.ceil(UNDER_WAY_MAX / rooms.length);
  const end_s = now() + seconds;
  for (const room of rooms) {
    room.connections.at(-1).onEdits = () => {
      if (now() < end_s) room.pump(underWayMax);
    };
    room.pump(underWayMax);
  }
  await sleep(seconds);
  await until(() => rooms.every((room) => room.settled));
}

async function calm(job) {
  const wanted = CALM_WARM + CALM_PER_S * job.seconds;
  const room = new Room(job, "room", wanted);
  await room.open(job.listeners);
  const heard_ms = room.connections.map((connection) => {
    const times = [];
    connection.onEdits = (count) => times.push(...Array(count).fill(performance.now()));
    return times;
  });
  const sent_ms = [];
  const began_s = now();
  for (let number = 0; number < wanted; number += 1) {
    await sleep(began_s + number / CALM_PER_S - now());
    sent_ms.push(performance.now());
    room.send(1);
  }
  await until(() => heard_ms.every((times) => times.length === wanted));
  room.close();
  const took_ms = heard_ms.flatMap((times) => times.slice(CALM_WARM).map((at, i) => at - sent_ms[i + CALM_WARM]));
  took_ms.sort((one, other) => one - other);
  return { p50_ms: took_ms[took_ms.length >> 1], p99_ms: took_ms[Math.floor(took_ms.length * 0.99)] };
}

async function idle(job) {
  const room = new Room(job, "room", 0);
  await room.open(IDLE_WARM);
  const before = memory(job.pid);
  await room.listen(IDLE_WARM + job.listeners);
  const measured = { kb: (memory(job.pid) - before) / job.listeners / 1024 };
  room.close();
  return measured;
}

const now = () => performance.now() / 1000;
const sent = (rooms) => rooms.reduce((sum, room) => sum + room.sent, 0);
const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, Math.max(0, seconds * 1000)));

async function until(condition) {
  for (let waited_s = 0; !condition(); waited_s += TICK_S) {
    if (waited_s > 60) throw new Error("it never came");
    await sleep(TICK_S);
  }
}

function serverCpu(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "latin1").split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Seconds that a process's main thread could have run, but something else had the core. */
function waited(pid) {
  return Number(readFileSync(`/proc/${pid}/schedstat`, "latin1").split(" ")[1]) / 1e9;
}

function loadCpu() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

function memory(pid) {
  return Number(readFileSync(`/proc/${pid}/statm`, "latin1").split(" ")[1]) * PAGE_BYTES;
}

const job = JSON.parse(readFileSync(0, "utf8"));
({ rate, calm, idle })[job.way](job).then((measured) => {
  console.log(JSON.stringify(measured));
  process.exit(0);
});
