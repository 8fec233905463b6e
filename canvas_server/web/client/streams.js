/**
 * Ways to read an event stream, as frames in order, until it ends.
 */

import { Problem, unreachable } from "./problem.js";
import { EventStreamParser } from "./sse.js";

/**
 * @typedef {import("./http.js").Http} Http
 * @typedef {{data: string|null, id: string, retryMs: number|null}} Frame `data` null: only something was heard
 */

/**
 * Whether a stream can be read by `fetch` here; where not, by `EventSource`.
 *
 * @param {object} [scope] what the browser has
 * @returns {"fetch"|"eventsource"}
 */
export function transportOf(scope = globalThis) {
  return "TextDecoderStream" in scope && "ReadableStream" in scope ? "fetch" : "eventsource";
}

/**
 * By `fetch`.
 *
 * @param {Http} http
 * @param {string} path
 * @param {readonly string[]} refs
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<Frame>}
 * @throws {Problem} it was refused, broke, or was given up
 */
export async function* fetchFrames(http, path, refs, signal) {
  const body = await http.open(path, signal);
  const parser = new EventStreamParser();
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      const events = parser.push(read.value);
      yield { data: null, id: "", retryMs: parser.retryMs };
      for (const { id, data } of events) yield { data, id, retryMs: null };
    }
  } catch (error) {
    throw error instanceof Problem ? error : unreachable(error);
  }
}

/**
 * By `EventSource`, where a stream cannot be read by `fetch`. Credentials make a ticket; without any the cookie is sent.
 *
 * @param {Http} http
 * @param {string} path
 * @param {readonly string[]} refs
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<Frame>}
 * @throws {Problem} it was refused, broke, or was given up
 */
export async function* eventSourceFrames(http, path, refs, signal) {
  const ticket =
    (await http.token()) === null ? null : (await http.request("POST", "/api/v2/tickets", { refs })).ticket;
  const source = new EventSource(`${http.url}${path}${ticket === null ? "" : `&ticket=${ticket}`}`, {
    withCredentials: true,
  });
  /** @type {Frame[]} */
  const heard = [];
  let tell = () => {};
  let isOver = false;
  source.onmessage = ({ data, lastEventId: id }) => {
    heard.push({ data, id, retryMs: null });
    tell();
  };
  const end = () => {
    isOver = true;
    tell();
  };
  source.onerror = end;
  signal.addEventListener("abort", end);
  try {
    while (!isOver || heard.length > 0) {
      const frame = heard.shift();
      if (frame !== undefined) yield frame;
      else await new Promise((resolve) => (tell = () => resolve(undefined)));
    }
    throw unreachable("the event source ended");
  } finally {
    source.close();
  }
}
