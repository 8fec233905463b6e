/**
 * Who writes, by the name a reader knows: people, agents and models; and in which colour each is shown.
 *
 * Rule: with credentials an actor is a name that the server vouches for. Without, all are the same actor, and the name
 * that a tab announced is all there is.
 */

import { CLIENT_ID } from "./api.js";
import { words } from "./language.js";
import { recall, remember } from "./remembered.js";
import { session } from "./session.js";

const TABS_KEY = "tabs";
/** So many loads of the page in this browser are known to be one's own. */
const TABS_MAX = 100;
/** So many colours there are besides one's own; then they come again. */
export const LOOKS = 8;

/**
 * @typedef {{actor: string|null, kind: string, clientId: string|null, meta?: Record<string, string>|null}} Written
 * @typedef {{key: string, name: string, kind: string, look: string}} Writer look: classes of history.css
 */

export class Writers {
  /** @type {Map<string, string>} names that were announced, by client_id */ #announced = new Map();
  /** @type {Map<string, string>} by job */ #models = new Map();
  /** @type {Map<string, number>} by key */ #looks = new Map();
  #ownIds = ownIds();

  /** @param {any} event of type presence @returns {boolean} whether somebody is called otherwise now */
  hear({ client_id: clientId, name }) {
    if (!clientId || !name || this.#announced.get(clientId) === name) return false;
    this.#announced.set(clientId, name);
    return true;
  }

  /** @param {Written} written @returns {Writer} */
  of(written) {
    const { key, name } = this.#named(written);
    const { kind } = written;
    const sign = kind === "agent" || kind === "job" ? ` author-${kind}` : "";
    return { key, name, kind, look: `author-${this.#lookOf(key)}${sign}` };
  }

  /** @param {Written} written */
  #named({ actor, kind, clientId, meta }) {
    if (actor === null) return { key: "unknown", name: words("author.unknown") };
    if (kind === "job") return this.#jobNamed(actor, meta?.model);
    if (this.#isOwn(actor, clientId)) return { key: "own", name: words("author.own") };
    if (kind === "agent") return { key: `agent ${actor}`, name: words("author.agent", { name: actor }) };
    if (session.state === "in") return { key: actor, name: actor };
    const announced = this.#announced.get(clientId ?? "");
    if (announced === undefined) return { key: "nameless", name: words("author.nameless") };
    return { key: `called ${announced}`, name: announced };
  }

  /** @param {string} actor @param {string} [told] its model, where the operation says so */
  #jobNamed(actor, told) {
    const model = told ?? this.#models.get(actor);
    if (model === undefined) return { key: "job", name: words("author.job") };
    this.#models.set(actor, model);
    return { key: `job ${model}`, name: words("author.job_of", { model }) };
  }

  /** @param {string} actor @param {string|null} clientId */
  #isOwn(actor, clientId) {
    if (session.state === "in") return actor === session.me?.name;
    return clientId !== null && this.#ownIds.has(clientId);
  }

  /** @param {string} key */
  #lookOf(key) {
    if (key === "unknown" || key === "own") return key;
    const look = this.#looks.get(key) ?? this.#looks.size % LOOKS;
    this.#looks.set(key, look);
    return look + 1;
  }
}

/** Where nobody is asked who they are, what this browser wrote before is known by the ids of its loads. */
function ownIds() {
  const ids = [...(recall(TABS_KEY) ?? "").split(" "), CLIENT_ID].filter(Boolean).slice(-TABS_MAX);
  remember(TABS_KEY, ids.join(" "));
  return new Set(ids);
}
