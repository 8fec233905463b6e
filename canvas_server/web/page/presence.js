/**
 * Who is here: what others announced, until their time runs out; and this tab's own announcement, renewed.
 */

import { CLIENT_ID, Problem, announce } from "./api.js";
import { element } from "./element.js";
import { inEachLanguage, words, wordsFor } from "./language.js";
import { recall, remember } from "./remembered.js";

const TTL_MS = 60000;
const RENEW_MS = 25000;
const EXPIRE_CHECK_MS = 5000;
const NAME_KEY = "name";
const SHORT_ID_CHARS = 6;

export class Presence {
  /** @type {Map<string, {event: any, expiresAtMs: number}>} by client_id, or by actor without one */ #here = new Map();
  /** @type {string|null} the canvas announced to */ #ref = null;
  /** @type {ReturnType<typeof setInterval>[]} */ #timers = [];
  #list;
  #nameBox;
  #section;

  /**
   * @param {HTMLElement} list
   * @param {HTMLInputElement} nameBox how this person wants to be called
   * @param {() => string|null} section the heading id one is writing to
   */
  constructor(list, nameBox, section) {
    this.#list = list;
    this.#nameBox = nameBox;
    this.#section = section;
    nameBox.value = recall(NAME_KEY) ?? "";
    nameBox.addEventListener("change", () => this.#rename());
    addEventListener("pagehide", () => this.takeBack());
    inEachLanguage(() => this.#show());
  }

  /** @param {string} ref */
  open(ref) {
    this.close();
    this.#ref = ref;
    this.#timers = [setInterval(() => this.announce(), RENEW_MS), setInterval(() => this.#expire(), EXPIRE_CHECK_MS)];
  }

  /** Say that one is going. Only while the canvas is open: a word about a closed one would load it again. */
  takeBack() {
    this.#say(0);
  }

  close() {
    this.#timers.forEach(clearInterval);
    this.#timers = [];
    this.#ref = null;
    this.#here.clear();
    this.#show();
  }

  /** @param {any} event of type presence */
  receive(event) {
    this.#here.set(event.client_id ?? event.actor, { event, expiresAtMs: Date.now() + event.ttl_ms });
    this.#expire();
  }

  /** Say where one is. A hidden tab says nothing and so leaves after a minute. */
  announce() {
    if (!document.hidden) this.#say(TTL_MS);
  }

  /** @param {number} ttlMs how long that holds; 0 takes it back */
  async #say(ttlMs) {
    if (this.#ref === null) return;
    const section = this.#section();
    const name = this.#nameBox.value.trim();
    const where = { ...(section === null ? {} : { section }), ...(name === "" ? {} : { name }) };
    try {
      await announce(this.#ref, { ...where, ttl_ms: ttlMs });
    } catch (error) {
      // Nothing is lost by an announcement that fails: the next one follows, and the stream tells of the connection.
      if (!(error instanceof Problem)) throw error;
    }
  }

  #rename() {
    remember(NAME_KEY, this.#nameBox.value.trim());
    this.announce();
  }

  #expire() {
    const nowMs = Date.now();
    for (const [clientId, { expiresAtMs }] of this.#here) {
      if (expiresAtMs <= nowMs) this.#here.delete(clientId);
    }
    this.#show();
  }

  #show() {
    const lines = [...this.#here.values()].map(({ event }) => personElement(event));
    this.#list.replaceChildren(...(lines.length > 0 ? lines : [element("li", {}, words("presence.nobody"))]));
  }
}

/** @param {any} event */
function personElement({ client_id: clientId, actor, name, kind, section }) {
  const isSelf = clientId === CLIENT_ID;
  const called = name ?? [actor, (clientId ?? "").slice(0, SHORT_ID_CHARS)].filter(Boolean).join(" ");
  const person = element("li", { "data-kind": kind, class: isSelf ? "self" : "" }, called);
  if (isSelf) person.append(` (${words("presence.you")})`);
  else if (kind !== "human") person.append(` · ${wordsFor("presence", kind)}`);
  if (section !== null) person.append(" ", element("span", { class: "muted" }, `→ ${section}`));
  return person;
}
