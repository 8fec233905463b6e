/**
 * Who this tab is signed in as, and the token that says so.
 *
 * Rule: the token is in memory, in `sessionStorage`, and in the header of requests, and nowhere else. Another tab of
 * this origin gets it by asking; what is asked and answered never leaves the browser.
 */

import { Problem, exchangeJson } from "./http.js";
import { keptToken, keepToken } from "./kept.js";
import { Tabs } from "./tabs.js";

const ROOT = "/api/v2";
const LINK_BEGINS = "#t=";
/** The code of a link, and the canvas to open with it. */
const LINK = /^#t=([A-Za-z0-9_-]{1,128})(?:&c=([A-Za-z0-9][A-Za-z0-9._-]{0,127}))?$/;

/**
 * @typedef {"starting"|"in"|"out"|"open"} SessionState open: the server asks nobody for credentials
 * @typedef {{name: string, kind: string, rights: string[], canvases: string[]|null, expires_unix_ms: number|null,
 *   signed_in: boolean}} Me
 * @typedef {"none"|"link"|"expired"|"refused"|"signed_out"} Reason why one is to sign in
 */

export class Session {
  /** @type {SessionState} before `start` nothing waits: scripts outside a browser have no session */ #state = "open";
  /** @type {string|null} */ #token = null;
  /** @type {Me|null} the last one who was signed in */ #me = null;
  /** @type {Reason} */ #reason = "none";
  #isForThisTab = false;
  /** @type {Set<() => void>} */ #listeners = new Set();
  /** @type {Tabs|null} */ #tabs = null;

  get token() {
    return this.#token;
  }

  get state() {
    return this.#state;
  }

  get me() {
    return this.#me;
  }

  get reason() {
    return this.#reason;
  }

  /** Call `listener` now and whenever state or person changed. @param {() => void} listener */
  watch(listener) {
    this.#listeners.add(listener);
    listener();
  }

  /** @param {string} right @returns {boolean} false only where it is known that one may not */
  may(right) {
    return this.#me === null || this.#me.rights.includes(right);
  }

