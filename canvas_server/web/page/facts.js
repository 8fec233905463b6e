/**
 * What is known of the open canvas, in plain words: connection, what is saved, length, version, last notice, and what
 * keeps the reader's writing from arriving.
 */

import { sequenceOf } from "../client/version.js";
import { byId, say } from "./element.js";
import { oncePerFrame } from "./frame.js";
import { inEachLanguage, words, wordsFor } from "./language.js";

/** One failed checkpoint is retried within a second; only a second one is worth a warning. */
const FAILURES_BEFORE_WARNING = 2;
const MENTIONED_MS = 8000;

/**
 * @typedef {"connecting"|"open"|"reconnecting"|"closed"} Connection
 * @typedef {{code: string, message: string, hint: string}} Trouble
 * @typedef {{text: string, version: string|null, connection: Connection, pendingCount: number, isSaved: boolean,
 *   problem: Trouble|null}} Known
 */

/** What the page calls the states of a session. */
const CONNECTIONS = /** @type {Record<string, Connection>} */ ({
  loading: "connecting",
  live: "open",
  offline: "reconnecting",
  "catching-up": "reconnecting",
  ended: "closed",
});

/** @type {Known} */
const NOTHING_KNOWN = {
  text: "",
  version: null,
  connection: "connecting",
  pendingCount: 0,
  isSaved: true,
  problem: null,
};

/** @param {import("../client/session.js").CanvasSession|null} canvas @returns {Known} */
export function knownOf(canvas) {
  if (canvas === null) return NOTHING_KNOWN;
  const { text, version, pendingCount, isSaved, problem, state } = canvas;
  // A stream that is cut without a word is missed after its heartbeats only: the browser knows before.
  const connection = state === "live" && !navigator.onLine ? "reconnecting" : CONNECTIONS[state];
  return { text, version: version || null, connection, pendingCount, isSaved, problem };
}

export class Facts {
  #failures = 0;
  /** @type {() => string} */ #notice = () => "";
  #draw = oncePerFrame(() => this.#show());
  #known;

  /** @param {() => Known} known @param {() => void} retry what is blocked */
  constructor(known, retry) {
    this.#known = known;
    byId("problem-retry").addEventListener("click", retry);
    inEachLanguage(() => this.#show());
  }

  forget() {
    this.#failures = 0;
    this.notice(() => "");
  }

  /** Something that is shown may have changed. */
  refresh() {
    this.#draw();
  }

  /** Say one sentence until another replaces it. @param {() => string} sentence in the language of the moment */
  notice(sentence) {
    this.#notice = sentence;
    this.#draw();
  }

  /** Say what went well, and let the text have its room again. @param {() => string} sentence */
  mention(sentence) {
    this.notice(sentence);
    setTimeout(() => this.#notice === sentence && this.notice(() => ""), MENTIONED_MS);
  }

  /** @param {boolean} hasFailed */
  checkpoint(hasFailed) {
    this.#failures = hasFailed ? this.#failures + 1 : 0;
    this.#draw();
  }

  #show() {
    const known = this.#known();
    const { text, version, connection, problem } = known;
    byId("connection").dataset.state = connection;
    say(byId("connection-text"), words(`connection.${connection}`));
    say(byId("version"), version === null ? "" : words("version", { seq: sequenceOf(version) }));
    byId("version").title = version ?? "";
    say(byId("length"), version === null ? "" : words("length", { count: codePointCount(text) }));
    this.#showSaving(known);
    showTrouble(problem);
    say(byId("notice"), this.#notice());
  }

  /** @param {Known} known */
  #showSaving(known) {
    const { key, count, tone } = this.#savingOf(known);
    byId("saving").dataset.tone = tone;
    say(byId("saving"), key === null ? "" : words(key, { count }));
  }

  /** @param {Known} known @returns {{key: string|null, count: number, tone: string}} */
  #savingOf({ version, connection, pendingCount, isSaved }) {
    const count = pendingCount;
    if (version === null || connection === "closed") return { key: null, count, tone: "" };
    if (this.#failures >= FAILURES_BEFORE_WARNING) return { key: "saving.failing", count, tone: "bad" };
    if (connection !== "open") return { key: count > 0 ? "saving.waiting" : null, count, tone: "warning" };
    return isSaved ? { key: "saving.done", count, tone: "good" } : { key: "saving.busy", count, tone: "" };
  }
}

/** @param {Trouble|null} problem */
function showTrouble(problem) {
  byId("problem").hidden = problem === null;
  if (problem === null) return;
  const told = wordsFor("problem", problem.code);
  say(byId("problem-text"), told === problem.code ? problem.message : told);
  byId("problem-text").lang = told === problem.code ? "en" : "";
  say(byId("problem-hint"), problem.hint);
}

/** @param {string} text @returns {number} what a reader would call its length: a surrogate pair counts once */
function codePointCount(text) {
  let count = 0;
  for (let index = 0; index < text.length; index += 1) {
    if ((text.charCodeAt(index) & 0xfc00) !== 0xdc00) count += 1;
  }
  return count;
}
