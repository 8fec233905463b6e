/**
 * Moments at which a connection that waits should not: the network is back, the page is looked at, the machine slept.
 */

const TICK_MS = 10_000;
const SLEPT_MS = 30_000;
/** A page that is looked at again expects a heartbeat to have come in this time. */
const SILENCE_MS = 20_000;

/**
 * @param {(silenceMs: number) => void} wake connect anew, if nothing was heard for as long
 * @returns {() => void} watches no more
 */
export function watchForWaking(wake) {
  const end = new AbortController();
  const { document, addEventListener } = globalThis;
  if (document !== undefined) {
    addEventListener("online", () => wake(0), { signal: end.signal });
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && wake(SILENCE_MS), {
      signal: end.signal,
    });
  }
  let lastMs = Date.now();
  const tick = setInterval(() => {
    const slept = Date.now() - lastMs > SLEPT_MS;
    lastMs = Date.now();
    if (slept) wake(SILENCE_MS);
  }, TICK_MS);
  if (typeof tick === "object") /** @type {{unref?: () => void}} */ (tick).unref?.();
  return () => {
    clearInterval(tick);
    end.abort();
  };
}
