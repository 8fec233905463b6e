/**
 * One canvas, live: what is written here shows at once and is sent, what others write is followed, and what fails is
 * tried again until it is done.
 *
 * Rule: while the history is read, events are held, and nothing is sent.
 */

import { BackOff } from "./backoff.js";
import { Emitter } from "./emitter.js";
import { followHistory, readAnew, readCanvas } from "./history.js";
import { canvasPath } from "./http.js";
import { requestLimits } from "./operation.js";
import { Outbox } from "./outbox.js";
import { Outcomes } from "./outcomes.js";
import { PresenceSender } from "./presence.js";
import { Problem } from "./problem.js";
import { Replica } from "./replica.js";

/** For so long what a crash made the server forget is left to others to bring back. */
const OTHERS_MS = 3_000;
const READING_MS = /** @type {const} */ ([500, 15_000]);
/** Errors that are over when it is tried again. */
const PASSING = ["STORAGE_UNAVAILABLE"];

/**
 * @typedef {import("./changeset.js").Change} Change
 * @typedef {import("./connection.js").ConnectionState} ConnectionState
 * @typedef {import("./http.js").Http} Http
 * @typedef {import("./operation.js").Operation} Operation
 * @typedef {import("./presence.js").Presence} Presence
 * @typedef {import("./replica.js").Reception} Reception
 * @typedef {Record<string, any> & {type: string}} ServerEvent as the protocol tells it, section 5
 *
 * @typedef {"loading"|"live"|"offline"|"catching-up"|"ended"} SessionState
 * @typedef {{code: string, message: string, hint: string}} Trouble why what was written cannot be sent as it is
 * @typedef {{changes: Change[], origin: "local"|"remote"|"rebase", event: ServerEvent|null}} ViewChange `changes` come
 *   one after the other, in coordinates of `text`; `rebase`: the server's truth is another one than was shown
 *
 * @typedef {object} SessionEvents
 * @property {ViewChange} change
 * @property {SessionState} state
 * @property {ServerEvent} event every one of the server
 * @property {ServerEvent} conflict
 * @property {ServerEvent} error
 * @property {ServerEvent} presence
 * @property {ServerEvent} checkpoint
 * @property {ServerEvent} saved
 * @property {string} title
 * @property {Trouble|null} problem
 * @property {ServerEvent|Problem} ended the canvas was closed or deleted, or may not be read any more
 * @property {Problem} unauthorized
 */

export class CanvasSession {
  /** @type {Replica|null} */ #replica = null;
  /** @type {Outbox|null} */ #outbox = null;
  /** @type {ServerEvent[]} that came while the history is read */ #held = [];
  /** @type {AbortController|null} of the reading of text or history; null: this is up to date */ #reading = null;
  /** @type {ReturnType<typeof setTimeout>|undefined} */ #patience;
  /** @type {ServerEvent|Problem|null} */ #end = null;
  /** @type {SessionState} as it was told last */ #state = "loading";
  /** @type {Trouble|null} */ #problem = null;
  #isOnline = false;
  #isRecreated = false;
  #title = "";
  /** @type {Record<string, number>} */ #limits = {};
  /** @type {Emitter<SessionEvents>} */ #emitter = new Emitter();
  #outcomes = new Outcomes();
  #presence;
  #http;
  #makeId;
  #begin;
  /** @type {() => void} */ #stop = () => {};
  /** @type {() => void} */ #loaded = () => {};
  /** @type {(error: unknown) => void} */ #failed = () => {};

  /** @readonly The name of the canvas. */ ref;
  /** @readonly @type {Promise<this>} when the text is there; fails if there is no such canvas, or no right to it */ ready;

  /**
   * Use `CanvasClient.open`.
   *
   * @param {string} ref
   * @param {{http: Http, makeId: () => string, begin: (session: CanvasSession) => () => void}} surroundings `begin`
   *   subscribes to the stream; what it returns ends that
   */
  constructor(ref, { http, makeId, begin }) {
    this.ref = ref;
    this.#http = http;
    this.#makeId = makeId;
    this.#begin = begin;
    this.#presence = new PresenceSender(http, ref);
    this.ready = new Promise((resolve, reject) => {
      this.#loaded = () => resolve(this);
      this.#failed = reject;
    });
    this.ready.catch(() => {});
    this.#stop = begin(this);
  }

