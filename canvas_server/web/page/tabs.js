/**
 * The tabs of this origin among themselves: a new one asks whether another is signed in, and one that signs out says so.
 *
 * Rule: a token is told only in answer to a question. A `BroadcastChannel` reaches this origin, port included, and no
 * other page.
 */

const NAME = "canvas.session";
/** An open tab answers within some milliseconds; one that the browser put to sleep not at all. */
const ANSWER_MS_MAX = 1000;
/** Where it cannot be known whether anybody is there to answer. */
const GUESS_MS_MAX = 150;

/**
 * @typedef {object} TabObserver
 * @property {() => string|null} asked the token to tell; null: none
 * @property {(token: string) => void} offered
 * @property {(token: string) => void} signedOut
 * @property {() => boolean} isWanting whether this tab would take a token now
 */

export class Tabs {
  #channel = new BroadcastChannel(NAME);
  /** @type {((token: string) => void)|null} whoever waits for an answer */ #answered = null;
  /** @type {(() => void)|null} lets the lock go */ #unlock = null;
  #observer;

  /** @param {TabObserver} observer */
  constructor(observer) {
    this.#observer = observer;
    this.#channel.onmessage = ({ data }) => this.#receive(data);
  }

  /** @returns {Promise<string|null>} the token of another tab; null: nobody has one */
  async ask() {
    const waitMs = await this.#patience();
    if (waitMs === 0) return null;
    return new Promise((resolve) => {
      this.#answered = resolve;
      this.#channel.postMessage({ type: "who" });
      setTimeout(() => resolve(null), waitMs);
    });
  }

  /** @param {boolean} isAnswering whether this tab has a token for others: those who have none may ask now */
  setAnswering(isAnswering) {
    if (isAnswering) this.#lock();
    else this.#unlock?.();
    if (isAnswering) this.#channel.postMessage({ type: "signed_in" });
  }

  /** @param {string} token the one that is good for nothing any more */
  tellSignedOut(token) {
    this.#channel.postMessage({ type: "signed_out", token });
  }

  /** @param {any} message */
  #receive({ type, token }) {
    if (type === "who") this.#answer();
    if (type === "signed_in" && this.#observer.isWanting()) this.#channel.postMessage({ type: "who" });
    if (type === "signed_out") this.#observer.signedOut(token);
    if (type === "session") this.#take(token);
  }

  #answer() {
    const token = this.#observer.asked();
    if (token !== null) this.#channel.postMessage({ type: "session", token });
  }

  /** @param {string} token */
  #take(token) {
    const answered = this.#answered;
    this.#answered = null;
    if (answered !== null) answered(token);
    else this.#observer.offered(token);
  }

  /** A lock that each signed-in tab shares tells a new one whether to wait for an answer at all. */
  #lock() {
    if (this.#unlock !== null || navigator.locks === undefined) return;
    const released = new Promise((resolve) => {
      this.#unlock = () => {
        this.#unlock = null;
        resolve(undefined);
      };
    });
    navigator.locks.request(NAME, { mode: "shared" }, () => released);
  }

  /** @returns {Promise<number>} how long to wait for an answer; 0: nobody is there to give one */
  async #patience() {
    if (navigator.locks === undefined) return GUESS_MS_MAX;
    const { held = [] } = await navigator.locks.query();
    return held.some(({ name }) => name === NAME) ? ANSWER_MS_MAX : 0;
  }
}
