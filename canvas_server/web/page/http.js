/**
 * One request to the server, as it is sent and answered: no credentials but those given, no retries. A refusal is
 * thrown as a `Problem` (RFC 9457).
 */

/** Tells this tab apart from another of the same person: new with each load. */
export const CLIENT_ID = randomId();

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

/**
 * @param {string} url
 * @param {RequestInit} options
 * @param {string|null} token goes into the header, and nowhere else; null: none
 * @returns {Promise<Response>} an answer that is no refusal
 * @throws {Problem}
 */
export async function exchange(url, options, token) {
  const headers = new Headers(options.headers);
  if (token !== null) headers.set("Authorization", `Bearer ${token}`);
  const answer = await fetched(url, { ...options, headers });
  if (!answer.ok) throw await problemOf(answer);
  return answer;
}

/**
 * @param {string} method
 * @param {string} url
 * @param {object} [body]
 * @param {string|null} [token]
 * @returns {Promise<any>} null for an answer without a body
 */
export async function exchangeJson(method, url, body, token = null) {
  return jsonOf(await exchange(url, jsonOptions(method, body), token));
}

/** @param {string} method @param {object} [body] @returns {RequestInit} */
export function jsonOptions(method, body) {
  const spoken = document.documentElement.lang;
  const headers = { Accept: "application/json", "Accept-Language": spoken, "X-Client-Id": CLIENT_ID };
  if (body === undefined) return { method, headers };
  return { method, headers: { ...headers, "Content-Type": "application/json" }, body: JSON.stringify(body) };
}

/** @param {Response} answer @returns {Promise<any>} null when it has no body */
export async function jsonOf(answer) {
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
