/**
 * One canvas as an author sees it: the server's text, and over it what the author wrote that is not acknowledged.
 *
 * Rule: the view is always the confirmed text with all items applied in order. The server's order is the truth:
 * what it tells is applied to the confirmed text, and the items are rebased over it. Nothing here waits or asks.
 */

import { ChangeSet, textDifference } from "./changeset.js";
import { cleanSet } from "./clean.js";
import { crc32 } from "./crc32.js";
import { Items } from "./items.js";
import { UnsavedLog, replayOf } from "./log.js";
import { firstRequest, fitting, operationOf } from "./operation.js";
import { sequenceOf } from "./version.js";

/**
 * @typedef {import("./changeset.js").Change} Change
 * @typedef {import("./log.js").Entry} Entry
 * @typedef {import("./operation.js").Operation} Operation
 * @typedef {import("./operation.js").RequestLimits} RequestLimits
 *
 * @typedef {"applied"|"known"|"gap"|"replayed"|"refused"|"dropped"|"ignored"} Outcome `gap`: read the history after
 *   `version`; `refused`: it goes again; `dropped`: an operation that was given as it is goes no more
 * @typedef {{outcome: Outcome, changes: Change[], isOwn: boolean}} Reception `changes` are those of the view
 * @typedef {Record<string, any>} ServerEvent
 */

/** @type {Change[]} */
const NONE = [];

export class Replica {
  #items = new Items();
  /** @type {UnsavedLog} */ #log;
  /** @type {string|null} the version of which a heartbeat was compared */ #compared = null;
  #confirmed;
  #version;
  #view;
  #makeId;

  /** @param {{version: string, content: string}} state @param {() => string} makeId names operations */
  constructor({ version, content }, makeId) {
    this.#version = version;
    this.#confirmed = content;
    this.#view = content;
    this.#makeId = makeId;
    this.#log = new UnsavedLog(version);
  }

  /** As the author sees it. */
  get text() {
    return this.#view;
  }

  /** As the server has it at `version`. */
  get confirmed() {
    return this.#confirmed;
  }

  get version() {
    return this.#version;
  }

  /** The version of this text that is known to be on disk, as far as the log goes back. */
  get floor() {
    return this.#log.floor;
  }

  /** What makes the confirmed text the author's. */
  get written() {
    return this.#items.set;
  }

  /** How many operations wait for their end. */
  get pendingCount() {
    return this.#items.count;
  }

  /** Whether all that was written here is on disk. */
  get isSaved() {
    return this.#items.isEmpty && !this.#log.holdsOwn;
  }

  /** Whether operations that a crash made the server forget are still to come back. */
  get isReplaying() {
    return this.#log.lost.length > 0;
  }

  /** Whether the next of them is another author's, who has to send it again. */
  get waitsForOthers() {
    return this.isReplaying && this.#log.lost[0].op === null;
  }

