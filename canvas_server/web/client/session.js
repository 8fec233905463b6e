/**
 * One canvas as a program uses it: what is written here shows at once and is sent, what others write is followed, and
 * what fails is tried again until it is done.
 */

import { ChangeSet } from "./changeset.js";
import { Emitter } from "./emitter.js";
import { LiveReplica } from "./live.js";
import { Outcomes } from "./outcomes.js";
import { PresenceSender, presenceAt } from "./presence.js";
import { Problem } from "./problem.js";

/**
 * @typedef {import("./changeset.js").Change} Change
 * @typedef {import("./connection.js").ConnectionState} ConnectionState
 * @typedef {import("./http.js").Http} Http
 * @typedef {import("./live.js").Origin} Origin
 * @typedef {import("./live.js").ServerEvent} ServerEvent
 * @typedef {import("./live.js").Trouble} Trouble
 * @typedef {import("./presence.js").Presence} Presence
 *
 * @typedef {"loading"|"live"|"offline"|"catching-up"|"ended"} SessionState
 * @typedef {{changes: Change[], origin: Origin, event: ServerEvent|null}} ViewChange `changes` come one after the other,
 *   each in the coordinates that the one before left
 *
 * @typedef {object} SessionEvents
 * @property {ViewChange} change
 * @property {SessionState} state
 * @property {ServerEvent} event every one of the server
 * @property {ServerEvent} conflict
 * @property {ServerEvent} error
 * @property {ServerEvent} presence offsets are those of `text`
 * @property {ServerEvent} checkpoint
 * @property {ServerEvent} saved
 * @property {string} title
 * @property {Trouble|null} problem
 * @property {ServerEvent|Problem} ended the canvas was closed or deleted, or may not be read any more
 * @property {Problem} unauthorized
 * @property {{text: string, version: string}} draft what an earlier life of the page wrote on a version that is no more
 */

const CLOSED = "the session was closed";

export class CanvasSession {
  /** @type {Emitter<SessionEvents>} */ #emitter = new Emitter();
  /** @type {ServerEvent|Problem|null} */ #end = null;
  /** @type {SessionState} as it was told last */ #state = "loading";
  /** @type {Trouble|null} */ #problem = null;
  /** @type {Set<() => void>} who waits until something holds */ #watchers = new Set();
  /** by its users, for good */ #isClosed = false;
  #title = "";
  #outcomes = new Outcomes();
  #http;
  #live;
  #presence;
  #makeId;
  #begin;
  #release;
  /** @type {() => void} */ #stop = () => {};
  /** @type {() => void} */ #loaded = () => {};
  /** @type {(error: unknown) => void} */ #failed = () => {};

  /** @readonly The name of the canvas. */ ref;
  /** @readonly @type {Promise<this>} when the text is there; fails if there is no such canvas, or no right to it */ ready;

  /**
   * Use `CanvasClient.open`.
   *
   * @param {string} ref
   * @param {{http: Http, makeId: () => string, begin: (session: CanvasSession) => () => void,
   *   release: (session: CanvasSession) => boolean, drafts?: import("./live.js").Drafts|null}} surroundings
   *   `begin` subscribes to the stream, and what it returns ends that; `release` tells whether nobody else uses the
   *   session
   */
  constructor(ref, { http, makeId, begin, release, drafts = null }) {
    this.ref = ref;
    this.#makeId = makeId;
    this.#begin = begin;
    this.#release = release;
    this.#http = http;
    this.#presence = new PresenceSender(http, ref, (offset) => this.#live.confirmed(offset));
    this.#live = new LiveReplica(http, ref, makeId, this.#observer(), drafts);
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
    return this.#live.replica?.text ?? "";
  }

  /** The server's version that `text` stands on. */
  get version() {
    return this.#live.replica?.version ?? "";
  }

