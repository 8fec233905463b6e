/**
 * The panel where a text is asked for: one job at a time, of the open canvas.
 *
 * Rule: a job lives on the server. Leaving the page or the canvas stops none, and coming back finds it again.
 */

import { Problem, randomId } from "./api.js";
import { Costs } from "./costs.js";
import { DestinationChoice } from "./destination.js";
import { byId, say } from "./element.js";
import { abandoned, isOver, notStopping, received, startingJob, stopped, stopping, toldJob } from "./job.js";
import { JobPane } from "./jobpane.js";
import { cancelJob, readActiveJobs, readJob, startJob } from "./jobs.js";
import { JobStream } from "./jobstream.js";
import { inEachLanguage } from "./language.js";
import { ModelChoice } from "./models.js";
import { PresetChoice } from "./presets.js";
import { problemText } from "./problems.js";
import { recall, remember } from "./remembered.js";

/** The server stops a job within this time, or gives it up. */
const CANCEL_MS_MAX = 10000;
/** Writings of a job come many a second: jobs are asked for at most this often. */
const LOOK_EVERY_MS = 3000;
const LAST_JOB_KEY = "job";

/**
 * @typedef {import("./job.js").JobView} JobView
 * @typedef {import("./jobs.js").ToldJob} ToldJob
 */

export class Generation {
  /** @type {string|null} */ #ref = null;
  /** @type {JobView|null} */ #job = null;
  /** @type {JobStream|null} */ #stream = null;
  /** counts jobs and canvases: an answer that was asked for before is void */ #turn = 0;
  /** @type {{asked: string, key: string}|null} a start whose end is not known */ #unsure = null;
  /** @type {() => string} */ #notice = () => "";
  #lookedAtMs = 0;
  #prompt = /** @type {HTMLTextAreaElement} */ (byId("generate-prompt"));
  #form = /** @type {HTMLFormElement} */ (byId("generate"));
  #models = new ModelChoice(byId("generate-model"), byId("model-price"));
  #presets = new PresetChoice(byId("generate-preset"), byId("preset-about"), () => this.#show());
  #destination = new DestinationChoice(byId("generate-destination"));
  #costs = new Costs();
  #pane = new JobPane(() => this.#costs.currency);

