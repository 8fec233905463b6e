/**
 * The server's HTTP interface, as this page uses it. A refusal is thrown as a `Problem` (RFC 9457).
 */

/** Tells this tab apart from another of the same person: new with each load, never stored. */
export const CLIENT_ID = randomId();

const ROOT = "/api/v2/canvas";
const UNIT = "unit=utf16";

/**
 * @typedef {{ref: string, title: string, updated_unix_ms: number}} Listed
 * @typedef {{canvases: Listed[], next_cursor: string|null}} Page
 * @typedef {{ref: string, title: string, version: string, content: string}} CanvasState
 * @typedef {{id: string, title: string, level: number}} Heading
 */

/** The server refused, or could not be reached (`code` is then `UNREACHABLE`, `status` 0). */
export class Problem extends Error {
  /** @param {{status: number, code: string, detail: string, hint?: string, facts?: Record<string, any>}} told */
  constructor({ status, code, detail, hint = "", facts = {} }) {
    super(detail);
    this.status = status;
    this.code = code;
    this.detail = detail;
    this.hint = hint;
    /** All that the answer said, for codes that tell more. */
    this.facts = facts;
  }
}

/** @returns {string} 128 random bits, in letters an op_id may have */
export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @param {string|null} cursor where the page before ended @returns {Promise<Page>} newest first */
export function listCanvases(cursor) {
  return request("GET", ROOT + (cursor === null ? "" : `?cursor=${encodeURIComponent(cursor)}`));
}

/**
 * @param {string} title
 * @param {string} ref the name to give it; empty lets the server choose one
 * @returns {Promise<CanvasState>}
 */
export function createCanvas(title, ref) {
  return ref === "" ? request("POST", ROOT, { title }) : request("PUT", path(ref), { title });
}

/** @param {string} ref @param {string|null} [url] a `content_url` @returns {Promise<CanvasState>} */
export function readCanvas(ref, url = null) {
  return request("GET", url ?? `${path(ref)}?${UNIT}`);
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

/** What becomes of the op is told by the stream only. @param {string} ref @param {object} op */
export function submit(ref, op) {
  return request("POST", `${path(ref, "/ops:stream")}?${UNIT}`, { ops: [op] });
}

/** Sent even while the page is being left. @param {string} ref @param {object} presence */
export function announce(ref, presence) {
  return request("POST", `${path(ref, "/presence")}?${UNIT}`, presence, { keepalive: true });
}

/** @returns {Promise<any>} the OpenAPI document */
export function readDescription() {
  return request("GET", "/openapi.json");
}

/** @param {string} ref @param {string|null} lastEventId resume after it @returns {string} */
export function listenUrl(ref, lastEventId) {
  const resume = lastEventId === null ? "" : `&last_event_id=${encodeURIComponent(lastEventId)}`;
  return `${path(ref, "/ops:listen")}?${UNIT}&client_id=${CLIENT_ID}${resume}`;
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
  const answer = await fetched(url, { headers, signal });
  if (!answer.ok) throw await problemOf(answer);
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
 * @param {RequestInit} [options]
 * @returns {Promise<any>} null for an answer without a body
 */
export async function request(method, url, body, options = {}) {
  const spoken = document.documentElement.lang;
  const headers = { Accept: "application/json", "Accept-Language": spoken, "X-Client-Id": CLIENT_ID };
  const sent = body === undefined ? {} : { body: JSON.stringify(body) };
  const typed = body === undefined ? headers : { ...headers, "Content-Type": "application/json" };
  const answer = await fetched(url, { ...options, method, headers: typed, ...sent });
  if (!answer.ok) throw await problemOf(answer);
  return answer.status === 204 ? null : answer.json();
}

/** @param {string} url @param {RequestInit} options */
async function fetched(url, options) {
  try {
    return await fetch(url, { ...options, cache: "no-store" });
  } catch (error) {
    throw new Problem({ status: 0, code: "UNREACHABLE", detail: String(error) });
  }
}

/** @param {Response} answer */
async function problemOf(answer) {
  const isProblem = answer.headers.get("Content-Type")?.startsWith("application/problem+json");
  const told = isProblem ? await answer.json() : {};
  return new Problem({
    status: answer.status,
    code: told.code ?? `HTTP_${answer.status}`,
    detail: told.detail ?? told.title ?? answer.statusText,
    hint: told.hint,
    facts: told,
  });
}

/** @param {string} ref @returns {Promise<{version: string, html: string}>} the canvas as it reads; safe to show in a frame */
export function readPreview(ref) {
  return request("GET", path(ref, "/preview"));
}