  /** What one wrote that is not acknowledged, as data. @returns {import("./drafts.js").DraftState} */
  get draft() {
    return { version: this.#version, ...this.#items.draft };
  }

  /** Take up what was written on this very text. @param {import("./drafts.js").DraftEdit[]} edits */
  restore(edits) {
    this.#items.restore(edits);
    this.#view = this.#items.set.apply(this.#confirmed);
  }

  /**
   * Write, at once.
   *
   * @param {readonly Change[]} changes one after the other, in coordinates of `text`
   * @returns {Change[]} what was done: line ends are made LF, and no surrogate pair is divided
   * @throws {RangeError} one lies outside the text; then nothing is done
   */
  edit(changes) {
    const set = cleanSet(ChangeSet.of(changes), this.#view);
    this.#view = set.apply(this.#view);
    this.#items.push({ set });
    return set.changes;
  }

  /** Have operations sent as they are, in one request, after all that was written before. @param {Operation[]} ops */
  enqueue(ops) {
    const request = Symbol("batch");
    for (const raw of ops) this.#items.push({ raw, request });
  }

  /**
   * What was sent and has not ended: the operations of the first such request, as they were sent. While forgotten ones
   * are to come back, those that stand on them have to wait.
   *
   * @returns {Operation[]}
   */
  unanswered() {
    return this.isReplaying ? [] : this.#items.onTheirWay;
  }

  /**
   * The next request, if nothing is on its way; it counts as sent.
   *
   * @param {RequestLimits} limits
   * @returns {Operation[]} none: there is nothing to send now
   */
  takeRequest(limits) {
    const { head } = this.#items;
    if (this.isReplaying || head === undefined || this.#items.onTheirWay.length > 0) return [];
    return head.raw === null ? this.#takeEdits(head.set, limits) : this.#takeBatch(head.request);
  }

  /** The next of one's own that the server forgot, to send again. @param {RequestLimits} limits @returns {Operation[]} */
  takeReplay(limits) {
    const lost = this.#log.lost;
    const end = lost.findIndex((entry) => entry.op === null);
    const own = lost.slice(0, end < 0 ? lost.length : end);
    const ops = fitting(own.map(replayOf), limits);
    const request = Symbol("replay");
    ops.forEach((op, index) => (own[index].sending = { op, request }));
    return ops;
  }

  /** What is on its way of that which comes back. @returns {Operation[]} */
  get replaying() {
    return this.#log.lost.flatMap(({ sending }) => sending?.op ?? []);
  }

  /** All that is on its way. @returns {Operation[]} */
  get sent() {
    return [...this.replaying, ...this.#items.sent];
  }

  /**
   * A request was refused.
   *
   * @param {readonly Operation[]} ops
   * @param {{keepsEdits: boolean}} options whether edits stay on their way: it is not known that they were not applied
   * @returns {Operation[]} those that were given as they are, and go no more
   */
  giveBack(ops, { keepsEdits }) {
    return this.#items.giveBack(new Set(ops.map((op) => op.op_id)), keepsEdits);
  }

  /** Those that were given as they are go no more. @returns {Operation[]} */
  withdraw() {
    return this.#items.withdraw();
  }

  /**
   * Take an `ack`, `conflict`, `error` or `checkpoint`, in the order of the stream.
   *
   * @param {ServerEvent} event
   * @returns {Reception}
   */
  receive(event) {
    switch (event.type) {
      case "ack":
        return this.#receiveAck(event);
      case "conflict":
      case "error":
        return this.#receiveRefusal(event);
      case "checkpoint":
        if (!event.failed) this.#log.checkpoint(event.server_version);
        return told("ignored");
      default:
        return told("ignored");
    }
  }

  /** @param {ServerEvent} heartbeat @returns {"same"|"gap"|"drift"} `drift`: the text has to be read again */
  compare({ server_version: version, length, crc32: sum }) {
    if (this.isReplaying || version === this.#compared) return "same";
    if (version !== this.#version) {
      const isOlder = sequenceOf(version) < sequenceOf(this.#version);
      return isOlder && !this.#log.contradicts(version) ? "same" : "gap";
    }
    if (length !== this.#confirmed.length || sum !== crc32(this.#confirmed)) return "drift";
    this.#compared = version;
    return "same";
  }

  /** Whether a server with this newest version forgot `version`, as far as that can be seen. @param {string} head */
  isForgottenBy(head) {
    return sequenceOf(head) < sequenceOf(this.#version) || this.#log.contradicts(head);
  }

  /**
   * The server does not know `version`. What it forgot is to come back as it was, if nothing else was written
   * meanwhile; else what is one's own of it is written anew.
   *
   * @param {readonly ServerEvent[]} events its history after `floor`
   * @param {string} head its newest version
   * @returns {boolean} false: its history has nothing in common with this text; `rebuild` it
   */
  recover(events, head) {
    const known = new Set([head, ...events.flatMap((event) => [event.base_version, event.server_version])]);
    return this.#log.loseAfter(known);
  }

  /** Whether the server wrote on after the last version that both know. @param {string} head its newest version */
  hasDiverged(head) {
    return this.isReplaying && head !== this.#log.head;
  }

  /**
   * Give up that what the server forgot comes back as it was: what is one's own of it is pending again.
   *
   * @param {ReadonlySet<string>} [appliedIds] operations that the server applied otherwise meanwhile
   * @returns {Change[]} of the view
   */
  diverge(appliedIds = new Set()) {
    const lost = this.#log.giveUp();
    const changes = lost.reverse().flatMap((entry) => this.#takeBack(entry, appliedIds));
    this.#version = this.#log.head;
    this.#items.tidy();
    return changes;
  }

  /**
   * Take the server's text as it is, where no history leads to it.
   *
   * @param {{version: string, content: string}} state
   * @param {{keepsLost: boolean}} options whether what one wrote above the last checkpoint is written anew
   * @returns {Change[]} of the view
   */
  rebuild({ version, content }, { keepsLost }) {
    if (keepsLost) this.#log.loseAfter(new Set());
    const changes = keepsLost ? this.diverge() : NONE;
    const incoming = this.#pass(textDifference(this.#confirmed, content));
    this.#confirmed = content;
    this.#version = version;
    this.#compared = null;
    this.#log = new UnsavedLog(version);
    return [...changes, ...incoming];
  }

  /** @param {ChangeSet} set @param {RequestLimits} limits */
  #takeEdits(set, limits) {
    const { spots, rest } = firstRequest(set, this.#confirmed, limits);
    const request = Symbol("edits");
    let shift = 0;
    const sent = spots.map((spot) => {
      const at = { from: spot.from + shift, to: spot.to + shift, insert: spot.insert };
      shift += spot.insert.length - (spot.to - spot.from);
      const op = operationOf(spot, this.#version, this.#makeId());
      return { set: ChangeSet.at(at), request, op };
    });
    this.#items.replaceHead([...sent, { set: rest }]);
    return sent.map(({ op }) => op);
  }

  /** @param {symbol|null} request */
  #takeBatch(request) {
    const batch = this.#items.batch(request);
    batch.forEach((item, index) => {
      const standsOn = index === 0 ? { client_version: this.#version } : {};
      item.op = { ...standsOn, .../** @type {Operation} */ (item.raw) };
    });
    return batch.flatMap(({ op }) => op ?? []);
  }

  /** @param {ServerEvent} ack @returns {Reception} */
  #receiveAck(ack) {
    if (this.isReplaying) return this.#receiveReplay(ack);
    const { server_version: version, base_version: base } = ack;
    if (sequenceOf(version) <= sequenceOf(this.#version)) return this.#receiveKnown(ack);
    const set = ChangeSet.of(ack.changes);
    if (base !== this.#version || set.reach > this.#confirmed.length) return told("gap");
    const index = this.#items.indexOf(ack.op_id);
    const op = this.#items.at(index)?.op ?? null;
    const inverse = set.invert(this.#confirmed);
    this.#log.add({ version, base, opId: ack.op_id, changes: ack.changes, set, inverse, op, sending: null });
    const changes = index < 0 ? this.#pass(set) : this.#passOwn(index, set, version);
    this.#confirmed = set.apply(this.#confirmed);
    this.#version = version;
    this.#items.tidy();
    return { outcome: "applied", changes, isOwn: index >= 0 };
  }

  /** One's own may be in the text already, where that was read anew. @param {ServerEvent} ack @returns {Reception} */
  #receiveKnown(ack) {
    if (this.#log.contradicts(ack.server_version)) return told("gap");
    const index = this.#items.indexOf(ack.op_id);
    if (index < 0) return told("known");
    const changes = this.#end(index, ack.server_version);
    this.#items.tidy();
    return { outcome: "known", changes, isOwn: true };
  }

  /** @param {ServerEvent} ack @returns {Reception} */
  #receiveReplay(ack) {
    if (ack.server_version === this.#log.lost[0].version) {
      const isOwn = this.#log.lost[0].op !== null;
      this.#log.regain();
      return { outcome: "replayed", changes: NONE, isOwn };
    }
    if (sequenceOf(ack.server_version) <= sequenceOf(this.#log.head)) return told("known");
    const changes = this.diverge(new Set([ack.op_id]));
    const reception = this.#receiveAck(ack);
    return { ...reception, changes: [...changes, ...reception.changes] };
  }

  /** Nothing after it in its request was run. @param {ServerEvent} event @returns {Reception} */
  #receiveRefusal(event) {
    const entry = this.#log.lost.find(({ opId, sending }) => opId === event.op_id && sending !== null);
    if (entry !== undefined) {
      this.#log.recall(entry);
      return { outcome: "refused", changes: this.diverge(), isOwn: true };
    }
    const index = this.#items.indexOf(event.op_id);
    if (index < 0) return told("ignored");
    return { outcome: this.#items.refuse(index) ? "dropped" : "refused", changes: NONE, isOwn: true };
  }

  /**
   * Have a change of the confirmed text go through all items to the view.
   *
   * @param {ChangeSet} incoming
   * @returns {Change[]}
   */
  #pass(incoming) {
    return this.#show(this.#items.pass(incoming));
  }

  /**
   * The same for the ack of an item, which ends with it.
   *
   * @param {number} index
   * @param {ChangeSet} set what was really done
   * @param {string} version that it made
   * @returns {Change[]}
   */
  #passOwn(index, set, version) {
    const item = /** @type {import("./items.js").Item} */ (this.#items.at(index));
    if (index > 0 || item.raw !== null) return [...this.#end(index, version), ...this.#pass(set)];
    this.#items.shift();
    if (item.set.equals(set)) return NONE;
    return this.#pass(textDifference(item.set.apply(this.#confirmed), set.apply(this.#confirmed)));
  }

  /** Take out what was applied, and what it did out of the view. @param {number} index @param {string} version */
  #end(index, version) {
    if (this.#items.at(index)?.raw === null) return this.#show(this.#items.exclude(index, this.#confirmed));
    this.#items.endRaw(index, version);
    return NONE;
  }

  /** @param {ChangeSet} set on the view @returns {Change[]} */
  #show(set) {
    this.#view = set.apply(this.#view);
    return set.changes;
  }

  /** @param {Entry} entry the last of the confirmed text @param {ReadonlySet<string>} appliedIds @returns {Change[]} */
  #takeBack({ set, inverse, op, opId, sending }, appliedIds) {
    this.#confirmed = inverse.apply(this.#confirmed);
    if (op === null || appliedIds.has(opId)) return this.#pass(inverse);
    this.#items.unshift({ set, ...sending });
    return NONE;
  }
}

/** @param {Outcome} outcome @returns {Reception} */
function told(outcome) {
  return { outcome, changes: NONE, isOwn: false };
}