  constructor() {
    this.#form.addEventListener("submit", (event) => this.#submit(event));
    this.#prompt.addEventListener("keydown", (event) => this.#startOnCtrlEnter(event));
    byId("generate-stop").addEventListener("click", () => this.#stop());
    byId("job-dismiss").addEventListener("click", () => this.#dismiss());
    inEachLanguage(() => this.#show());
  }

  /** @param {string} ref */
  open(ref) {
    this.close();
    this.#ref = ref;
    this.#destination.open(ref);
    this.#models.refresh();
    this.#presets.refresh();
    this.#costs.refresh();
    this.#show();
    this.#find(true);
  }

  /** The canvas is left, closed or deleted. Its job goes on; what was typed stays. */
  close() {
    this.#become(null);
    this.#notice = () => "";
    this.#ref = null;
    this.#destination.open(null);
    this.#show();
  }

  /** @param {any} event of the canvas's stream */
  receive(event) {
    this.#destination.receive(event);
    if (event.type === "ack" && event.kind === "job") this.#look();
  }

  /** Another tab may have started a job that writes here. */
  #look() {
    if (this.#isBusy() || Date.now() - this.#lookedAtMs < LOOK_EVERY_MS) return;
    this.#lookedAtMs = Date.now();
    this.#find(false);
  }

  /** @param {boolean} alsoEnded show the last job of this browser though it has ended: a reload loses no answer */
  async #find(alsoEnded) {
    const ref = this.#ref;
    const turn = this.#turn;
    const last = recall(LAST_JOB_KEY);
    try {
      const active = await readActiveJobs();
      const own = active.find((job) => job.canvas?.ref === ref) ?? active.find((job) => job.job_id === last && !job.canvas);
      const found = own ?? (alsoEnded && last ? await lastJob(last, ref) : null);
      if (found !== null && turn === this.#turn) this.#attach(found);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#say(() => problemText(error));
    }
  }

  /** @param {Event} event */
  #submit(event) {
    event.preventDefault();
    if (!this.#isBusy() && this.#ref !== null) this.#start();
  }

  /** @param {KeyboardEvent} event */
  #startOnCtrlEnter(event) {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    this.#form.requestSubmit();
  }

  async #start() {
    const asked = this.#asked();
    const key = this.#keyOf(JSON.stringify(asked));
    const turn = this.#become(startingJob(asked.canvas !== undefined));
    this.#say(() => "");
    try {
      const told = await startJob({ ...asked, idempotency_key: key });
      this.#unsure = null;
      remember(LAST_JOB_KEY, told.job_id);
      if (turn === this.#turn) this.#attach({ canvas: asked.canvas, ...told });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (turn === this.#turn) this.#refused(error);
    }
  }

  #asked() {
    const model = this.#models.chosen;
    const canvas = this.#destination.chosen;
    return {
      prompt: this.#prompt.value,
      ...(model === null ? {} : { provider: model.provider, model: model.model }),
      ...(this.#presets.chosen === "" ? {} : { preset_id: this.#presets.chosen }),
      ...(canvas === null ? {} : { canvas }),
    };
  }

  /** A start that may have arrived is tried again under its key: nothing is bought twice. @param {string} asked */
  #keyOf(asked) {
    if (this.#unsure?.asked !== asked) this.#unsure = { asked, key: randomId() };
    return this.#unsure.key;
  }

  /** @param {Problem} problem */
  #refused(problem) {
    if (problem.status !== 0 && problem.status < 500) this.#unsure = null;
    this.#become(null);
    if (problem.code === "QUOTA_EXCEEDED") this.#costs.refused(problem);
    else this.#say(() => problemText(problem));
  }

  /** @param {ToldJob} told */
  #attach(told) {
    const turn = this.#become(toldJob(told));
    this.#costs.started(told.quota);
    this.#stream = new JobStream(told.stream_url, {
      event: (event) => this.#receive(event),
      connection: (isOpen) => this.#pane.connected(isOpen),
      gone: (problem) => this.#lost(problem),
    });
    if (turn === this.#turn) this.#stream.open();
  }

  /** @param {any} event of the job's stream */
  #receive(event) {
    if (this.#job === null) return;
    if (event.type === "metadata") this.#costs.receive(event.quota);
    this.#update(received(this.#job, event));
    if (isOver(this.#job)) this.#costs.refresh();
  }

  /** @param {Problem} problem */
  #lost(problem) {
    this.#become(null);
    this.#say(() => problemText(problem));
  }

  async #stop() {
    const turn = this.#turn;
    if (this.#job === null || this.#job.id === null || this.#job.isStopping) return;
    this.#update(stopping(this.#job));
    const timer = setTimeout(() => this.#abandon(turn), CANCEL_MS_MAX);
    try {
      const answer = await cancelJob(this.#job.cancelUrl);
      this.#updateIn(turn, (job) => stopped(job, answer));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#updateIn(turn, notStopping);
      if (turn === this.#turn) this.#say(() => problemText(error));
    } finally {
      clearTimeout(timer);
    }
  }

  /** The reader waits no longer; the server goes on stopping the job. @param {number} turn */
  #abandon(turn) {
    if (turn === this.#turn) this.#stream?.close();
    this.#updateIn(turn, abandoned);
  }

  #dismiss() {
    remember(LAST_JOB_KEY, "");
    this.#become(null);
    this.#prompt.focus();
  }

  /** Another job, or none, takes the place of the one shown. @param {JobView|null} job @returns {number} its turn */
  #become(job) {
    this.#turn += 1;
    this.#stream?.close();
    this.#stream = null;
    this.#pane.connected(true);
    this.#update(job);
    return this.#turn;
  }

  /** @param {number} turn @param {(job: JobView) => JobView} change of that turn's job, if it is still shown */
  #updateIn(turn, change) {
    if (turn === this.#turn && this.#job !== null) this.#update(change(this.#job));
  }

  /** @param {JobView|null} job */
  #update(job) {
    this.#job = job;
    this.#pane.show(job);
    this.#show();
  }

  /** @param {() => string} sentence in the language of the moment */
  #say(sentence) {
    this.#notice = sentence;
    this.#show();
  }

  #isBusy() {
    return this.#job !== null && !isOver(this.#job);
  }

  #show() {
    byId("generate-controls").toggleAttribute("disabled", this.#ref === null);
    this.#prompt.required = this.#presets.chosen === "";
    this.#showButtons();
    say(byId("generate-notice"), this.#notice());
  }

  /** One takes the place of the other, and its focus too: a keyboard must not lose its way. */
  #showButtons() {
    const [start, stop] = [byId("generate-start"), byId("generate-stop")];
    const isBusy = this.#isBusy();
    const hadFocus = [start, stop].includes(/** @type {HTMLElement} */ (document.activeElement));
    start.hidden = isBusy;
    stop.hidden = !isBusy;
    stop.setAttribute("aria-disabled", String(this.#job?.id == null || this.#job.isStopping));
    byId("job-dismiss").hidden = isBusy;
    if (hadFocus) (isBusy ? stop : start).focus();
  }
}

/** @param {string} id @param {string|null} ref @returns {Promise<ToldJob|null>} null if it is of another canvas, or gone */
async function lastJob(id, ref) {
  try {
    const job = await readJob(id);
    return job.canvas == null || job.canvas.ref === ref ? job : null;
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return null;
    throw error;
  }
}
