/**
 * What is known of one job: its events in, a view of it out. A view is never changed, a new one takes its place.
 *
 * Rule: what is over stays over, whatever was still on its way.
 */

/**
 * @typedef {"starting"|"queued"|"running"|"completed"|"failed"|"cancelled"|"interrupted"|"abandoned"} Phase
 *   abandoned: the reader stopped waiting for the end
 * @typedef {object} JobView
 * @property {string|null} id
 * @property {Phase} phase
 * @property {boolean} isStopping it was asked to stop, and has not ended yet
 * @property {"prompting"|"generating"|"validating"|"complete"|null} step
 * @property {number|null} position how many wait before it, while it is queued
 * @property {number} attempt grows when the text starts over
 * @property {string} text
 * @property {number|null} tokens
 * @property {number|null} cost
 * @property {boolean} isEstimate tokens and cost are what it may come to
 * @property {boolean} isCached an earlier answer was told again
 * @property {boolean} isCut the answer is as long as it was allowed to be
 * @property {number|null} retryInMs the provider was busy, and is asked again after so long
 * @property {boolean} isWriting its text goes into a canvas
 * @property {{code: string, message: string, hint?: string}|null} error
 * @property {string[]} warnings
 * @property {string} cancelUrl
 */

const OVER = ["completed", "failed", "cancelled", "interrupted", "abandoned"];
const PHASE_OF_CODE = /** @type {Record<string, Phase>} */ ({ CANCELLED: "cancelled", INTERRUPTED: "interrupted" });

/** @param {boolean} isWriting @returns {JobView} one that the server has not answered for yet */
export function startingJob(isWriting) {
  return {
    ...{ id: null, phase: "starting", isStopping: false, step: null, position: null, attempt: 1, text: "" },
    ...{ tokens: null, cost: null, isEstimate: false, isCached: false, isCut: false, retryInMs: null },
    ...{ isWriting, error: null, warnings: [], cancelUrl: "" },
  };
}

/** @param {any} told of a job: the answer that started it, or what is stored @returns {JobView} before its events */
export function toldJob(told) {
  const { estimate, warnings = [] } = told;
  const isEstimate = estimate != null;
  return {
    ...startingJob(told.canvas != null),
    ...{ id: told.job_id, cancelUrl: told.cancel_url, position: told.position ?? null, isEstimate },
    phase: told.state === "queued" ? "queued" : "running",
    tokens: isEstimate ? estimate.input_tokens + estimate.max_output_tokens : totalOf(told.tokens),
    cost: isEstimate ? estimate.cost : (told.cost ?? null),
    warnings: warnings.map((/** @type {any} */ warning) => warning.message ?? String(warning)),
  };
}

/** @param {JobView} job */
export function isOver(job) {
  return OVER.includes(job.phase);
}

/** @param {JobView} job @param {any} event of its stream @returns {JobView} */
export function received(job, event) {
  switch (event.type) {
    case "queued":
      return { ...going(job, "queued"), position: event.position };
    case "step":
      return { ...going(job, "running"), step: event.step, position: null, retryInMs: event.retry_in_ms ?? null };
    case "chunk":
      return withChunk(job, event);
    case "metadata":
      return { ...job, tokens: totalOf(event.tokens), cost: event.cost, isEstimate: false };
    case "complete":
      return completed(job, event);
    case "error":
      return failed(job, event);
    default:
      return job;
  }
}

/** @param {JobView} job @returns {JobView} */
export function stopping(job) {
  return isOver(job) ? job : { ...job, isStopping: true };
}

/** @param {JobView} job @returns {JobView} it could not be asked to stop */
export function notStopping(job) {
  return { ...job, isStopping: false };
}

/** @param {JobView} job @param {{state: string, stopped: boolean}} answer to a cancel @returns {JobView} */
export function stopped(job, { state, stopped: hasStopped }) {
  if (isOver(job)) return job;
  return ended(job, hasStopped && OVER.includes(state) ? /** @type {Phase} */ (state) : "abandoned");
}

/** @param {JobView} job @returns {JobView} nobody waits for its end any more */
export function abandoned(job) {
  return isOver(job) ? job : ended(job, "abandoned");
}

/** @param {JobView} job @param {any} chunk */
function withChunk(job, { attempt = job.attempt, content }) {
  if (attempt < job.attempt) return job;
  const text = attempt > job.attempt ? content : job.text + content;
  return { ...going(job, "running"), attempt, text, retryInMs: null };
}

/** @param {JobView} job @param {any} event @returns {JobView} */
function completed(job, event) {
  const { total_tokens: tokens = job.tokens, cost = job.cost, cached: isCached = false, result } = event;
  const isCut = result?.finish === "length";
  return { ...ended(job, "completed"), step: "complete", tokens, cost, isEstimate: false, isCached, isCut };
}

/** @param {JobView} job @param {any} event @returns {JobView} */
function failed(job, { code, message, hint }) {
  return { ...ended(job, PHASE_OF_CODE[code] ?? "failed"), error: { code, message, hint } };
}

/** @param {JobView} job @param {Phase} phase @returns {JobView} */
function going(job, phase) {
  return isOver(job) ? job : { ...job, phase };
}

/** @param {JobView} job @param {Phase} phase @returns {JobView} */
function ended(job, phase) {
  return { ...job, phase, isStopping: false, position: null, retryInMs: null };
}

/** @param {any} tokens @returns {number|null} */
function totalOf(tokens) {
  if (tokens == null || typeof tokens === "number") return tokens ?? null;
  return tokens.input + tokens.output;
}
