/**
 * What is not well with the server, from what its status says; in the order in which somebody should look at it.
 */

const LAG_S = 0.1;

/**
 * @typedef {{ready: boolean, reasons: string[], store_ready: boolean, jobs: object|null, ephemeral: boolean,
 *   figures: Record<string, number>}} Status
 * @typedef {{tone: "bad"|"warning"|"note", key: string, values: Record<string, number|string>}} Ailment
 *   `key` is one of the catalogue; a reason that is not known here is told as the server says it, under `admin.other`
 */

/**
 * @param {Status} status
 * @param {(name: string) => number} rise by how much a counter rose in the last minutes
 * @returns {Ailment[]}
 */
export function ailmentsOf(status, rise) {
  const { figures } = status;
  /** @type {Ailment[]} */
  const found = [];
  /** @type {(isSo: boolean, tone: Ailment["tone"], key: string, values?: Ailment["values"]) => void} */
  const tell = (isSo, tone, key, values = {}) => {
    if (isSo) found.push({ tone, key, values });
  };
  const failing = figures.failing_canvases;
  tell(!status.store_ready, "bad", "admin.ill.store");
  tell(failing > 0, "bad", "admin.ill.failing", { count: failing });
  tell(!status.ready && found.length === 0, "bad", "admin.ill.other", { reasons: status.reasons.join("; ") });
  tell(status.jobs === null, "bad", "admin.ill.unread");
  tell(figures.loop_lag_s > LAG_S, "warning", "admin.ill.lag", { ms: Math.round(figures.loop_lag_s * 1000) });
  const failures = rise("checkpoint_failures");
  tell(failures > 0 && failing === 0, "warning", "admin.ill.failures", { count: failures });
  const refused = rise("quota_refusals");
  tell(refused > 0, "warning", "admin.ill.quota", { count: refused });
  tell(status.ephemeral, "note", "admin.ill.ephemeral");
  return found;
}
