/**
 * What a request is refused with (RFC 9457; protocol, section 7).
 */

/** The server refused, or could not be reached (`code` is then `UNREACHABLE`, `status` 0). */
export class Problem extends Error {
  /**
   * @param {{status: number, code: string, message: string, hint?: string, retryAfterMs?: number|null,
   *   facts?: Record<string, any>}} told
   */
  constructor({ status, code, message, hint = "", retryAfterMs = null, facts = {} }) {
    super(message);
    this.name = "Problem";
    this.status = status;
    this.code = code;
    this.hint = hint;
    /** How long the server asks to wait; null: it does not say. */
    this.retryAfterMs = retryAfterMs;
    /** All that the answer said. */
    this.facts = facts;
  }
}

/** @param {unknown} error of a connection that failed, or was given up */
export function unreachable(error) {
  return new Problem({ status: 0, code: "UNREACHABLE", message: String(error) });
}

/** @param {Response} answer a refusal @returns {Promise<Problem>} */
export async function problemOf(answer) {
  const isProblem = answer.headers.get("Content-Type")?.startsWith("application/problem+json");
  const told = isProblem ? await answer.json().catch(() => ({})) : {};
  const seconds = Number(answer.headers.get("Retry-After") ?? NaN);
  return new Problem({
    status: answer.status,
    code: told.code ?? `HTTP_${answer.status}`,
    message: told.detail ?? told.title ?? answer.statusText,
    hint: told.hint,
    retryAfterMs: Number.isFinite(seconds) ? seconds * 1000 : null,
    facts: told,
  });
}
