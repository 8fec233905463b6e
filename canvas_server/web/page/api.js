/**
 * The server's HTTP interface, as this page uses it, with the credentials of its session. A refusal is thrown as a
 * `Problem`.
 *
 * Rule: where the server asks to sign in again, a request waits until one has, and is sent again unchanged.
 */

import { CLIENT_ID, Problem, exchange, jsonOf, jsonOptions } from "./http.js";
import { session } from "./session.js";

export { CLIENT_ID, Problem, randomId } from "./http.js";

const ROOT = "/api/v2/canvas";
const UNIT = "unit=utf16";

/**
 * @typedef {{ref: string, title: string, updated_unix_ms: number}} Listed
 * @typedef {{canvases: Listed[], next_cursor: string|null}} Page
 * @typedef {{ref: string, title: string, version: string, content: string}} CanvasState
 * @typedef {{id: string, title: string, level: number, start: number}} Heading
 * @typedef {"none"|"read"|"write"} Link what everybody may do who is signed in and knows the ref
 * @typedef {Record<string, "read"|"write">} Shares by the name of a user
 * @typedef {{level: "read"|"write"|"own", owner: string|null, link: Link, shared_with: Shares|null}} Access
 */

/** @param {string|null} cursor where the page before ended @returns {Promise<Page>} newest first */
export function listCanvases(cursor) {
  return request("GET", ROOT + (cursor === null ? "" : `?cursor=${encodeURIComponent(cursor)}`));
}

/**
 * @param {string} title
 * @param {string} ref the name to give it; empty lets the server choose one
 * @param {string} [content]
 * @returns {Promise<CanvasState>}
 */
export function createCanvas(title, ref, content = "") {
  return ref === "" ? request("POST", ROOT, { title, content }) : request("PUT", path(ref), { title, content });
}

/** @param {string} ref @returns {Promise<Heading[]>} */
export async function readOutline(ref) {
  return (await request("GET", `${path(ref, "/outline")}?${UNIT}`)).headings;
}

/** @param {string} ref @param {string} title */
export function renameCanvas(ref, title) {
  return request("PATCH", path(ref), { title });
}

/** @param {string} ref @returns {Promise<{version: string}>} the version is on disk */
export function closeCanvas(ref) {
  return request("POST", path(ref, ":close"));
}

/** @param {string} ref */
export function deleteCanvas(ref) {
  return request("DELETE", path(ref));
}

/** @param {string} ref @param {number} seq how many operations it had @returns {Promise<CanvasState>} the text at a past version */
export function readCanvasAt(ref, seq) {
  return request("GET", `${path(ref)}?${UNIT}&at=${seq}`);
}

/**
 * @param {string} ref
 * @param {number} after the version to begin behind, as its count of operations
 * @param {number} limit
 * @returns {Promise<any[]>} acks, oldest first
 */
export async function readOps(ref, after, limit) {
  return (await request("GET", `${path(ref, "/ops")}?${UNIT}&after=${after}&limit=${limit}`)).events;
}

/** Sent even while the page is being left, and never later. @param {string} ref @param {object} presence */
export async function announce(ref, presence) {
  const options = { ...jsonOptions("POST", presence), keepalive: true };
  if (session.state === "in" || session.state === "open") {
    await exchangeNow(`${path(ref, "/presence")}?${UNIT}`, options, session.token);
  }
}

/** @param {string} ref @returns {Promise<Access>} */
export function readAccess(ref) {
  return request("GET", path(ref, "/access"));
}

/** In force when it answers. @param {string} ref @param {{link: Link, shared_with: Shares}} access @returns {Promise<Access>} */
export function changeAccess(ref, access) {
  return request("PUT", path(ref, "/access"), access);
}

/** @returns {Promise<any>} the OpenAPI document */
export function readDescription() {
  return request("GET", "/openapi.json");
}

/**
 * @param {string} url of an event stream
 * @param {string} lastEventId resume after it; empty: from the beginning
 * @param {AbortSignal} signal
 * @returns {Promise<ReadableStream<Uint8Array<ArrayBuffer>>>}
 */
export async function openStream(url, lastEventId, signal) {
  const headers = new Headers({ Accept: "text/event-stream" });
  if (lastEventId !== "") headers.set("Last-Event-ID", lastEventId);
  const answer = await exchangeNow(url, { headers, signal }, session.token);
  return /** @type {ReadableStream<Uint8Array<ArrayBuffer>>} */ (answer.body);
}

/** @param {string} ref @param {string} [rest] */
function path(ref, rest = "") {
  return `${ROOT}/${encodeURIComponent(ref)}${rest}`;
}

/**
 * @param {string} method
 * @param {string} url
 * @param {object} [body]
 * @returns {Promise<any>} null for an answer without a body
 */
export async function request(method, url, body) {
  const options = jsonOptions(method, body);
  while (true) {
    const token = await session.signedIn();
    try {
      return await jsonOf(await exchangeNow(url, options, token));
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 401) throw error;
    }
  }
}

/** @param {string} url @param {RequestInit} options @param {string|null} token */
async function exchangeNow(url, options, token) {
  try {
    return await exchange(url, options, token);
  } catch (error) {
    if (error instanceof Problem && error.status === 401) session.refused(token, error);
    throw error;
  }
}

/** @param {string} ref @returns {Promise<{version: string, html: string}>} the canvas as it reads; safe to show in a frame */
export function readPreview(ref) {
  return request("GET", path(ref, "/preview"));
}
