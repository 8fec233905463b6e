/**
 * Requests to one server, with the credentials of one client. A refusal is thrown as a `Problem`.
 *
 * Rule: credentials that are refused are asked for anew, once for all requests that wait for them.
 */

import { Problem, problemOf, unreachable } from "./problem.js";

/** An answer that did not come in this time is not waited for. */
const ANSWER_MS = 30_000;

/**
 * @typedef {string|null|(() => Promise<string|null>|string|null)} TokenSource null: the cookie, or no credentials
 * @typedef {typeof globalThis.fetch} Fetch
 * @typedef {(problem: Problem) => void} Refused
 */

export class Http {
  /** @type {string|null|undefined} undefined: not asked for yet */ #token;
  /** @type {Promise<string|null>|null} */ #asking = null;
  #source;
  #fetch;

  /**
   * @param {{url: string, token?: TokenSource, clientId: string, fetch?: Fetch}} options
   * @param {Refused} [unauthorized] there are no better credentials
   */
  constructor({ url, token = null, clientId, fetch = globalThis.fetch }, unauthorized = () => {}) {
    this.url = url.replace(/\/+$/, "");
    this.clientId = clientId;
    this.unauthorized = unauthorized;
    this.#source = token;
    this.#fetch = fetch;
  }

  /** Whether there can be others when these are refused. */
  get canRenew() {
    return typeof this.#source === "function";
  }

  /** @returns {Promise<string|null>} the credentials as they are now */
  async token() {
    if (this.#token === undefined) this.#token = await this.#ask();
    return this.#token;
  }

  /**
   * @param {string} method
   * @param {string} path with its query
   * @param {object} [body]
   * @param {{signal?: AbortSignal, keepalive?: boolean}} [options]
   * @returns {Promise<any>} null for an answer without a body
   */
  async request(method, path, body, { signal, keepalive = false } = {}) {
    const headers = {
      Accept: "application/json",
      ...(body === undefined ? {} : { "Content-Type": "application/json" }),
    };
    const limit = AbortSignal.timeout(ANSWER_MS);
    const given = signal === undefined ? limit : AbortSignal.any([signal, limit]);
    const answer = await this.#exchange(path, {
      method,
      headers,
      body: JSON.stringify(body),
      signal: given,
      keepalive,
    });
    try {
      return answer.status === 204 ? null : await answer.json();
    } catch (error) {
      throw unreachable(error);
    }
  }

  /**
   * @param {string} path
   * @param {AbortSignal} signal
   * @returns {Promise<ReadableStream<Uint8Array<ArrayBuffer>>>} an event stream
   */
  async open(path, signal) {
    const answer = await this.#exchange(path, { headers: { Accept: "text/event-stream" }, signal });
    return /** @type {ReadableStream<Uint8Array<ArrayBuffer>>} */ (answer.body);
  }

  /** @param {string} path @param {RequestInit} options */
  async #exchange(path, options) {
    const token = await this.token();
    const answer = await this.#send(path, options, token);
    if (answer.ok) return answer;
    const problem = await problemOf(answer);
    if (problem.status !== 401) throw problem;
    if (await this.#renewed(token)) {
      const again = await this.#send(path, options, await this.token());
      if (again.ok) return again;
      throw await problemOf(again);
    }
    this.unauthorized(problem);
    throw problem;
  }

  /** @param {string} path @param {RequestInit} options @param {string|null} token */
  async #send(path, options, token) {
    const headers = new Headers(options.headers);
    headers.set("X-Client-Id", this.clientId);
    if (token !== null) headers.set("Authorization", `Bearer ${token}`);
    const fetch = this.#fetch; // called as a function: a browser's own does not work as a method of another object
    try {
      return await fetch(this.url + path, { ...options, headers, cache: "no-store" });
    } catch (error) {
      throw unreachable(error);
    }
  }

  /** @param {string|null} refused @returns {Promise<boolean>} whether there are others now */
  async #renewed(refused) {
    if (this.#token === refused) this.#token = await this.#ask();
    return this.#token !== refused;
  }

  #ask() {
    const source = this.#source;
    this.#asking ??= Promise.resolve()
      .then(() => (typeof source === "function" ? source() : source))
      .catch((error) => {
        throw error instanceof Problem ? error : unreachable(error);
      })
      .finally(() => (this.#asking = null));
    return this.#asking;
  }
}

/** @param {string} ref @param {string} [rest] @returns {string} */
export function canvasPath(ref, rest = "") {
  return `/api/v2/canvas/${encodeURIComponent(ref)}${rest}`;
}
