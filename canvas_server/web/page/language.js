/**
 * The language of the page: French unless the reader chose English here before. `<html lang>` says which.
 *
 * Words in the HTML carry their key: `data-text` (text), `data-label` (aria-label), `data-placeholder`, `data-title`,
 * `data-empty` (what an element says while it is empty).
 */

import { element } from "./element.js";
import { MESSAGES } from "./messages.js";
import { recall, remember } from "./remembered.js";

const STORAGE_KEY = "language";
const DEFAULT_LANGUAGE = "fr";
const ATTRIBUTE_OF = { label: "aria-label", placeholder: "placeholder", title: "title", empty: "data-empty-said" };

/** @type {Set<() => void>} */
const listeners = new Set();

/** @returns {"fr"|"en"} */
export function language() {
  return document.documentElement.lang === "en" ? "en" : DEFAULT_LANGUAGE;
}

/**
 * The words for a key, with its `{names}` filled in. The number `count` chooses between singular and plural.
 *
 * @param {string} key
 * @param {Record<string, string|number>} [values] numbers are written the way of the language
 * @returns {string}
 */
export function words(key, values = {}) {
  const entry = MESSAGES[language()][key];
  if (entry === undefined) throw new Error(`no words for ${key}`);
  const pattern = typeof entry === "string" ? entry : entry[pluralOf(Number(values.count))];
  return pattern.replace(/\{(\w+)\}/g, (_, name) => written(values[name]));
}

/**
 * The words for a name that the server chose (a reason, a kind); the name itself when it is newer than this page.
 *
 * @param {string} kind
 * @param {string} name
 * @returns {string}
 */
export function wordsFor(kind, name) {
  const key = `${kind}.${name}`;
  return key in MESSAGES[language()] ? words(key) : name;
}

/**
 * An element that says its words anew in each language, like those of the HTML.
 *
 * @param {string} tag
 * @param {string} key
 * @param {Record<string, string>} [attributes]
 * @returns {HTMLElement}
 */
export function saidElement(tag, key, attributes = {}) {
  return element(tag, { ...attributes, "data-text": key }, words(key));
}

/** @param {number} unixMs @returns {string} day and time, in the reader's time zone */
export function moment(unixMs) {
  return new Intl.DateTimeFormat(language(), { dateStyle: "medium", timeStyle: "short" }).format(unixMs);
}

/** Call `listener` now and after each change of language. @param {() => void} listener */
export function inEachLanguage(listener) {
  listeners.add(listener);
  listener();
}

/** Take up the language chosen before, say the page's words in it and make its buttons work. */
export function startLanguage() {
  document.documentElement.lang = recall(STORAGE_KEY) === "en" ? "en" : DEFAULT_LANGUAGE;
  for (const button of languageButtons()) {
    button.addEventListener("click", () => choose(button.value));
  }
  inEachLanguage(sayStaticWords);
}

/** @param {string} chosen */
function choose(chosen) {
  document.documentElement.lang = chosen;
  remember(STORAGE_KEY, chosen);
  for (const listener of listeners) listener();
}

/** @returns {NodeListOf<HTMLButtonElement>} */
function languageButtons() {
  return document.querySelectorAll("button[data-language]");
}

function sayStaticWords() {
  for (const said of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-text]"))) {
    said.textContent = words(said.dataset.text ?? "");
  }
  for (const [name, attribute] of Object.entries(ATTRIBUTE_OF)) {
    for (const said of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(`[data-${name}]`))) {
      said.setAttribute(attribute, words(said.dataset[name] ?? ""));
    }
  }
  for (const button of languageButtons()) {
    button.setAttribute("aria-pressed", String(button.value === language()));
  }
}

/** @param {number} count */
function pluralOf(count) {
  return new Intl.PluralRules(language()).select(count) === "one" ? "one" : "other";
}

/** @param {string|number|undefined} value */
function written(value) {
  return typeof value === "number" ? new Intl.NumberFormat(language()).format(value) : String(value);
}
