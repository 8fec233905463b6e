/**
 * Who is here, and where: what others announced, until their time runs out; and this tab's own announcement.
 */

import { CLIENT_ID, Problem, announce } from "./api.js";
import { element } from "./element.js";
import { inEachLanguage, words, wordsFor } from "./language.js";
import { lookOf } from "./looks.js";
import { recall, remember } from "./remembered.js";

const TTL_MS = 60000;
const EXPIRE_CHECK_MS = 1000;
/** Where the cursor goes is told at most this often. */
const MOVED_EVERY_MS = 300;
/** The others move it themselves with what was written before it: told for those who come later. */
const SHIFTED_EVERY_MS = 3000;
const NAME_KEY = "name";
const SHORT_ID_CHARS = 6;
const SECTION_CHARS_MAX = 200;

/**
 * @typedef {import("./editor.js").Peer} Peer
 * @typedef {{cursor: number|null, selection: {from: number, to: number}|null, section: string|null}} Place
 * @typedef {{type: string, client_id: string|null, actor: string, kind: string, name: string|null, section: string|null,
 *   cursor: number|null, selection: {from: number, to: number}|null, ttl_ms: number}} PresenceEvent
 * @typedef {object} PresenceObserver
 * @property {() => Place} place where this reader is
 * @property {(told: object) => void} say tell the others
 * @property {(peer: Peer) => void} put somebody's cursor is there
 * @property {(id: string) => void} removed
 */

export class Presence {
  /** @type {Map<string, {event: PresenceEvent, expiresAtMs: number}>} by client_id, or by actor without one */ #here = new Map();
  /** @type {string|null} the canvas announced to */ #ref = null;
  /** @type {ReturnType<typeof setInterval>|undefined} */ #expiring;
  /** @type {ReturnType<typeof setTimeout>|null} */ #moving = null;
  #isMovingSoon = false;
  #said = "";
  #list;
  #nameBox;
  #observer;

  /**
   * @param {HTMLElement} list
   * @param {HTMLInputElement} nameBox how this person wants to be called
   * @param {PresenceObserver} observer
   */
  constructor(list, nameBox, observer) {
    this.#list = list;
    this.#nameBox = nameBox;
    this.#observer = observer;
    nameBox.value = recall(NAME_KEY) ?? "";
    nameBox.addEventListener("change", () => this.#rename());
    addEventListener("pagehide", () => this.#takeBack());
    addEventListener("pageshow", () => this.announce());
    inEachLanguage(() => this.#show());
  }

  /** @param {string} ref */
  open(ref) {
    this.close();
    this.#ref = ref;
    this.#expiring = setInterval(() => this.#expire(), EXPIRE_CHECK_MS);
  }

  close() {
    clearInterval(this.#expiring);
    clearTimeout(this.#moving ?? undefined);
    this.#moving = null;
    this.#isMovingSoon = false;
    this.#said = "";
    this.#ref = null;
    for (const id of this.#here.keys()) this.#observer.removed(id);
    this.#here.clear();
    this.#show();
  }

  /** @param {PresenceEvent} event */
  receive(event) {
    const id = event.client_id ?? event.actor;
    this.#here.set(id, { event, expiresAtMs: Date.now() + event.ttl_ms });
    if (event.client_id !== CLIENT_ID) this.#point(id, event);
    this.#expire();
    this.#show();
  }

  /** Say where one is: that is renewed until something else is said. */
  announce() {
    if (this.#ref === null) return;
    const told = this.#told();
    this.#said = JSON.stringify(told);
    this.#observer.say({ ...told, ttl_ms: TTL_MS });
  }

  /** The cursor may be elsewhere: soon to be told, if it is. @param {boolean} isOwn the reader moved it */
  moved(isOwn) {
    if (this.#ref === null || (this.#moving !== null && !isOwn) || this.#isMovingSoon) return;
    clearTimeout(this.#moving ?? undefined);
    this.#isMovingSoon = isOwn;
    this.#moving = setTimeout(() => this.#tellMove(), isOwn ? MOVED_EVERY_MS : SHIFTED_EVERY_MS);
  }

  #tellMove() {
    this.#moving = null;
    this.#isMovingSoon = false;
    if (JSON.stringify(this.#told()) !== this.#said) this.announce();
  }

  /** The page is being left. Only while the canvas is open: a word about a closed one would load it again. */
  async #takeBack() {
    if (this.#ref === null) return;
    try {
      await announce(this.#ref, { ttl_ms: 0 });
    } catch (error) {
      // The others are told by the clock.
      if (!(error instanceof Problem)) throw error;
    }
  }

  #told() {
    const name = this.#nameBox.value.trim();
    const { cursor, selection, section } = this.#observer.place();
    return {
      ...(cursor === null ? {} : { cursor }),
      ...(selection === null ? {} : { selection }),
      ...(section ? { section: section.slice(0, SECTION_CHARS_MAX) } : {}),
      ...(name === "" ? {} : { name }),
    };
  }

  #rename() {
    remember(NAME_KEY, this.#nameBox.value.trim());
    this.announce();
  }

  /** @param {string} id @param {PresenceEvent} event */
  #point(id, { cursor, selection, kind, ttl_ms: ttlMs, ...event }) {
    const head = cursor ?? selection?.to;
    if (head === undefined || ttlMs <= 0) {
      this.#observer.removed(id);
      return;
    }
    const anchor = selection === null || selection === undefined ? head : selection.from === head ? selection.to : selection.from;
    this.#observer.put({ id, name: this.#calledOf(event), look: lookOf(id, kind), anchor, head });
  }

  /** An account that is here more than once is told apart by more. @param {Pick<PresenceEvent, "name"|"actor"|"client_id">} event */
  #calledOf({ client_id: clientId, actor, name }) {
    if (name !== null) return name;
    const isAlone = ![...this.#here.values()].some(
      ({ event }) => event.name === null && event.actor === actor && ![clientId, CLIENT_ID].includes(event.client_id),
    );
    return isAlone && actor ? actor : [actor, (clientId ?? "").slice(0, SHORT_ID_CHARS)].filter(Boolean).join(" ");
  }

  #expire() {
    const nowMs = Date.now();
    let isOther = false;
    for (const [id, { expiresAtMs }] of this.#here) {
      if (expiresAtMs > nowMs) continue;
      this.#here.delete(id);
      this.#observer.removed(id);
      isOther = true;
    }
    if (isOther) this.#show();
  }

  #show() {
    const lines = [...this.#here].map(([id, { event }]) => personElement(id, event, this.#calledOf(event)));
    this.#list.replaceChildren(...(lines.length > 0 ? lines : [element("li", {}, words("presence.nobody"))]));
  }
}

/** @param {string} id @param {PresenceEvent} event @param {string} name */
function personElement(id, event, name) {
  const { client_id: clientId, kind, section } = event;
  const isSelf = clientId === CLIENT_ID;
  const look = isSelf ? "self" : lookOf(id, kind);
  const person = element("li", { "data-kind": kind, class: look }, name);
  if (isSelf) person.append(` (${words("presence.you")})`);
  else if (kind !== "human") person.append(` · ${wordsFor("presence", kind)}`);
  person.title = [person.textContent, section].filter(Boolean).join(" → ");
  if (section !== null) person.append(" ", element("span", { class: "muted" }, `→ ${section}`));
  return person;
}
