/**
 * The job that is shown: followed by its stream, stopped when its reader says so. Another takes its place, or none.
 */

import { Problem } from "./api.js";
import { abandoned, isOver, notStopping, received, startingJob, stopped, stopping, toldJob } from "./job.js";
import { cancelJob } from "./jobs.js";
import { JobStream } from "./jobstream.js";

/** The server stops a job within this time, or gives it up. */
const CANCEL_MS_MAX = 10000;

/**
 * @typedef {import("./job.js").JobView} JobView
 * @typedef {import("./jobs.js").ToldJob} ToldJob
 * @typedef {object} JobObserver
 * @property {(job: JobView|null) => void} changed
 * @property {(isOpen: boolean) => void} connection whether its events come in
 * @property {(quota: Partial<import("./jobs.js").Quota>) => void} quota told while it runs
 * @property {(problem: Problem) => void} failed it cannot be read, or could not be asked to stop
 */

export class CurrentJob {
  /** @type {JobView|null} */ #job = null;
  /** @type {JobStream|null} */ #stream = null;
  #turn = 0;
  #observer;

  /** @param {JobObserver} observer */
  constructor(observer) {
    this.#observer = observer;
  }

  /** Another number for each job that is shown: an answer that was asked for in an earlier turn is void. */
  get turn() {
    return this.#turn;
  }

  get isBusy() {
    return this.#job !== null && !isOver(this.#job);
  }

  /** Whether the server knows it, and has not been asked to stop it yet. */
  get canStop() {
    return this.isBusy && this.#job?.id !== null && !this.#job?.isStopping;
  }

  /** Show one that is being asked for. @param {boolean} isWriting its text goes into a canvas */
  begin(isWriting) {
    this.#become(startingJob(isWriting));
  }

  /** Show one from its beginning. @param {ToldJob} told */
  follow(told) {
    this.#become(toldJob(told));
    this.#stream = new JobStream(told.stream_url, {
      event: (event) => this.#receive(event),
      connection: (isOpen) => this.#observer.connection(isOpen),
      gone: (problem) => this.#lost(problem),
    });
    this.#stream.open();
  }

  /** Show none. The job itself goes on. */
  clear() {
    this.#become(null);
  }

  async stop() {
    if (this.#job === null || !this.canStop) return;
    const turn = this.#turn;
    this.#update(stopping(this.#job));
    const timer = setTimeout(() => this.#abandon(turn), CANCEL_MS_MAX);
    try {
      const answer = await cancelJob(this.#job.cancelUrl);
      this.#updateIn(turn, (job) => stopped(job, answer));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#updateIn(turn, notStopping);
      if (turn === this.#turn && this.isBusy) this.#observer.failed(error);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Its reader waits no longer; the server goes on stopping it. @param {number} turn */
  #abandon(turn) {
    if (turn === this.#turn) this.#stream?.close();
    this.#updateIn(turn, abandoned);
  }

  /** @param {any} event of its stream */
  #receive(event) {
    if (this.#job === null) return;
    if (event.type === "metadata") this.#observer.quota(event.quota);
    this.#update(received(this.#job, event));
  }

  /** @param {Problem} problem */
  #lost(problem) {
    this.clear();
    this.#observer.failed(problem);
  }

  /** @param {JobView|null} job */
  #become(job) {
    this.#turn += 1;
    this.#stream?.close();
    this.#stream = null;
    this.#observer.connection(true);
    this.#update(job);
  }

  /** @param {number} turn @param {(job: JobView) => JobView} change of that turn's job, if it is still shown */
  #updateIn(turn, change) {
    if (turn === this.#turn && this.#job !== null) this.#update(change(this.#job));
  }

  /** @param {JobView|null} job */
  #update(job) {
    this.#job = job;
    this.#observer.changed(job);
  }
}
