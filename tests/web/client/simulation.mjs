/**
 * A small server, and replicas that talk to it over a network that delays, drops and repeats: all of it in memory, and
 * driven by chance from a seed.
 *
 * Every character that is written is another one, so that loss and doubling are seen. The rules of the server are those
 * of the protocol for scope `range`.
 */

import assert from "node:assert/strict";

import { Replica } from "../../../canvas_server/web/client/replica.js";
import { sequenceOf } from "../../../canvas_server/web/client/version.js";

const applied = (text, { from, to, insert }) => text.slice(0, from) + insert + text.slice(to);

export class SmallServer {
  text;
  history = [];
  #start;
  #durable = 0;
  #refusesInto;

  /** @param {string} text @param {(op: any) => boolean} [refuses] what is answered with an error */
  constructor(text, refuses = () => false) {
    this.text = text;
    this.#start = { text, version: 'W/"0-start"' };
    this.#refusesInto = refuses;
  }

  get version() {
    return this.history.at(-1)?.server_version ?? this.#start.version;
  }

  /** @returns {any[]} what is told to everybody */
  submit(ops) {
    let failed = false;
    return ops.flatMap((op) => {
      const event = failed ? this.#conflict(op, "not_executed") : this.#decide(op);
      failed ||= event.type !== "ack";
      return event;
    });
  }

  /** @returns {any} on disk is what was told so far */
  checkpoint() {
    this.#durable = this.history.length;
    return { type: "checkpoint", server_version: this.version };
  }

