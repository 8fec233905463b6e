/**
 * What is known of the open canvas, in plain words: connection, version, length, last checkpoint, last notice.
 */

import { sequenceOf } from "./document.js";
import { byId, say } from "./element.js";
import { oncePerFrame } from "./frame.js";
import { inEachLanguage, words } from "./language.js";

/** One failed checkpoint is retried within a second; only a second one is worth a warning. */
const FAILURES_BEFORE_WARNING = 2;

/** @typedef {import("./eventstream.js").ConnectionState} ConnectionState */

export class Facts {
  /** @type {ConnectionState} */ #connection = "connecting";
  /** @type {string|null} the version that is on disk */ #checkpoint = null;
  #failures = 0;
  /** @type {() => string} */ #notice = () => "";
  #draw = oncePerFrame(() => this.#show());
  #document;

  /** @param {() => {text: string, version: string|null}} openDocument */
  constructor(openDocument) {
    this.#document = openDocument;
    inEachLanguage(() => this.#show());
  }

  forget() {
    this.#checkpoint = null;
    this.#failures = 0;
    this.notice(() => "");
  }

  /** The text or its version may have changed. */
  refresh() {
    this.#draw();
  }

  /** @param {ConnectionState} state */
  connection(state) {
    this.#connection = state;
    this.#draw();
  }

  /** Say one sentence until another replaces it. @param {() => string} sentence in the language of the moment */
  notice(sentence) {
    this.#notice = sentence;
    this.#draw();
  }

  /** @param {string} version on disk */
  checkpoint(version) {
    this.#checkpoint = version;
    this.#failures = 0;
    this.#draw();
  }

  checkpointFailed() {
    this.#failures += 1;
    this.#draw();
  }

  #show() {
    const { text, version } = this.#document();
    byId("connection").dataset.state = this.#connection;
    say(byId("connection-text"), words(`connection.${this.#connection}`));
    say(byId("version"), version === null ? "" : words("version", { seq: sequenceOf(version) }));
    byId("version").title = version ?? "";
    byId("text").setAttribute("aria-busy", String(version === null));
    say(byId("length"), version === null ? "" : words("length", { count: codePointCount(text) }));
    this.#showCheckpoint();
    say(byId("notice"), this.#notice());
  }

  #showCheckpoint() {
    const isFailing = this.#failures >= FAILURES_BEFORE_WARNING;
    const saved = this.#checkpoint === null ? "" : words("checkpoint", { seq: sequenceOf(this.#checkpoint) });
    byId("checkpoint").dataset.tone = isFailing ? "bad" : "";
    say(byId("checkpoint"), isFailing ? words("checkpoint.failing", { saved }) : saved);
  }
}

/** @param {string} text @returns {number} what a reader would call its length: a surrogate pair counts once */
function codePointCount(text) {
  let count = 0;
  for (let index = 0; index < text.length; index += 1) {
    if ((text.charCodeAt(index) & 0xfc00) !== 0xdc00) count += 1;
  }
  return count;
}
