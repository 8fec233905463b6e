/**
 * A replica kept at the server's newest version: follows the stream, reads what was missed, sends what was written.
 *
 * Rule: while text or history is read, events are held, and nothing is sent.
 */

import { BackOff } from "./backoff.js";
import { followHistory, readAnew, readCanvas, readWithDraft } from "./history.js";
import { canvasPath } from "./http.js";
import { requestLimits } from "./operation.js";
import { Outbox } from "./outbox.js";
import { Problem } from "./problem.js";
import { Replica } from "./replica.js";

/** For so long what a crash made the server forget is left to others to bring back. */
const OTHERS_MS = 3_000;
const READING_MS = /** @type {const} */ ([500, 15_000]);
/** Errors that are over when it is tried again. */
const PASSING = ["STORAGE_UNAVAILABLE"];
const GONE = [403, 404];
const OUTCOMES = ["ack", "conflict", "error", "checkpoint"];

/**
 * @typedef {import("./changeset.js").Change} Change
 * @typedef {import("./drafts.js").Draft} Draft
 * @typedef {import("./drafts.js").DraftState} DraftState
 * @typedef {import("./history.js").CanvasState} CanvasState
 * @typedef {import("./http.js").Http} Http
 * @typedef {import("./operation.js").Operation} Operation
 * @typedef {Record<string, any> & {type: string}} ServerEvent as the protocol tells it, section 5
 * @typedef {{code: string, message: string, hint: string}} Trouble why what was written cannot be sent as it is
 * @typedef {"local"|"remote"|"rebase"} Origin `rebase`: the server's truth is another one than was shown
 *
 * @typedef {{make: (now: () => DraftState|null) => Draft, place: (ref: string) => Promise<string>}} Drafts
 *
 * @typedef {object} LiveObserver
 * @property {(state: CanvasState) => void} loaded the text is there
 * @property {(changes: Change[], origin: Origin, event: ServerEvent|null) => void} changed the view; never empty
 * @property {(event: ServerEvent) => void} heard each event but those of the stream itself, once it is its turn
 * @property {(ack: ServerEvent) => void} ended an operation; told of those in the history, too
 * @property {(ops: Operation[], problem: Problem) => void} dropped operations that were to be sent as they are
 * @property {(trouble: Trouble) => void} blocked nothing is sent before `retry`
 * @property {(problem: Problem) => void} gone there is no such canvas, or no right to it
 * @property {(draft: DraftState) => void} unplaced what was kept of an earlier life has no place in the text
 * @property {() => void} moved something may have become another: the state, or how much waits
 */

export class LiveReplica {
  /** @type {Replica|null} before the text is there */ replica = null;
  /** @type {Outbox|null} */ #outbox = null;
  /** @type {ServerEvent[]} that came while something is read */ #held = [];
  /** @type {AbortController|null} of the reading of text or history; null: this is up to date */ #reading = null;
  /** @type {ReturnType<typeof setTimeout>|undefined} */ #patience;
  /** @type {Record<string, number>} */ #limits = {};
  #isOnline = false;
  #isStopped = false;
  #isRecreated = false;
  /** The server's newest version when the stream began. */ #head = "";
  /** @type {string|null} a newest version of the server by which it forgot that of the replica */ #forgetful = null;
  #http;
  #ref;
  #makeId;
  #openDraft;
  #observer;

  /** @type {Draft|null} */ draft;

  /**
   * @param {Http} http
   * @param {string} ref
   * @param {() => string} makeId
   * @param {LiveObserver} observer
   * @param {Drafts|null} drafts
   */
  constructor(http, ref, makeId, observer, drafts) {
    this.#http = http;
    this.#ref = ref;
    this.draft = drafts?.make(() => this.replica?.draft ?? null) ?? null;
    this.#openDraft = async () => (drafts === null ? null : (this.draft?.open(await drafts.place(ref)) ?? null));
    this.#makeId = makeId;
    this.#observer = observer;
  }

  get isOnline() {
    return this.#isOnline;
  }

  /** Whether what was missed is still being read. */
  get isBehind() {
    return this.#reading !== null;
  }

  /** Where a place of the server's text is, as the author sees it. @param {number} offset @returns {number} */
  shown(offset) {
    if (this.replica === null) return offset;
    return this.replica.written.mapPoint(within(offset, this.replica.confirmed), -1);
  }

