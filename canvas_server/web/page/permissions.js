/**
 * What the reader may do with the open canvas: the least of what the token allows and what the canvas is shared for.
 */

import { Problem, readAccess } from "./api.js";
import { session } from "./session.js";

const RANK = { read: 1, write: 2, own: 3 };

/** @typedef {import("./api.js").Access} Access */

export class Permissions {
  /** @type {string|null} */ #ref = null;
  /** @type {Access|null} null: not known (yet), and then the server is the one to refuse */ #access = null;
  #changed;

  /** @param {() => void} changed other things may be allowed now */
  constructor(changed) {
    this.#changed = changed;
  }

  get canWrite() {
    return session.may("write") && this.#reaches("write");
  }

  /** To rename and to close. */
  get canKeep() {
    return session.may("manage") && this.#reaches("write");
  }

  /** To delete, and to share. */
  get canOwn() {
    return session.may("manage") && this.#reaches("own");
  }

  get canGenerate() {
    return session.may("generate");
  }

  /** Where nobody is asked who they are, there is nobody to share with. */
  get canShare() {
    return this.canOwn && session.state === "in" && this.#access !== null;
  }

  /** @param {string|null} ref null: none is open */
  open(ref) {
    this.#ref = ref;
    this.#access = null;
    this.#changed();
  }

  /** Ask the server: after each start of the stream, and when it refused something. */
  async refresh() {
    const ref = this.#ref;
    if (ref === null) return;
    try {
      const access = await readAccess(ref);
      if (ref === this.#ref) this.take(access);
    } catch (error) {
      // What was known stays: the stream tells if the canvas is out of reach.
      if (!(error instanceof Problem)) throw error;
    }
  }

  /** @param {Access} access as the server told it */
  take(access) {
    this.#access = access;
    this.#changed();
  }

  /** @param {keyof typeof RANK} level */
  #reaches(level) {
    return this.#access === null || RANK[this.#access.level] >= RANK[level];
  }
}