  /** @returns {SessionState} */
  get state() {
    if (this.#end !== null) return "ended";
    if (this.#live.replica === null) return "loading";
    if (!this.#live.isOnline) return "offline";
    return this.#live.isBehind ? "catching-up" : "live";
  }

  get isConnected() {
    return this.#end === null && this.#live.isOnline;
  }

  /** Whether all that was written here is on the server's disk. */
  get isSaved() {
    return this.#live.replica?.isSaved ?? true;
  }

  /** How many operations have not ended. */
  get pendingCount() {
    return this.#live.replica?.pendingCount ?? 0;
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
    this.#live.edit(changes);
    this.#live.draft?.changed();
    this.#renew();
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

  /**
   * The same for several, that come one after the other with no other author's between.
   *
   * @param {readonly Record<string, any>[]} ops
   * @returns {Promise<ServerEvent[]>}
   */
  async sendBatch(ops) {
    await this.ready;
    if (this.#isClosed) throw new Error(CLOSED);
    const named = ops.map((op) => ({ op_id: this.#makeId(), ...op }));
    const ends = named.map(({ op_id: opId }) => this.#outcomes.waitNext(opId));
    this.#live.enqueue(named);
    this.#renew();
    return /** @type {Promise<ServerEvent[]>} */ (Promise.all(ends));
  }

  /** @param {string} opId @returns {Promise<ServerEvent>} the end of an operation, of whomever */
  wait(opId) {
    return /** @type {Promise<ServerEvent>} */ (this.#outcomes.wait(opId));
  }

  /** @returns {Promise<void>} when all that was written here has been applied */
  async settled() {
    await this.ready;
    await this.#until(() => this.pendingCount === 0 && !this.#live.replica?.isReplaying);
  }

  /** @returns {Promise<void>} when all that was written here is on the server's disk */
  async saved() {
    await this.ready;
    await this.#until(() => this.isSaved);
  }

  /** Write down what waits, for the next life of this page. @returns {boolean} whether all of it is kept */
  keepDraft() {
    return this.#live.draft?.keep() ?? this.pendingCount === 0;
  }

  /** Tell the others where one is in `text`, until something else is told. @param {Presence|null} presence null: nowhere */
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

  /** Try again what was refused, and a canvas that has ended. A session that was closed stays so. */
  retry() {
    this.#renew();
    if (!this.#isClosed) this.#live.retry();
  }

  /** Follow no more. What was not sent yet is not sent: wait for `settled` before, where it matters. */
  close() {
    if (this.#isClosed || !this.#release(this)) return;
    this.#isClosed = true;
    this.#live.draft?.close();
    this.#presence.close();
    this.#finish({ type: "closed", canvas: this.ref, reason: "session" });
    this.#stop();
    const closed = new Error(CLOSED);
    this.#failed(closed);
    this.#outcomes.failAll(closed);
    for (const watch of [...this.#watchers]) watch();
  }

  /** Take an event of the stream, in its order. @param {ServerEvent} event */
  receive(event) {
    this.#emitter.emit("event", event);
    if (this.#end === null) this.#live.receive(event);
  }

  /** Take the state of the connection. @param {ConnectionState} state */
  connection(state) {
    if (state === "open") return;
    this.#live.pause();
    this.#presence.pause();
    this.#tellState();
  }

  /** There is no such canvas, or no right to it. @param {Problem} problem */
  gone(problem) {
    this.#failed(problem);
    this.#live.withdraw(problem);
    this.#finish(problem);
  }

  /** There are no credentials that are good. @param {Problem} problem */
  unauthorized(problem) {
    this.#emitter.emit("unauthorized", problem);
    if (this.#live.replica === null && !this.#http.canRenew) this.gone(problem);
  }

  /** @returns {import("./live.js").LiveObserver} */
  #observer() {
    return {
      loaded: ({ title }) => {
        this.#title = title;
        this.#loaded();
      },
      changed: (changes, origin, event) => {
        const set = ChangeSet.of(changes);
        this.#presence.shift((offset) => set.mapPoint(offset, origin === "local" ? 1 : -1));
        this.#emitter.emit("change", { changes, origin, event });
      },
      heard: (event) => this.#hear(event),
      ended: (event) => this.#outcomes.note(event),
      dropped: (ops, problem) =>
        this.#outcomes.fail(
          ops.map((op) => op.op_id),
          problem,
        ),
      blocked: ({ code, message, hint }) => this.#tellProblem({ code, message, hint }),
      gone: (problem) => this.gone(problem),
      unplaced: ({ version, edits }) => {
        const text = edits.flatMap(({ spots }) => spots.map(({ insert }) => insert)).join("\n");
        setTimeout(() => this.#emitter.emit("draft", { text, version }));
      },
      moved: () => this.#move(),
    };
  }

  /** @param {ServerEvent} event */
  #hear(event) {
    switch (event.type) {
      case "conflict":
      case "error":
      case "checkpoint":
      case "saved":
        return this.#emitter.emit(event.type, event);
      case "presence":
        return this.#emitter.emit(
          "presence",
          presenceAt(event, (offset) => this.#live.shown(offset)),
        );
      case "title":
        this.#title = event.title;
        return this.#emitter.emit("title", event.title);
      case "deleted":
        this.#live.withdraw(new Problem({ status: 404, code: "NOT_FOUND", message: "the canvas was deleted" }));
        return this.#finish(event);
      case "closed":
        this.#finish(event);
        if (this.pendingCount > 0) this.#reopen();
    }
  }

  #move() {
    this.#live.draft?.changed();
    if (this.state === "live") this.#presence.resume();
    this.#tellState();
    for (const watch of [...this.#watchers]) watch();
  }

  #renew() {
    this.#tellProblem(null);
    if (this.#end !== null && !this.#isClosed) this.#reopen();
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
    this.#live.stop();
    this.#presence.pause();
    this.#stop();
    this.#emitter.emit("ended", end);
    this.#tellState();
  }

  #tellState() {
    const { state } = this;
    if (state === this.#state) return;
    this.#state = state;
    this.#emitter.emit("state", state);
  }

  /** @param {Trouble|null} problem */
  #tellProblem(problem) {
    if (problem === null && this.#problem === null) return;
    this.#problem = problem;
    this.#emitter.emit("problem", problem);
  }

  /** @param {() => boolean} holds @returns {Promise<void>} */
  #until(holds) {
    if (holds()) return Promise.resolve();
    if (this.#isClosed) return Promise.reject(new Error(CLOSED));
    return new Promise((resolve, reject) => {
      const watch = () => {
        const isThere = holds();
        if (!isThere && !this.#isClosed) return;
        this.#watchers.delete(watch);
        if (isThere) resolve();
        else reject(new Error(CLOSED));
      };
      this.#watchers.add(watch);
    });
  }
}
