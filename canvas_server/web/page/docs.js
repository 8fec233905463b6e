/**
 * The page of the API: what `/openapi.json` says, operation by operation, with a search and a command to copy.
 */

import { Problem, readDescription } from "./api.js";
import { startAccount } from "./account.js";
import { byId, element } from "./element.js";
import { inEachLanguage, saidElement, startLanguage, words } from "./language.js";
import { curlOf, groupedByTag, matches, operationsOf } from "./openapi.js";
import { problemText } from "./problems.js";
import { API_LANGUAGE, fieldElement, prose, schemaElement } from "./schema.js";
import { session } from "./session.js";
import { startSignIn } from "./signin.js";

const COPIED_MS = 1500;
const FILE_NAME = "openapi.json";

/**
 * @typedef {import("./openapi.js").Node} Node
 * @typedef {import("./openapi.js").Operation} Operation
 * @typedef {import("./openapi.js").Media} Media
 * @typedef {{operation: Operation, article: HTMLDetailsElement, link: HTMLElement}} Entry
 */

/** @type {Entry[]} */
let entries = [];
const search = /** @type {HTMLInputElement} */ (byId("docs-search"));

session.start();
startSignIn();
startLanguage();
startAccount(byId("account-slot"));
search.addEventListener("input", filter);
byId("skip").addEventListener("click", skipToMain);
addEventListener("hashchange", openAddressed);
await start();

async function start() {
  inEachLanguage(() => (document.title = words("docs.name")));
  try {
    const description = await readDescription();
    show(description);
    byId("docs-raw").addEventListener("click", (event) => saveIfSignedIn(event, description));
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    byId("docs-status").textContent = problemText(error);
    return;
  }
  inEachLanguage(filter);
  openAddressed();
}

/** @param {Node} root */
function show(root) {
  byId("docs-version").textContent = `${root.info?.title ?? ""} ${root.info?.version ?? ""}`;
  byId("docs-about").replaceChildren(prose(root.info?.description ?? ""));
  const operations = operationsOf(root);
  entries = operations.map((operation) => ({
    operation,
    article: articleOf(root, operation),
    link: linkTo(operation),
  }));
  for (const group of groupedByTag(root, operations)) {
    const own = entries.filter(({ operation }) => operation.tag === group.tag);
    byId("docs-nav").append(section(group.tag, [element("ul", {}, ...own.map(({ link }) => link))]));
    byId("docs-list").append(section(group.tag, [prose(group.description), ...own.map(({ article }) => article)]));
  }
}

/** @param {string} tag @param {(HTMLElement|DocumentFragment)[]} children */
function section(tag, children) {
  const title = tag === "" ? saidElement("h2", "docs.other") : element("h2", { lang: API_LANGUAGE }, tag);
  return element("section", { class: "group" }, title, ...children);
}

/** @param {Operation} operation */
function anchorOf({ id }) {
  return `operation/${id}`;
}

/** @param {Operation} operation */
function linkTo(operation) {
  const { method, path, summary } = operation;
  const link = element(
    "a",
    { href: `#${anchorOf(operation)}`, title: summary },
    badge(method),
    element("span", {}, path),
  );
  return element("li", {}, link);
}

/** @param {string} method */
function badge(method) {
  return element("span", { class: "method", "data-method": method }, method);
}

/** Built when it is first opened. @param {Node} root @param {Operation} operation @returns {HTMLDetailsElement} */
function articleOf(root, operation) {
  const { method, path, summary, deprecated } = operation;
  const title = element("summary", {}, badge(method), element("code", { class: "path" }, path), " ");
  title.append(element("span", { lang: API_LANGUAGE }, summary));
  if (deprecated) title.append(" ", saidElement("span", "docs.deprecated", { class: "required" }));
  const article = element("details", { class: "operation", id: anchorOf(operation) }, title);
  article.addEventListener("toggle", () => article.append(detailsOf(root, operation)), { once: true });
  return /** @type {HTMLDetailsElement} */ (article);
}