  /** Where a place that the author sees is in the server's text. @param {number} offset @returns {number} */
  confirmed(offset) {
    if (this.replica === null) return offset;
    const { written, confirmed, text } = this.replica;
    return written.invert(confirmed).mapPoint(within(offset, text), -1);
  }

  /** @param {readonly Change[]} changes */
  edit(changes) {
    if (this.replica === null) throw new Error("the text is not there yet");
    this.#tell(this.replica.edit(changes), "local", null);
    this.#outbox?.renew();
  }

  /** @param {Operation[]} ops */
  enqueue(ops) {
    this.replica?.enqueue(ops);
    this.#outbox?.renew();
  }

  /** What was to be sent as it is goes no more. @param {Problem} problem */
  withdraw(problem) {
    const dropped = this.replica?.withdraw() ?? [];
    if (dropped.length > 0) this.#observer.dropped(dropped, problem);
  }

  /** Try again what was refused. */
  retry() {
    this.#outbox?.retry();
  }

  /** The connection is gone; it comes back with a `start`. */
  pause() {
    this.#isOnline = false;
    this.#outbox?.close();
  }

  /** Follow no more; what was read meanwhile is left. */
  stop() {
    this.pause();
    this.#isStopped = true;
    this.#outbox?.forgetDoubts();
    this.#reading?.abort();
    this.#reading = null;
    this.#held = [];
    clearTimeout(this.#patience);
    this.#patience = undefined;
  }

  /** Take an event of the stream, in its order. @param {ServerEvent} event */
  receive(event) {
    if (event.type === "start") this.#start(event);
    else if (event.type === "reset") this.#reset(event);
    else if (this.#reading !== null || this.replica === null) this.#held.push(event);
    else this.#take(event);
  }

  /** @param {ServerEvent} start */
  #start(start) {
    this.#isOnline = true;
    this.#isStopped = false;
    this.#limits = start.limits ?? {};
    if (this.#outbox !== null) this.#outbox.limits = requestLimits(this.#limits);
    this.#head = start.server_version;
    const checkpoint = { type: "checkpoint", canvas: this.#ref, server_version: start.checkpoint_version };
    if (this.replica === null || !start.resumed || this.#reading !== null) {
      this.#held.push(checkpoint);
      if (this.replica?.isForgottenBy(this.#head)) this.#forgetful = this.#head;
      this.#read();
    } else {
      this.#take(checkpoint);
      this.#goOn();
    }
  }

  /** It comes after the start, when it is read already. @param {ServerEvent} reset */
  #reset({ reason }) {
    if (reason === "recreated") this.#isRecreated = true;
    else if (reason === "history" && this.#forgetful === null) this.#forgetful = this.#head;
    else return;
    if (this.replica !== null) this.#read();
  }

  /** @param {ServerEvent} event of a replica that is up to date */
  #take(event) {
    if (event.type === "heartbeat") this.#compare(event);
    else if (OUTCOMES.includes(event.type) && !this.#outbox?.doubts(event)) this.#takeOutcome(event);
    this.#observer.heard(event);
  }

  /** @param {ServerEvent} event */
  #takeOutcome(event) {
    const { outcome } = this.#receive(event);
    if (outcome === "gap" || event.reason === "unknown_version") this.#read();
    if (outcome === "refused") this.#takeRefusal(event);
    this.#waitForOthers(outcome === "replayed");
    this.#outbox?.wake();
    this.#observer.moved();
  }

  /** @param {ServerEvent} event */
  #receive(event) {
    const reception = /** @type {Replica} */ (this.replica).receive(event);
    if (reception.isOwn && event.type === "ack") this.#outbox?.succeeded();
    this.#tell(reception.changes, reception.isOwn ? "rebase" : "remote", event);
    if (event.op_id !== undefined && reception.outcome !== "gap") this.#observer.ended(event);
    return reception;
  }

  /** @param {ServerEvent} event of an edit, which is pending again */
  #takeRefusal(event) {
    if (event.type === "conflict" || PASSING.includes(event.code)) return this.#outbox?.conflicted();
    this.#outbox?.block();
    this.#observer.blocked({ code: event.code, message: event.message, hint: event.hint });
  }

  /** @param {ServerEvent} heartbeat */
  #compare(heartbeat) {
    const found = this.replica?.compare(heartbeat);
    if (found === "gap" && this.replica?.isForgottenBy(heartbeat.server_version))
      this.#forgetful = heartbeat.server_version;
    if (found !== "same") this.#read({ isAnew: found === "drift" });
  }

  /** Read the text, or what came since; again and again until it is done. @param {{isAnew?: boolean}} [options] */
  async #read({ isAnew = false } = {}) {
    this.#reading?.abort();
    const reading = new AbortController();
    this.#reading = reading;
    this.#outbox?.close();
    this.#observer.moved();
    const backOff = new BackOff(...READING_MS);
    while (!reading.signal.aborted) {
      try {
        await this.#readOnce(reading.signal, isAnew);
        if (!reading.signal.aborted) this.#caughtUp();
        return;
      } catch (error) {
        if (reading.signal.aborted) return;
        if (!(error instanceof Problem)) throw error;
        if (GONE.includes(error.status)) return this.#observer.gone(error);
        await passed(backOff.next(error.retryAfterMs), reading.signal);
      }
    }
  }

