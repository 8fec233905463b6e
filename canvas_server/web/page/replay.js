/**
 * Steps through versions by itself, in about half a minute from the first to the last; calmly where the reader wants
 * little motion.
 */

const STEPS_MAX = 250;
const STEP_MS = 120;
const CALM_STEP_MS = 2000;

/**
 * @typedef {object} ReplayObserver
 * @property {(seq: number, isCalm: boolean) => Promise<number|null>} step show this version, or in calm the end of the
 *   work that it is in: where it has come to; null: no further
 * @property {(isPlaying: boolean) => void} changed
 *
 * @typedef {{stride: number, isCalm: boolean, turn: number}} Way
 */

export class Replay {
  /** @type {ReturnType<typeof setTimeout>|null} */ #timer = null;
  #turn = 0;
  #observer;

  /** @param {ReplayObserver} observer */
  constructor(observer) {
    this.#observer = observer;
  }

  get isPlaying() {
    return this.#timer !== null;
  }

  /** @param {number} from @param {number} to */
  toggle(from, to) {
    if (this.isPlaying) return this.stop();
    const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const stride = isCalm ? 1 : Math.max(1, Math.ceil((to - from) / STEPS_MAX));
    this.#turn += 1;
    this.#wait(from, to, { stride, isCalm, turn: this.#turn }, 0);
    this.#observer.changed(true);
  }

  stop() {
    if (!this.isPlaying) return;
    this.#turn += 1;
    clearTimeout(this.#timer ?? undefined);
    this.#timer = null;
    this.#observer.changed(false);
  }

  /** @param {number} from @param {number} to @param {Way} way @param {number} waitMs */
  #wait(from, to, way, waitMs) {
    this.#timer = setTimeout(() => this.#step(from, to, way), waitMs);
  }

  /** @param {number} from @param {number} to @param {Way} way */
  async #step(from, to, way) {
    if (from >= to) return this.stop();
    const reached = await this.#observer.step(Math.min(to, from + way.stride), way.isCalm);
    if (way.turn !== this.#turn) return;
    if (reached === null) this.stop();
    else this.#wait(reached, to, way, way.isCalm ? CALM_STEP_MS : STEP_MS);
  }
}