  get title() {
    return this.#title;
  }

  /** As the author sees it: with all that was written here. */
  get text() {
    return this.#replica?.text ?? "";
  }

  /** The server's version that `text` stands on. */
  get version() {
    return this.#replica?.version ?? "";
  }

  /** @returns {SessionState} */
  get state() {
    if (this.#end !== null) return "ended";
    if (this.#replica === null) return "loading";
    if (!this.#isOnline) return "offline";
    return this.#reading === null ? "live" : "catching-up";
  }

  get isConnected() {
    return this.#isOnline;
  }

  /** Whether all that was written here is on the server's disk. */
  get isSaved() {
    return this.#replica?.isSaved ?? true;
  }

  /** How many operations have not ended. */
  get pendingCount() {
    return this.#replica?.pendingCount ?? 0;
  }

  /** Why what was written is not sent; `retry` tries again. */
  get problem() {
    return this.#problem;
  }

  /**
   * Write, at once; it is sent by itself.
   *
   * @param {readonly Change[]} changes one after the other, each in the coordinates that the one before left
   * @throws {RangeError} one lies outside the text; then nothing is written
   */
  edit(changes) {
    if (this.#replica === null) throw new Error("the text is not there yet");
    const done = this.#replica.edit(changes);
    this.#tellChange(done, "local", null);
    this.retry();
  }

  /**
   * Have an operation of the protocol sent, after all that was written before; it is not applied here before its ack.
   *
   * @param {Record<string, any>} op `op_id` and `client_version` may be left out
   * @returns {Promise<ServerEvent>} its `ack`, `conflict` or `error`
   * @throws {Problem} it was refused
   */
  async sendOp(op) {
    const [event] = await this.sendBatch([op]);
    return event;
  }

  /** The same for several, that come one after the other with no other author's between. @param {readonly Record<string, any>[]} ops @returns {Promise<ServerEvent[]>} */
  async sendBatch(ops) {
    await this.ready;
    const named = ops.map((op) => ({ op_id: this.#makeId(), ...op }));
    const ends = named.map(({ op_id: opId }) => this.#outcomes.waitNext(opId));
    this.#replica?.enqueue(named);
    this.retry();
    return /** @type {Promise<ServerEvent[]>} */ (Promise.all(ends));
  }

  /** @param {string} opId @returns {Promise<ServerEvent>} the end of an operation, of whomever */
  wait(opId) {
    return /** @type {Promise<ServerEvent>} */ (this.#outcomes.wait(opId));
  }

  /** @returns {Promise<void>} when all that was written here has been applied */
  async settled() {
    await this.ready;
    await this.#until(() => this.pendingCount === 0 && !this.#replica?.isReplaying);
  }

  /** @returns {Promise<void>} when all that was written here is on the server's disk */
  async saved() {
    await this.ready;
    await this.#until(() => this.isSaved);
  }

  /** Tell the others where one is, until something else is told. @param {Presence|null} presence null: nowhere */
  setPresence(presence) {
    this.#presence.set(presence);
  }

  /**
   * @template {keyof SessionEvents} T
   * @param {T} type
   * @param {(told: SessionEvents[T]) => void} listener
   * @returns {() => void} listens no more
   */
  on(type, listener) {
    return this.#emitter.on(type, listener);
  }

  /** Try again what was refused, and a canvas that has ended. */
  retry() {
    this.#tellProblem(null);
    if (this.#end !== null) this.#reopen();
    this.#outbox?.retry();
  }

  /** Follow no more. What was not sent yet is not sent: wait for `settled` before, where it matters. */
  close() {
    this.#stop();
    this.#presence.close();
    this.#reading?.abort();
    this.#outbox?.close();
    clearTimeout(this.#patience);
    this.#outcomes.failAll(new Error("the session was closed"));
    this.#finish({ type: "closed", canvas: this.ref, reason: "session" });
  }

  /** Take an event of the stream, in its order. @param {ServerEvent} event */
  receive(event) {
    this.#emitter.emit("event", event);
    if (event.type === "start") this.#start(event);
    else if (event.type === "reset") this.#isRecreated ||= event.reason === "recreated";
    else if (this.#reading !== null || this.#replica === null) this.#held.push(event);
    else this.#take(event);
  }

  /** Take the state of the connection. @param {ConnectionState} state */
  connection(state) {
    if (state !== "open") {
      this.#isOnline = false;
      this.#outbox?.close();
      this.#presence.pause();
    }
    this.#tellState();
  }

  /** There is no such canvas, or no right to it. @param {Problem} problem */
  gone(problem) {
    this.#failed(problem);
    this.#finish(problem);
  }

  /** There are no credentials that are good. @param {Problem} problem */
  unauthorized(problem) {
    this.#emitter.emit("unauthorized", problem);
  }

  /** @param {ServerEvent} start */
  #start(start) {
    this.#limits = start.limits ?? {};
    this.#isOnline = true;
    if (this.#outbox !== null) this.#outbox.limits = requestLimits(this.#limits);
    const checkpoint = { type: "checkpoint", canvas: this.ref, server_version: start.checkpoint_version };
    if (this.#replica === null || !start.resumed || this.#reading !== null) {
      this.#held.push(checkpoint);
      this.#read();
    } else {
      this.#take(checkpoint);
      this.#goLive();
    }
  }

  /** @param {ServerEvent} event of a replica that is up to date */
  #take(event) {
    switch (event.type) {
      case "ack":
      case "conflict":
      case "error":
      case "checkpoint":
        return this.#takeOutcome(event);
      case "heartbeat":
        return this.#compare(event);
      case "title":
        return this.#tellTitle(event.title);
      case "saved":
        return this.#emitter.emit("saved", event);
      case "presence":
        return this.#emitter.emit("presence", event);
      case "deleted":
      case "closed":
        return this.#finish(event);
    }
  }

  /** @param {ServerEvent} event */
  #takeOutcome(event) {
    const reception = this.#receive(event);
    if (event.type === "checkpoint") this.#emitter.emit("checkpoint", event);
    if (event.type === "conflict" || event.type === "error") this.#emitter.emit(event.type, event);
    if (reception.outcome === "gap" || event.reason === "unknown_version") this.#read();
    if (reception.outcome === "refused") this.#takeRefusal(event);
    this.#waitForOthers(reception.outcome === "replayed");
    this.#outbox?.wake();
    this.#tellProgress();
  }

  /** @param {ServerEvent} event @returns {Reception} */
  #receive(event) {
    const replica = /** @type {Replica} */ (this.#replica);
    const reception = replica.receive(event);
    if (reception.isOwn && event.type === "ack") this.#outbox?.succeeded();
    this.#tellChange(reception.changes, reception.isOwn ? "rebase" : "remote", event);
    if (event.op_id !== undefined && reception.outcome !== "gap") this.#outcomes.note(event);
    return reception;
  }

  /** @param {ServerEvent} event of an edit, which is pending again */
  #takeRefusal(event) {
    if (event.type === "conflict" || PASSING.includes(event.code)) return this.#outbox?.conflicted();
    this.#outbox?.block();
    this.#tellProblem({ code: event.code, message: event.message, hint: event.hint });
  }

  /** @param {ServerEvent} heartbeat */
  #compare(heartbeat) {
    const found = this.#replica?.compare(heartbeat);
    if (found !== "same") this.#read({ isAnew: found === "drift" });
  }

  /** Read the text, or what came since; again and again until it is done. @param {{isAnew?: boolean}} [options] */
  async #read({ isAnew = false } = {}) {
    this.#reading?.abort();
    const reading = new AbortController();
    this.#reading = reading;
    this.#outbox?.close();
    this.#tellState();
    const backOff = new BackOff(...READING_MS);
    while (!reading.signal.aborted) {
      try {
        await this.#readOnce(reading.signal, isAnew);
        if (!reading.signal.aborted) this.#caughtUp();
        return;
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        if (!reading.signal.aborted && [403, 404].includes(error.status)) return this.gone(error);
        await passed(backOff.next(error.retryAfterMs), reading.signal);
      }
    }
  }

  /** @param {AbortSignal} signal @param {boolean} isAnew */
  async #readOnce(signal, isAnew) {
    if (this.#replica === null) return this.#load(signal);
    /** @type {import("./history.js").Follower} */
    const follower = {
      ack: (ack) => void this.#receive(/** @type {ServerEvent} */ (ack)),
      changed: (changes) => this.#tellChange(changes, "rebase", null),
    };
    if (isAnew || this.#isRecreated) {
      await readAnew(this.#http, this.ref, this.#replica, follower, signal, { keepsLost: false });
    } else {
      await followHistory(this.#http, this.ref, this.#replica, follower, signal);
    }
    if (!signal.aborted) this.#isRecreated = false;
  }

  /** @param {AbortSignal} signal */
  async #load(signal) {
    const state = await readCanvas(this.#http, this.ref, signal);
    if (signal.aborted) return;
    this.#replica = new Replica(state, this.#makeId);
    this.#title = state.title;
    this.#outbox = new Outbox(this.#replica, (ops) => this.#post(ops), {
      blocked: ({ code, message, hint }) => this.#tellProblem({ code, message, hint }),
      dropped: (ops, problem) => this.#outcomes.fail(ops.map((op) => op.op_id), problem),
    });
    this.#outbox.limits = requestLimits(this.#limits);
    this.#loaded();
  }

  /** What was held while reading is known by now, or stands on it. */
  #caughtUp() {
    this.#reading = null;
    while (this.#held.length > 0 && this.#reading === null) this.#take(/** @type {ServerEvent} */ (this.#held.shift()));
    if (this.#reading === null) this.#goLive();
  }

  #goLive() {
    this.#waitForOthers(false);
    if (this.#isOnline && this.#end === null) {
      this.#outbox?.open();
      this.#presence.resume();
    }
    this.#tellState();
    this.#tellProgress();
  }

  /** @param {boolean} hasProgress */
  #waitForOthers(hasProgress) {
    if (hasProgress || !this.#replica?.waitsForOthers) {
      clearTimeout(this.#patience);
      this.#patience = undefined;
    }
    if (!this.#replica?.waitsForOthers) return;
    this.#patience ??= setTimeout(() => this.#giveUpOthers(), OTHERS_MS);
  }

  #giveUpOthers() {
    this.#patience = undefined;
    if (!this.#replica?.waitsForOthers || this.#reading !== null) return;
    this.#tellChange(this.#replica.diverge(), "rebase", null);
    this.#read();
  }

  /** @param {Operation[]} ops */
  #post(ops) {
    return this.#http.request("POST", canvasPath(this.ref, "/ops:stream?unit=utf16"), { ops });
  }

  #reopen() {
    this.#end = null;
    this.#stop = this.#begin(this);
    this.#tellState();
  }

  /** @param {ServerEvent|Problem} end */
  #finish(end) {
    if (this.#end !== null) return;
    this.#end = end;
    this.#isOnline = false;
    this.#reading?.abort();
    this.#reading = null;
    this.#outbox?.close();
    this.#presence.pause();
    this.#stop();
    this.#emitter.emit("ended", end);
    this.#tellState();
  }

  /** @param {Change[]} changes @param {ViewChange["origin"]} origin @param {ServerEvent|null} event */
  #tellChange(changes, origin, event) {
    if (changes.length > 0) this.#emitter.emit("change", { changes, origin, event });
  }

  #tellState() {
    const { state } = this;
    if (state === this.#state) return;
    this.#state = state;
    this.#emitter.emit("state", state);
  }

  /** @param {string} title */
  #tellTitle(title) {
    this.#title = title;
    this.#emitter.emit("title", title);
  }

  /** @param {Trouble|null} problem */
  #tellProblem(problem) {
    if (problem === null && this.#problem === null) return;
    this.#problem = problem;
    this.#emitter.emit("problem", problem);
  }

  /** @type {Set<() => void>} */ #watchers = new Set();

  #tellProgress() {
    for (const watch of [...this.#watchers]) watch();
  }

  /** @param {() => boolean} holds @returns {Promise<void>} */
  #until(holds) {
    if (holds()) return Promise.resolve();
    return new Promise((resolve) => {
      const watch = () => {
        if (!holds()) return;
        this.#watchers.delete(watch);
        resolve();
      };
      this.#watchers.add(watch);
    });
  }
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