  /** @param {AbortSignal} signal @param {boolean} isAnew */
  async #readOnce(signal, isAnew) {
    if (this.replica === null) return this.#load(signal);
    const follower = {
      ack: (/** @type {any} */ ack) => void this.#receive(ack),
      changed: (/** @type {Change[]} */ changes) => this.#tell(changes, "rebase", null),
      rebuilt: () => this.#outbox?.forgetDoubts(),
    };
    if (isAnew || this.#isRecreated) {
      await readAnew(this.#http, this.#ref, this.replica, follower, signal, { keepsLost: false });
    } else {
      await followHistory(this.#http, this.#ref, this.replica, follower, signal, this.#forgetful);
    }
    if (signal.aborted) return;
    this.#isRecreated = false;
    this.#forgetful = null;
  }

  /** @param {AbortSignal} signal */
  async #load(signal) {
    const draft = await this.#openDraft();
    if (signal.aborted) return;
    const found = draft === null ? null : await readWithDraft(this.#http, this.#ref, draft, this.#makeId, signal);
    const state = found?.state ?? (await readCanvas(this.#http, this.#ref, signal));
    if (signal.aborted) return;
    const post = (/** @type {Operation[]} */ ops) => {
      this.draft?.sending();
      return this.#http.request("POST", canvasPath(this.#ref, "/ops:stream?unit=utf16"), { ops });
    };
    this.replica = found?.replica ?? new Replica(state, this.#makeId);
    this.#outbox = new Outbox(this.replica, post, {
      ...this.#observer,
      // What is read now may have been asked for before.
      doubted: () => this.#isStopped || void this.#read(),
    });
    this.#outbox.limits = requestLimits(this.#limits);
    this.#observer.loaded(state);
    if (draft !== null && found === null) this.#observer.unplaced(draft);
  }

  /** What was held while reading is known by now, or stands on it. */
  #caughtUp() {
    this.#reading = null;
    const applied = this.#held.flatMap((event) => (event.type === "ack" ? event.op_id : []));
    // What the server says to the same under another name is the last word.
    for (const event of this.#outbox?.decide(new Set(applied)) ?? [])
      if (this.#receive(event).outcome === "refused") this.#outbox?.conflicted();
    while (this.#held.length > 0 && this.#reading === null) this.#take(/** @type {ServerEvent} */ (this.#held.shift()));
    if (this.#reading === null) this.#goOn();
  }

  #goOn() {
    this.#waitForOthers(false);
    if (this.#isOnline) this.#outbox?.open();
    this.#observer.moved();
  }

  /** @param {boolean} hasProgress */
  #waitForOthers(hasProgress) {
    const waits = this.replica?.waitsForOthers ?? false;
    if (hasProgress || !waits) {
      clearTimeout(this.#patience);
      this.#patience = undefined;
    }
    if (waits) this.#patience ??= setTimeout(() => this.#giveUpOthers(), OTHERS_MS);
  }

  #giveUpOthers() {
    this.#patience = undefined;
    if (!this.replica?.waitsForOthers || this.#reading !== null) return;
    this.#tell(this.replica.diverge(), "rebase", null);
    this.#read();
  }

  /** @param {Change[]} changes @param {Origin} origin @param {ServerEvent|null} event */
  #tell(changes, origin, event) {
    if (changes.length > 0) this.#observer.changed(changes, origin, event);
  }
}

/** @param {number} offset @param {string} text @returns {number} the nearest place in it */
function within(offset, text) {
  return Math.min(Math.max(offset, 0), text.length);
}

/** @param {number} ms @param {AbortSignal} signal @returns {Promise<void>} when the time is over, or it is given up */
function passed(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
