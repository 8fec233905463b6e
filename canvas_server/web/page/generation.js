/**
 * The panel where a text is asked for: one job at a time, of the open canvas.
 *
 * Rule: a job lives on the server. Leaving the page or the canvas stops none, and coming back finds it again.
 */

import { Problem, randomId } from "./api.js";
import { Costs } from "./costs.js";
import { CurrentJob } from "./currentjob.js";
import { DestinationChoice } from "./destination.js";
import { byId, say } from "./element.js";
import { isOver } from "./job.js";
import { JobPane } from "./jobpane.js";
import { readActiveJobs, readJob, startJob } from "./jobs.js";
import { inEachLanguage } from "./language.js";
import { ModelChoice } from "./models.js";
import { PresetChoice } from "./presets.js";
import { problemText } from "./problems.js";
import { recall, remember } from "./remembered.js";

/** Writings of a job come many a second: jobs are asked for at most this often. */
const LOOK_EVERY_MS = 3000;
const LAST_JOB_KEY = "job";
const PROMPT_KEY = "prompt";
/** Answers that leave open whether a start was taken: no answer at all, or a server in trouble. */
const UNSURE_STATUS_MIN = 500;

/** @typedef {import("./jobs.js").ToldJob} ToldJob */

export class Generation {
  /** @type {string|null} */ #ref = null;
  /** @type {{asked: string, key: string}|null} a start whose end is not known */ #unsure = null;
  /** @type {() => string} */ #notice = () => "";
  #lookedAtMs = 0;
  #isAllowed = true;
  #prompt = /** @type {HTMLTextAreaElement} */ (byId("generate-prompt"));
  #form = /** @type {HTMLFormElement} */ (byId("generate"));
  #models = new ModelChoice(byId("generate-model"), byId("model-price"));
  #presets = new PresetChoice(byId("generate-preset"), byId("preset-about"), () => this.#show());
  #destination;
  #costs = new Costs();
  #pane;
  #job = new CurrentJob({
    changed: (job) => this.#changed(job),
    connection: (isOpen) => this.#pane.connected(isOpen),
    quota: (quota) => this.#costs.receive(quota),
    failed: (problem) => this.#say(() => problemText(problem)),
  });

  /**
   * @param {() => number} cursor where the reader's is in the open canvas
   * @param {(jobId: string) => Promise<string>} undo takes back what a job wrote here, and says what came of it
   */
  constructor(cursor, undo) {
    this.#pane = new JobPane(() => this.#costs.currency, undo);
    this.#destination = new DestinationChoice(byId("generate-destination"), cursor);
    this.#form.addEventListener("submit", (event) => this.#submit(event));
    this.#prompt.value = recall(PROMPT_KEY) ?? "";
    this.#prompt.addEventListener("input", () => remember(PROMPT_KEY, this.#prompt.value));
    this.#prompt.addEventListener("keydown", (event) => this.#startOnCtrlEnter(event));
    byId("generate-stop").addEventListener("click", () => this.#job.stop());
    byId("generate-jump").addEventListener("click", () => this.#prompt.focus());
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
    this.#ref = null;
    this.#destination.open(null);
    this.#job.clear();
    this.#say(() => "");
  }

  /** @param {boolean} isAllowed whether one may ask for texts at all @param {boolean} canWrite into this canvas */
  permit(isAllowed, canWrite) {
    this.#isAllowed = isAllowed;
    this.#destination.permit(canWrite);
    this.#pane.permit(canWrite);
    this.#show();
  }

  /** @param {any} event of the canvas's stream */
  receive(event) {
    this.#destination.receive(event);
    if (event.type === "ack" && event.kind === "job") this.#look();
  }

  /** There are other sections to write to. */
  sectionsChanged() {
    this.#destination.refresh();
  }

  /** Another tab may have started a job that writes here. */
  #look() {
    if (this.#job.isBusy || Date.now() - this.#lookedAtMs < LOOK_EVERY_MS) return;
    this.#lookedAtMs = Date.now();
    this.#find(false);
  }

  /** @param {boolean} alsoEnded show the last job of this browser though it has ended: a reload loses no answer */
  async #find(alsoEnded) {
    const { turn } = this.#job;
    try {
      const found = await findJob(this.#ref, alsoEnded);
      if (found !== null && turn === this.#job.turn) this.#job.follow(found);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (turn === this.#job.turn) this.#say(() => problemText(error));
    }
  }

  /** @param {Event} event */
  #submit(event) {
    event.preventDefault();
    if (!this.#job.isBusy && this.#ref !== null) this.#start();
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
    this.#say(() => "");
    this.#job.begin(asked.canvas !== undefined);
    const { turn } = this.#job;
    try {
      const told = await startJob({ ...asked, idempotency_key: key });
      this.#unsure = null;
      remember(LAST_JOB_KEY, told.job_id);
      if (turn === this.#job.turn) this.#started({ canvas: asked.canvas, ...told });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (turn === this.#job.turn) this.#refused(error);
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

  /** @param {ToldJob} told */
  #started(told) {
    this.#costs.started(told.quota);
    this.#job.follow(told);
  }

  /** @param {Problem} problem */
  #refused(problem) {
    if (problem.status !== 0 && problem.status < UNSURE_STATUS_MIN) this.#unsure = null;
    this.#job.clear();
    if (problem.code === "QUOTA_EXCEEDED") this.#costs.refused(problem);
    else this.#say(() => problemText(problem));
  }

  #dismiss() {
    remember(LAST_JOB_KEY, "");
    this.#job.clear();
    this.#prompt.focus();
  }

  /** @param {import("./job.js").JobView|null} job */
  #changed(job) {
    this.#pane.show(job);
    if (job !== null && isOver(job)) this.#costs.refresh();
    this.#show();
  }

  /** @param {() => string} sentence in the language of the moment */
  #say(sentence) {
    this.#notice = sentence;
    this.#show();
  }

  #show() {
    byId("generate").hidden = !this.#isAllowed;
    byId("generate-forbidden").hidden = this.#isAllowed;
    byId("generate-controls").toggleAttribute("disabled", this.#ref === null);
    this.#prompt.required = this.#presets.chosen === "";
    this.#showButtons();
    say(byId("generate-notice"), this.#notice());
  }

  /** One takes the place of the other, and its focus too: a keyboard must not lose its way. */
  #showButtons() {
    const [start, stop] = [byId("generate-start"), byId("generate-stop")];
    const { isBusy, canStop } = this.#job;
    const hadFocus = document.activeElement === start || document.activeElement === stop;
    start.hidden = isBusy;
    stop.hidden = !isBusy;
    stop.setAttribute("aria-disabled", String(!canStop));
    byId("job-dismiss").hidden = isBusy;
    if (hadFocus) (isBusy ? stop : start).focus();
  }
}

/**
 * The job to show with a canvas: one that runs and writes there, or the last one of this browser that writes nowhere.
 *
 * @param {string|null} ref
 * @param {boolean} alsoEnded also the last one of this browser that has ended
 * @returns {Promise<ToldJob|null>}
 */
async function findJob(ref, alsoEnded) {
  const lastId = recall(LAST_JOB_KEY);
  const active = await readActiveJobs();
  const writing = active.find((job) => job.canvas?.ref === ref);
  const found = writing ?? active.find((job) => job.job_id === lastId && !job.canvas) ?? null;
  return found === null && alsoEnded && lastId ? endedJob(lastId, ref) : found;
}

/** @param {string} id @param {string|null} ref @returns {Promise<ToldJob|null>} null: it is of another canvas, or gone */
async function endedJob(id, ref) {
  try {
    const job = await readJob(id);
    return !job.canvas || job.canvas.ref === ref ? job : null;
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return null;
    throw error;
  }
}