  /** Come in: by the link in the address, by what this tab kept, by another tab, or without credentials. */
  async start() {
    const code = takeCode();
    addEventListener("hashchange", (event) => this.#linkFollowed(event));
    this.#become("starting");
    this.#tabs = new Tabs({
      asked: () => (this.#state === "in" && !this.#isForThisTab ? this.#token : null),
      offered: (token) => this.#takeOffered(token),
      signedOut: (token) => this.#wasSignedOut(token),
      isWanting: () => this.#state === "out",
    });
    const kept = keptToken();
    this.#isForThisTab = kept?.isForThisTab ?? false;
    const hasCome =
      (code !== null && (await this.#comeByCode(code))) ||
      (kept !== null && (await this.#come(kept.token))) ||
      (await this.#comeBy(await this.#tabs.ask())) ||
      (await this.#come(null));
    if (!hasCome && this.#state === "starting") this.#become("out");
  }

  /** @param {string} token that was typed @param {boolean} isForThisTab no other tab may have it @throws {Problem} */
  async signIn(token, isForThisTab) {
    const me = await exchangeJson("GET", `${ROOT}/me`, undefined, token);
    this.#enter(token, me, isForThisTab);
  }

  /** The session ends on the server, and in all tabs that are in it. A token that is no session is only forgotten. */
  async signOut() {
    const token = this.#token;
    if (token === null) return;
    this.#leave("signed_out");
    this.#tabs?.tellSignedOut(token);
    try {
      await exchangeJson("DELETE", `${ROOT}/sessions`, undefined, token);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
    }
  }

  /**
   * The server does not take this token any more: whoever waits goes on when one has signed in again.
   *
   * @param {string|null} token
   * @param {Problem} problem
   */
  refused(token, problem) {
    if (token !== this.#token || this.#state === "starting") return;
    this.#leave(reasonOf(problem, token));
  }

  /**
   * Wait until one is signed in, or need not be.
   *
   * @param {AbortSignal} [signal] gives up waiting
   * @returns {Promise<string|null>} the token; null: none is needed, or the signal came
   */
  signedIn(signal) {
    return new Promise((resolve) => {
      const look = () => {
        const isOver = this.#state === "in" || this.#state === "open" || signal?.aborted === true;
        if (!isOver) return;
        this.#listeners.delete(look);
        signal?.removeEventListener("abort", look);
        resolve(this.#token);
      };
      signal?.addEventListener("abort", look);
      this.watch(look);
    });
  }

  /** A link may be opened in this very tab: the page stays, and stays where it was. @param {HashChangeEvent} event */
  async #linkFollowed(event) {
    if (!location.hash.startsWith(LINK_BEGINS)) return;
    const code = takeCode(new URL(event.oldURL).hash);
    if (location.href === event.oldURL) event.stopImmediatePropagation();
    const hasCome = code !== null && (await this.#comeByCode(code));
    if (!hasCome && this.#state === "out") this.#become("out");
  }

  /** @param {string} code */
  async #comeByCode(code) {
    try {
      const { token } = await exchangeJson("POST", `${ROOT}/sessions`, { code });
      this.#isForThisTab = false;
      return await this.#come(token);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#reason = "link";
      return false;
    }
  }

  /** @param {string|null} token of another tab */
  async #comeBy(token) {
    if (token === null) return false;
    this.#isForThisTab = false;
    return this.#come(token);
  }

  /** @param {string|null} token @returns {Promise<boolean>} whether it is good, or nothing says that it is not */
  async #come(token) {
    try {
      const me = await exchangeJson("GET", `${ROOT}/me`, undefined, token);
      // A cookie may speak for a reader without a token. It can only read: this page asks for more.
      if (token === null && me.signed_in) return false;
      this.#enter(token, me, this.#isForThisTab);
      return true;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (error.status !== 401) return this.#comeUnsure(token);
      if (this.#reason === "none") this.#reason = reasonOf(error, token);
      return false;
    }
  }

  /** The server is in trouble: whoever asks it for something hears of that. @param {string|null} token */
  #comeUnsure(token) {
    this.#token = token;
    this.#become(token === null ? "open" : "in");
    return true;
  }

  /** @param {string} token */
  async #takeOffered(token) {
    if (this.#state !== "out") return;
    this.#isForThisTab = false;
    await this.#come(token);
  }

  /** @param {string} token that was signed out in another tab */
  #wasSignedOut(token) {
    if (token === this.#token) this.#leave("signed_out");
  }

  /** @param {string|null} token @param {Me} me @param {boolean} isForThisTab */
  #enter(token, me, isForThisTab) {
    const before = this.#me;
    this.#token = me.signed_in ? token : null;
    this.#isForThisTab = isForThisTab;
    keepToken(this.#token, isForThisTab);
    if (before !== null && before.name !== me.name) {
      // What the one before had on the page, and what still waits to be sent in that name, is not for this one.
      location.reload();
      return;
    }
    this.#me = me;
    this.#reason = "none";
    this.#become(me.signed_in ? "in" : "open");
    this.#tabs?.setAnswering(me.signed_in && !isForThisTab);
  }

  /** @param {Reason} reason */
  #leave(reason) {
    this.#token = null;
    this.#reason = reason;
    keepToken(null, false);
    this.#tabs?.setAnswering(false);
    this.#become("out");
  }

  /** @param {SessionState} state */
  #become(state) {
    this.#state = state;
    for (const listener of [...this.#listeners]) listener();
  }
}

/** Of this tab. */
export const session = new Session();

/**
 * Take the code out of the address, so that neither it nor the history holds it: now, whatever comes of it.
 *
 * @param {string} [before] the fragment to go on with, where the link names no canvas
 * @returns {string|null}
 */
function takeCode(before = "") {
  const [, code = null, ref] = LINK.exec(location.hash) ?? [];
  if (location.hash.startsWith(LINK_BEGINS)) {
    const route = ref === undefined ? before : `#/c/${ref}`;
    history.replaceState(null, "", location.pathname + location.search + route);
  }
  return code;
}

/** @param {Problem} problem @param {string|null} token @returns {Reason} */
function reasonOf({ code }, token) {
  if (code === "AUTH_EXPIRED") return "expired";
  return token === null ? "none" : "refused";
}
