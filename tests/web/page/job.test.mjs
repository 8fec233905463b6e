/**
 * One job as its reader sees it: events in, a view out.
 */

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  abandoned,
  isOver,
  notStopping,
  received,
  startingJob,
  stopped,
  stopping,
  toldJob,
} from "../../../canvas_server/web/page/job.js";

const TOLD = {
  job_id: "j",
  state: "queued",
  position: 3,
  stream_url: "/s",
  cancel_url: "/c",
  estimate: { input_tokens: 100, max_output_tokens: 900, cost: 0.02, exact: true },
  warnings: [{ code: "x", message: "gone" }],
};
const chunk = (content, attempt = 1) => ({ type: "chunk", content, seq: 1, attempt });
const CANCELLED = { type: "error", code: "CANCELLED", message: "stopped" };
const COMPLETE = { type: "complete", total_tokens: 7, cost: 0.0031, result: { finish: "stop", chars: 2 } };

/** The view after some events. */
const after = (...events) => events.reduce(received, toldJob(TOLD));

test("a start tells what it may cost at most, and where the job stands in line", () => {
  const job = toldJob(TOLD);
  assert.deepEqual([job.id, job.phase, job.position, job.cancelUrl], ["j", "queued", 3, "/c"]);
  assert.deepEqual([job.tokens, job.cost, job.isEstimate], [1000, 0.02, true]);
  assert.deepEqual(job.warnings, ["gone"]);
  assert.equal(isOver(job), false);
});

test("a job that is found again tells what it has used, and its text comes by its stream", () => {
  const stored = { ...TOLD, estimate: undefined, warnings: undefined, state: "running", text: "abc" };
  const job = toldJob({ ...stored, tokens: { input: 10, output: 5, cached: 2 }, cost: 0.01, canvas: { ref: "c" } });
  assert.deepEqual([job.phase, job.tokens, job.cost, job.isEstimate], ["running", 15, 0.01, false]);
  assert.deepEqual([job.text, job.isWriting], ["", true]);
});

test("steps, places in line and chunks are followed", () => {
  const waiting = after({ type: "queued", position: 2 });
  assert.deepEqual([waiting.phase, waiting.position], ["queued", 2]);
  const going = after({ type: "step", step: "generating" }, chunk("a"), chunk("b"));
  assert.deepEqual([going.phase, going.position, going.step, going.text], ["running", null, "generating", "ab"]);
});

test("when the text starts over, what an earlier attempt said is dropped, late chunks too", () => {
  const job = after(chunk("old"), chunk("new", 2), chunk(" late", 1), chunk(" words", 2));
  assert.deepEqual([job.text, job.attempt], ["new words", 2]);
});

test("what is told while it runs takes the place of the estimate", () => {
  const job = after({ type: "metadata", tokens: 42, cost: 0.0042, quota: {} });
  assert.deepEqual([job.tokens, job.cost, job.isEstimate], [42, 0.0042, false]);
});

test("a provider that is busy is told of until it answers", () => {
  const busy = { type: "step", step: "generating", retry_in_ms: 1500 };
  assert.equal(after(busy).retryInMs, 1500);
  assert.equal(after(busy, chunk("a")).retryInMs, null);
  assert.equal(after(busy, { type: "step", step: "generating" }).retryInMs, null);
  assert.equal(after(busy, CANCELLED).retryInMs, null);
});

test("a completed job knows its bill, and whether its answer was cut or known before", () => {
  const job = after(chunk("ab"), COMPLETE);
  assert.deepEqual([job.phase, job.tokens, job.cost, job.text], ["completed", 7, 0.0031, "ab"]);
  assert.deepEqual([job.isCut, job.isCached], [false, false]);
  assert.equal(after({ ...COMPLETE, result: { finish: "length" } }).isCut, true);
  assert.equal(after({ ...COMPLETE, cached: true }).isCached, true);
});

test("errors end a job by their code, and the text stays", () => {
  const failed = after(chunk("ab"), { type: "error", code: "PROVIDER_TIMEOUT", message: "slow", hint: "h" });
  assert.deepEqual([failed.phase, failed.text], ["failed", "ab"]);
  assert.deepEqual(failed.error, { code: "PROVIDER_TIMEOUT", message: "slow", hint: "h" });
  assert.equal(after(CANCELLED).phase, "cancelled");
  assert.equal(after({ ...CANCELLED, code: "INTERRUPTED" }).phase, "interrupted");
});

test("a cancel ends in what the server says, whichever comes first, its answer or the last event", () => {
  const asked = stopping(after(chunk("a")));
  assert.deepEqual([asked.isStopping, asked.phase], [true, "running"]);
  for (const job of [stopped(asked, { state: "cancelled", stopped: true }), received(asked, CANCELLED)]) {
    assert.deepEqual([job.phase, job.isStopping], ["cancelled", false]);
    assert.equal(received(job, chunk("b")).phase, "cancelled");
    assert.equal(received(job, { type: "step", step: "validating" }).phase, "cancelled");
  }
  assert.equal(stopped(asked, { state: "completed", stopped: true }).phase, "completed");
});

test("a cancel that takes too long frees its reader, and its late answer changes nothing", () => {
  const asked = stopping(after(chunk("a")));
  assert.equal(stopped(asked, { state: "running", stopped: false, abandoned: true }).phase, "abandoned");
  const gone = abandoned(asked);
  assert.deepEqual([gone.phase, gone.isStopping, isOver(gone)], ["abandoned", false, true]);
  assert.equal(stopped(gone, { state: "cancelled", stopped: true }).phase, "abandoned");
});

test("what is over cannot be stopped, and a cancel that was refused can be asked again", () => {
  const done = after(COMPLETE);
  assert.equal(stopping(done), done);
  assert.equal(abandoned(done), done);
  assert.equal(notStopping(stopping(after(chunk("a")))).isStopping, false);
});

test("an event that is newer than the page changes nothing", () => {
  const job = startingJob(false);
  assert.equal(received(job, { type: "heartbeat" }), job);
});
