/**
 * A job on screen: how far it is, what it says, what it costs.
 */

import { TextBlocks } from "./blocks.js";
import { byId, element, say } from "./element.js";
import { oncePerFrame } from "./frame.js";
import { isOver } from "./job.js";
import { inEachLanguage, words } from "./language.js";
import { exactMoney } from "./money.js";

const STEPS = ["prompting", "generating", "validating", "complete"];
const AT_END_PX = 24;
const TONES = /** @type {Record<string, string>} */ ({ completed: "good", failed: "bad", interrupted: "warning" });

/** @typedef {import("./job.js").JobView} JobView */

export class JobPane {
  /** @type {JobView|null} */ #job = null;
  /** @type {string} of the job's text */ #shownText = "";
  #isConnected = true;
  #canWrite = false;
  /** @type {{jobId: string|null, told: string}} what came of taking its text back */ #undone = { jobId: null, told: "" };
  #draw = oncePerFrame(() => this.#show());
  #text = byId("job-text");
  #blocks = new TextBlocks(this.#text);
  #currency;
  #undo;

  /**
   * @param {() => string} currency of all costs
   * @param {(jobId: string) => Promise<string>} undo takes its text back, and says what came of it
   */
  constructor(currency, undo) {
    this.#currency = currency;
    this.#undo = undo;
    byId("job-undo").addEventListener("click", () => this.#takeBack());
    byId("job-copy").addEventListener("click", () => this.#copy());
    inEachLanguage(() => this.#show());
  }

  /** @param {JobView|null} job null: there is nothing to show */
  show(job) {
    this.#job = job;
    this.#draw();
  }

  /** @param {boolean} isConnected whether its events come in */
  connected(isConnected) {
    this.#isConnected = isConnected;
    this.#draw();
  }

  /** @param {boolean} canWrite into the canvas */
  permit(canWrite) {
    this.#canWrite = canWrite;
    this.#draw();
  }

  async #takeBack() {
    const jobId = this.#job?.id ?? null;
    if (jobId === null) return;
    this.#undone = { jobId, told: words("past.undoing") };
    this.#draw();
    this.#undone = { jobId, told: await this.#undo(jobId) };
    this.#draw();
  }

  async #copy() {
    await navigator.clipboard.writeText(this.#job?.text ?? "");
    byId("job-copy").textContent = words("docs.copied");
  }

  #show() {
    const job = this.#job;
    byId("job").hidden = job === null;
    if (job === null) return;
    byId("job-steps").replaceChildren(...STEPS.map((step, index) => stepElement(job, step, index)));
    byId("job-status").dataset.tone = TONES[job.phase] ?? "";
    say(byId("job-status"), this.#status(job));
    byId("job-figures").textContent = figuresText(job, this.#currency());
    byId("job-advice").replaceChildren(...advice(job).map((sentence) => element("li", {}, sentence)));
    byId("job-undo").hidden = !(this.#canWrite && hasWritten(job));
    say(byId("job-undone"), this.#undone.jobId === job.id ? this.#undone.told : "");
    this.#showText(job);
  }

  /** @param {JobView} job */
  #status(job) {
    if (!this.#isConnected && !isOver(job) && !job.isStopping) return words("connection.reconnecting");
    return statusText(job);
  }

  /** @param {JobView} job */
  #showText({ isWriting, text, phase }) {
    const isShown = !isWriting && text !== "";
    this.#text.hidden = !isShown;
    this.#text.setAttribute("aria-busy", String(phase === "running"));
    // The clipboard exists on https and loopback only.
    byId("job-copy").hidden = !isShown || phase === "running" || navigator.clipboard === undefined;
    byId("job-copy").textContent = words("docs.copy");
    if (isShown) this.#follow(text);
  }

  /** Only what is new is added: laying out a long text again for each word is slow. @param {string} text */
  #follow(text) {
    if (text === this.#shownText) return;
    const pane = this.#text;
    const from = this.#shownText.length;
    const wasAtEnd = pane.scrollHeight - pane.scrollTop - pane.clientHeight < AT_END_PX;
    if (text.startsWith(this.#shownText)) this.#blocks.splice({ from, to: from, insert: text.slice(from) });
    else this.#blocks.replace(text);
    this.#shownText = text;
    if (wasAtEnd) pane.scrollTop = pane.scrollHeight;
  }
}

/** @param {JobView} job @returns {boolean} whether its text may stand in the canvas; one that is cancelled takes it back */
function hasWritten(job) {
  return job.isWriting && job.id !== null && isOver(job) && job.phase !== "cancelled";
}

/** @param {JobView} job @param {string} step @param {number} index */
function stepElement(job, step, index) {
  const reached = job.step === null ? -1 : STEPS.indexOf(job.step);
  const isCurrent = index === reached && !isOver(job);
  const shown = element("li", { "data-reached": String(index <= reached) }, words(`step.${step}`));
  if (isCurrent) shown.setAttribute("aria-current", "step");
  return shown;
}

/** @param {JobView} job */
function statusText(job) {
  if (job.isStopping) return words("job.stopping");
  if (job.retryInMs !== null) return words("job.retrying", { seconds: Math.ceil(job.retryInMs / 1000) });
  if (job.phase === "completed" && job.isCut) return words("job.cut");
  if (job.phase === "completed" && job.isCached) return words("job.cached");
  const { code = "", message = "" } = job.error ?? {};
  return words(`job.${job.phase}`, { code, message, position: job.position ?? "" });
}

/** @param {JobView} job @returns {string[]} */
function advice({ phase, warnings, error }) {
  const isOwnWish = phase === "cancelled";
  return error?.hint && !isOwnWish ? [...warnings, error.hint] : warnings;
}

/** @param {JobView} job @param {string} currency */
function figuresText({ tokens, cost, isEstimate }, currency) {
  if (tokens === null || cost === null) return "";
  const told = { count: tokens, cost: exactMoney(cost, currency) };
  return words(isEstimate ? "job.estimate" : "job.figures", told);
}
