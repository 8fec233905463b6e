/**
 * The server's HTTP interface to generation: models, presets, jobs, costs.
 */

import { request } from "./api.js";

const ROOT = "/api/v1";
const JOBS = `${ROOT}/dialogues/generate/jobs`;

/**
 * @typedef {{input: number, cached: number, output: number, currency: string, per_tokens: number}} Prices
 * @typedef {{provider: string, model: string, label: string, configured: boolean, free: boolean,
 *   prices: Prices|null}} Model
 * @typedef {{limit: number, spent: number, reserved: number, remaining: number, percentage: number,
 *   warning: boolean, resets_at: string, currency: string}} Quota
 * @typedef {{id: string, name: string, icon: string, configuration: {instructions?: string}}} Preset
 * @typedef {{job_id: string, state: string, stream_url: string, cancel_url: string, [field: string]: any}} ToldJob
 */

/** @returns {Promise<{default: {provider: string, model: string}, models: Model[]}>} */
export function readModels() {
  return request("GET", `${ROOT}/models`);
}

/** @returns {Promise<Preset[]>} */
export async function readPresets() {
  return (await request("GET", `${ROOT}/presets`)).presets;
}

/** @param {string} id @returns {Promise<Preset & {validation: {valid: boolean, warnings: {message: string}[]}}>} */
export function readPreset(id) {
  return request("GET", `${ROOT}/presets/${encodeURIComponent(id)}`);
}

/** @returns {Promise<any>} what is spent of the month's quota */
export function readUsage() {
  return request("GET", `${ROOT}/costs/usage`);
}

/** @param {object} asked @returns {Promise<ToldJob>} */
export function startJob(asked) {
  return request("POST", JOBS, asked);
}

/** @param {string} id @returns {Promise<ToldJob>} */
export function readJob(id) {
  return request("GET", `${JOBS}/${encodeURIComponent(id)}`);
}

/** @returns {Promise<ToldJob[]>} those of this person that have not ended, newest first */
export async function readActiveJobs() {
  return (await request("GET", `${JOBS}?active=true`)).jobs;
}

/** Answers when the job has stopped. @param {string} url @returns {Promise<{state: string, stopped: boolean}>} */
export function cancelJob(url) {
  return request("POST", url);
}