  get checkpointVersion() {
    return this.history[this.#durable - 1]?.server_version ?? this.#start.version;
  }

  crash() {
    this.history.length = this.#durable;
    this.text = this.history.flatMap((ack) => ack.changes).reduce(applied, this.#start.text);
  }

  /** The canvas is deleted and made again. @param {string} text */
  recreate(text) {
    this.#start = { text, version: `W/"0-again${this.history.length}"` };
    this.text = text;
    this.history = [];
    this.#durable = 0;
  }

  /** @returns {any[]|null} null: that version is not in the history */
  after(version) {
    const versions = [this.#start.version, ...this.history.map((ack) => ack.server_version)];
    const index = typeof version === "number" ? version : versions.indexOf(version);
    return index < 0 || index > this.history.length ? null : this.history.slice(index);
  }

  /** @returns {string|null} null: that version is not in the history */
  textAt(version) {
    const later = this.after(version);
    if (later === null) return null;
    const known = this.history.slice(0, this.history.length - later.length);
    return known.flatMap((ack) => ack.changes).reduce(applied, this.#start.text);
  }

  #decide(op) {
    const known = this.history.find((ack) => ack.op_id === op.op_id);
    if (known !== undefined) return { ...known, duplicate: true };
    const missed = this.after(op.client_version);
    if (missed === null) return this.#conflict(op, "unknown_version");
    if (this.#refusesInto(op)) return { type: "error", op_id: op.op_id, code: "CANVAS_TOO_LARGE" };
    const place = carried(op.target.position, missed);
    if (place === null) return this.#conflict(op, "range_changed");
    return this.#apply(op, { ...place, insert: op.content ?? "" });
  }

  #apply(op, change) {
    assert(change.to <= this.text.length, "an offset lies outside the text");
    this.text = applied(this.text, change);
    const base = this.version;
    const chain = hash(`${base}\n${op.op_id}\n${change.from},${change.to},${change.insert}`);
    const ack = {
      type: "ack",
      op_id: op.op_id,
      base_version: base,
      server_version: `W/"${this.history.length + 1}-${chain}"`,
      changes: [change],
    };
    this.history.push(ack);
    return ack;
  }

  #conflict(op, reason) {
    return { type: "conflict", op_id: op.op_id, reason, expected_version: this.version };
  }
}

/** Carry a range over what was applied since; null where that touched it. Two inserts at one point do not touch. */
function carried({ from, to, offset }, missed) {
  let [first, last] = [from ?? offset, to ?? offset];
  for (const change of missed.flatMap((ack) => ack.changes)) {
    const growth = change.insert.length - (change.to - change.from);
    const arePoints = first === last && change.from === change.to;
    if (change.to < first || (arePoints && change.from === first)) {
      first += growth;
      last += growth;
    } else if (change.from <= last) {
      return null;
    }
  }
  return { from: first, to: last };
}

function hash(text) {
  let value = 0n;
  for (const unit of text) value = (value * 1_000_003n + BigInt(unit.codePointAt(0))) % (1n << 61n);
  return value.toString(16).padStart(16, "0");
}

/** A replica with the network between it and the server. What it does over time is done here step by step. */
export class Seat {
  events = [];
  requests = [];
  isOnline = true;
  /** @type {string|null} what `drafts.js` would have stored */
  stored = null;
  /** What was sent as it is, by op_id; it counts as written once it is acknowledged. */
  #raw = new Map();
  #makeId;
  #server;

  constructor(name, server) {
    let count = 0;
    this.#makeId = () => `${name}-${(count += 1)}`;
    this.#server = server;
    this.replica = new Replica({ version: server.version, content: server.text }, this.#makeId);
    /** What a program would see that only follows the changes it is told. */
    this.mirror = server.text;
  }

  follow(changes) {
    this.mirror = changes.reduce(applied, this.mirror);
    assert.equal(this.mirror, this.replica.text, "the changes told do not lead to the text");
    assert.equal(
      changes.some(({ from, to }) => from > to),
      false,
    );
  }

  edit(changes) {
    this.follow(this.replica.edit(changes));
  }

  /** Have text inserted at the start by operations that are sent as they are. */
  enqueue(ink, random) {
    const ops = Array.from({ length: 1 + random(2) }, () => {
      const content = ink.take(2);
      for (const character of content) ink.written.delete(character);
      const op = { op_id: this.#makeId(), scope: "range", action: "insert", content };
      this.#raw.set(op.op_id, () => [...content].forEach((character) => ink.written.add(character)));
      return { ...op, target: { type: "position", position: { mode: "offset", offset: 0 } } };
    });
    for (const op of ops.slice(1)) op.client_version = this.replica.version;
    this.replica.enqueue(ops);
  }

  #note({ type, op_id: opId }) {
    if (type === "ack") this.#raw.get(opId)?.();
  }

  /** Send what is to be sent now; `again`: as after a time in which no answer came. */
  send(limits, again) {
    const { replica } = this;
    if (!this.isOnline) return;
    const waiting = replica.unanswered();
    const ops =
      waiting.length > 0 && again
        ? waiting
        : replica.isReplaying
          ? replica.takeReplay(limits)
          : replica.takeRequest(limits);
    if (ops.length > 0 && this.stored !== null) this.keep();
    if (ops.length > 0) this.requests.push(structuredClone(ops));
  }

  keep() {
    const { draft } = this.replica;
    this.stored = draft.edits.length === 0 ? null : JSON.stringify(draft);
  }

  /** The page ends, and begins again with what is stored; `ink` need not have what never was, or has no place. */
  reload(ink) {
    const written = (draft) => draft.edits.flatMap(({ spots }) => spots.map(({ insert }) => insert)).join("");
    if (this.stored !== JSON.stringify(this.replica.draft)) ink.delete(written(this.replica.draft));
    this.cut();
    const draft = JSON.parse(this.stored);
    const content = draft === null ? null : this.#server.textAt(draft.version);
    if (draft !== null && content === null) ink.delete(written(draft));
    const { version, text } = this.#server;
    this.replica = new Replica(content === null ? { version, content: text } : { ...draft, content }, this.#makeId);
    if (content !== null) this.replica.restore(draft.edits);
    this.mirror = this.replica.text;
    this.connect();
    this.keep();
  }

  hear() {
    const event = this.events.shift();
    if (event === undefined) return;
    this.#note(event);
    const { outcome, changes } = this.replica.receive(structuredClone(event));
    this.follow(changes);
    if (this.replica.draft.edits.length === 0) this.stored = null;
    if (outcome === "gap" || event.reason === "unknown_version") this.catchUp();
  }

  /** The connection is lost, with all that was on its way to here. */
  cut() {
    this.events = [];
    this.isOnline = false;
  }

  connect() {
    if (this.isOnline) return;
    this.isOnline = true;
    this.events = [];
    this.catchUp();
    this.#checkpoint();
  }

  /** As `history.js` does it, with nothing to wait for. */
  catchUp() {
    const { replica } = this;
    const missed = replica.isReplaying ? null : this.#server.after(replica.version);
    if (missed !== null) return this.#take(missed);
    const events = this.#server.after(sequenceOf(replica.floor)) ?? [];
    const head = this.#server.version;
    if (!replica.recover(events, head)) {
      this.follow(replica.rebuild({ version: head, content: this.#server.text }, { keepsLost: true }));
    } else {
      if (replica.hasDiverged(head)) this.follow(replica.diverge(new Set(events.map((event) => event.op_id))));
      this.#take(events);
    }
  }

  /** The others take too long to bring back what the server forgot. */
  giveUpOthers() {
    if (!this.isOnline || !this.replica.waitsForOthers) return;
    this.follow(this.replica.diverge());
    this.catchUp();
  }

  get isDone() {
    return (
      this.isOnline &&
      this.events.length === 0 &&
      this.requests.length === 0 &&
      this.replica.pendingCount === 0 &&
      !this.replica.isReplaying
    );
  }

  #take(acks) {
    for (const ack of structuredClone(acks)) {
      this.#note(ack);
      const { outcome, changes } = this.replica.receive(ack);
      this.follow(changes);
      assert.notEqual(outcome, "gap", "the history itself has a gap");
    }
  }

  #checkpoint() {
    this.replica.receive({ type: "checkpoint", server_version: this.#server.checkpointVersion });
  }
}

/** Text of which no character is ever written twice; some of them take two units. */
export class Ink {
  written = new Set();
  deleted = new Set();
  #next = 0;

  take(length) {
    const taken = Array.from({ length }, () => {
      this.#next += 1;
      return String.fromCodePoint(this.#next % 5 === 0 ? 0x20000 + this.#next : 0x4e00 + (this.#next % 20000));
    });
    for (const character of taken) this.written.add(character);
    return taken.join("");
  }

  /** @param {string} text that its author deletes */
  delete(text) {
    for (const character of text) this.deleted.add(character);
  }

  /** @param {string} text at the end: everything that nobody deleted is in it, and nothing twice */
  check(text, { isComplete = true } = {}) {
    const characters = [...text];
    const found = new Set(characters);
    assert.equal(found.size, characters.length, "something is there twice");
    if (!isComplete) return;
    const lost = [...this.written].filter((character) => !found.has(character) && !this.deleted.has(character));
    assert.deepEqual(lost, [], "what was written is lost");
  }
}

/** A change of a text that divides no pair. */
export function randomChange(text, ink, random, { deletes = true } = {}) {
  const boundary = (offset) => (/[\udc00-\udfff]/.test(text[offset] ?? "") ? offset + 1 : offset);
  const from = boundary(random(text.length + 1));
  const to = deletes && random(3) === 0 ? boundary(Math.min(text.length, from + random(6))) : from;
  ink.delete(text.slice(from, to));
  return { from, to, insert: to > from && random(2) === 0 ? "" : ink.take(1 + random(4)) };
}

/**
 * One life of a canvas.
 *
 * @param {number} seed
 * @param {{seats?: number, steps?: number, crashes?: boolean, deletes?: boolean, reloads?: boolean}} [plan] what an
 *   author has acknowledged, not on disk and not any more in a page is lost in a crash
 */
export function live(seed, random, { seats: count = 3, steps = 60, crashes = false, deletes = true, reloads = false } = {}) {
  const ink = new Ink();
  const server = new SmallServer(ink.take(random(12)));
  const seats = Array.from({ length: count }, (_, index) => new Seat(`s${seed}-${index}`, server));
  let joined = count;
  const limits = { ops: 1 + random(5), units: 2 + random(8) };
  const broadcast = (events) => seats.forEach((seat) => seat.isOnline && seat.events.push(...structuredClone(events)));
  const actions = {
    edit: (seat) => seat.edit([randomChange(seat.replica.text, ink, random, { deletes })]),
    raw: (seat) => seat.enqueue(ink, random),
    send: (seat) => seat.send(limits, random(4) === 0),
    deliver: (seat) =>
      seat.requests.length > 0 && broadcast(server.submit(seat.requests.splice(random(seat.requests.length), 1)[0])),
    repeat: (seat) => seat.requests.length > 0 && broadcast(server.submit(seat.requests[random(seat.requests.length)])),
    drop: (seat) => seat.requests.splice(0, 1),
    hear: (seat) => seat.hear(),
    cut: (seat) => random(3) === 0 && seat.cut(),
    connect: (seat) => seat.connect(),
    checkpoint: () => broadcast([server.checkpoint()]),
    join: (seat) => {
      if (seat.isOnline && seat.replica.isSaved)
        seats[seats.indexOf(seat)] = new Seat(`s${seed}-${(joined += 1)}`, server);
    },
    keep: (seat) => reloads && seat.keep(),
    reload: (seat) => {
      if (!reloads) return;
      if (random(3) > 0) seat.keep();
      seat.reload(ink);
    },
    giveUp: (seat) => random(4) === 0 && seat.giveUpOthers(),
    crash: () => {
      if (!crashes || random(3) > 0) return;
      server.crash();
      for (const seat of seats) Object.assign(seat, { requests: [] }).cut();
    },
  };
  const likely = ["edit", "edit", "edit", "send", "send", "send", "deliver", "deliver", "hear", "hear", "hear", "hear"];
  const choices = [...likely, ...Object.keys(actions)];
  for (let step = 0; step < steps; step += 1) actions[choices[random(choices.length)]](seats[random(count)]);
  settle(seats, server, broadcast, limits);
  for (const seat of seats) assert.equal(seat.replica.text, server.text, "the texts differ");
  ink.check(server.text, { isComplete: !(crashes && reloads) });
}

/** Let everything come to its end, without trouble. */
function settle(seats, server, broadcast, limits) {
  for (let round = 0; !seats.every((seat) => seat.isDone); round += 1) {
    assert(round < 300, "it does not come to an end");
    for (const seat of seats) {
      seat.connect();
      seat.send(limits, round % 3 === 2);
      for (const request of seat.requests.splice(0)) broadcast(server.submit(request));
      while (seat.events.length > 0) seat.hear();
      if (round % 20 === 19) seat.giveUpOthers();
    }
  }
}