/** @param {Node} root @param {Operation} operation */
function detailsOf(root, operation) {
  const { parameters, body, answers } = operation;
  const shown = element("div", { class: "operation-body" }, prose(operation.description));
  if (parameters.length > 0) shown.append(saidElement("h3", "docs.parameters"), parameterList(root, parameters));
  if (body !== null) shown.append(saidElement("h3", "docs.body"), prose(body.description), mediaList(root, body.media));
  shown.append(saidElement("h3", "docs.answers"), ...answers.map((answer) => answerElement(root, answer)));
  shown.append(saidElement("h3", "docs.example"), command(curlOf(root, operation, location.origin)));
  return shown;
}

/** @param {Node} root @param {import("./openapi.js").Parameter[]} parameters */
function parameterList(root, parameters) {
  const lines = parameters.map(({ name, place, required, schema, description }) => {
    const field = { name: `${name} (${place})`, schema: { ...schema, description }, required };
    return element("li", {}, fieldElement(root, field));
  });
  return element("ul", { class: "fields" }, ...lines);
}

/** @param {Node} root @param {Media[]} media */
function mediaList(root, media) {
  const shown = media.map(({ type, schema }) =>
    element("div", { class: "media" }, element("code", { class: "media-type" }, type), schemaElement(root, schema)),
  );
  return element("div", {}, ...shown);
}

/** @param {Node} root @param {import("./openapi.js").Answer} answer */
function answerElement(root, { status, description, media }) {
  const line = [
    element("strong", { class: "answer-status" }, status),
    " ",
    element("span", { lang: API_LANGUAGE }, description),
  ];
  if (media.length === 0) return element("p", { class: "answer" }, ...line);
  const inside = element("details", { class: "answer" }, element("summary", {}, ...line));
  inside.addEventListener("toggle", () => inside.append(mediaList(root, media)), { once: true });
  return inside;
}

/** @param {string} text */
function command(text) {
  const shown = element("div", { class: "command" }, element("pre", { tabindex: "0" }, text));
  // The clipboard exists on https and loopback only.
  if (navigator.clipboard !== undefined) shown.append(copyButton(text));
  return shown;
}

/** @param {string} text */
function copyButton(text) {
  const button = saidElement("button", "docs.copy", { type: "button" });
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    say(button, "docs.copied");
    setTimeout(() => say(button, "docs.copy"), COPIED_MS);
  });
  return button;
}

/** @param {HTMLElement} said @param {string} key */
function say(said, key) {
  said.dataset.text = key;
  said.textContent = words(key);
}

function filter() {
  for (const { operation, article, link } of entries) {
    const isHidden = !matches(operation, search.value);
    article.hidden = isHidden;
    link.hidden = isHidden;
  }
  for (const group of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(".group"))) {
    group.hidden = group.querySelector("details.operation:not([hidden]), li:not([hidden])") === null;
  }
  const count = entries.filter(({ article }) => !article.hidden).length;
  byId("docs-status").textContent = count === 0 ? words("docs.none") : words("docs.count", { count });
}

/** A link cannot carry credentials: who needs some gets the document as it was read. @param {Event} event @param {Node} description */
function saveIfSignedIn(event, description) {
  if (session.token === null) return;
  event.preventDefault();
  const address = URL.createObjectURL(new Blob([JSON.stringify(description)], { type: "application/json" }));
  element("a", { href: address, download: FILE_NAME }).click();
  setTimeout(() => URL.revokeObjectURL(address), COPIED_MS);
}

function openAddressed() {
  const anchor = decodeURIComponent(location.hash.slice(1));
  const entry = entries.find(({ operation }) => anchorOf(operation) === anchor);
  if (entry === undefined) return;
  entry.article.open = true;
  entry.article.scrollIntoView();
  entry.article.querySelector("summary")?.focus({ preventScroll: true });
}

/** The address names an operation: the skip link leaves it as it is. @param {Event} event */
function skipToMain(event) {
  event.preventDefault();
  byId("main").focus();
}
