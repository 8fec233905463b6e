/**
 * The page of whoever runs the server: what its status says, again every two seconds, as numbers, lines and words.
 */

import { ailmentsOf } from "./ailments.js";
import { startAccount } from "./account.js";
import { Problem, request } from "./api.js";
import { sequenceOf } from "../client/version.js";
import { byId, element, say } from "./element.js";
import { History } from "./history.js";
import { inEachLanguage, language, saidElement, startLanguage, words } from "./language.js";
import { exactMoney } from "./money.js";
import { problemText } from "./problems.js";
import { bytesText, durationText, numberText } from "./quantities.js";
import { session } from "./session.js";
import { startSignIn } from "./signin.js";
import { Sparkline } from "./sparkline.js";

const POLL_MS = 2_000;
const SPAN_S_MIN = 20;

/**
 * @typedef {{ref: string, title: string, version: string, size_bytes: number, listeners: number, unsaved_ops: number,
 *   age_s: number}} OpenCanvas
 * @typedef {{provider: string, month: number, reserved: number, input_tokens: number,
 *   output_tokens: number}} Spending
 * @typedef {import("./ailments.js").Status & {version: string, uptime_s: number, durability: string,
 *   canvases: OpenCanvas[], jobs: Record<string, number>|null, currency: string, spending: Spending[],
 *   quota_refusals: number|null}} Status
 * @typedef {{value: HTMLElement, more: HTMLElement, line: Sparkline, item: HTMLElement}} Tile
 * @typedef {[key: string, points: () => [number, number][], value: (newest: number) => string,
 *   more: (status: Status) => string]} Drawing
 */

const history = new History();
/** @type {Status|null} */
let status = null;
let readAt = new Date();
/** @type {Problem|null} why the last question was not answered */
let problem = null;
/** @type {Map<string, Tile>} */
const providers = new Map();

const perSecond = (/** @type {number} */ value) => numberText(value, language());
const seconds = (/** @type {number} */ value) => (value === 0 ? words("admin.none") : durationText(value, language()));
const bytes = (/** @type {number} */ value) => bytesText(value, language());

/** @type {Drawing[]} */
const DRAWINGS = [
  [
    "admin.tile.operations",
    () => history.rate("acks", "duplicates", "conflicts", "errors"),
    perSecond,
    ({ figures }) => words("admin.more.operations", { count: figures.acks }),
  ],
  [
    "admin.tile.conflicts",
    () => history.rate("conflicts"),
    perSecond,
    ({ figures }) => words("admin.more.conflicts", { count: figures.conflicts, errors: figures.errors }),
  ],
  [
    "admin.tile.listeners",
    () => history.gauge("listeners"),
    perSecond,
    ({ figures }) => words("admin.more.listeners", { count: figures.connections }),
  ],
  [
    "admin.tile.unsaved",
    () => history.gauge("oldest_unsaved_s"),
    seconds,
    ({ figures }) => words("admin.more.unsaved", { count: figures.unsaved_ops }),
  ],
  [
    "admin.tile.memory",
    () => history.gauge("resident_bytes"),
    bytes,
    ({ figures }) => words("admin.more.memory", { text: bytes(figures.text_bytes) }),
  ],
  [
    "admin.tile.jobs",
    () => history.gauge("jobs_running"),
    perSecond,
    ({ jobs }) => words("admin.more.jobs", { count: jobs?.queued ?? 0, failed: jobs?.failed ?? 0 }),
  ],
  ["admin.tile.lag", () => history.gauge("loop_lag_s"), seconds, () => words("admin.more.lag")],
  [
    "admin.tile.requests",
    () => history.rate("http_requests"),
    perSecond,
    ({ figures }) => words("admin.more.requests", { count: figures.http_refusals }),
  ],
];

session.start();
startSignIn();
startLanguage();
startAccount(byId("account-slot"));
const tiles = DRAWINGS.map(([key]) => tileOf(saidElement("h3", key)));
byId("admin-tiles").append(...tiles.map(({ item }) => item));
inEachLanguage(show);
await poll();

/** Ask, and ask again some time after the answer, so that a slow server is not asked faster than it answers. */
async function poll() {
  try {
    receive(await request("GET", "/api/v2/status"));
    problem = null;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    problem = error;
  }
  show();
  setTimeout(poll, POLL_MS);
}

/** @param {Status} told */
function receive(told) {
  status = told;
  readAt = new Date();
  const known = Object.entries(told.figures).filter(([, value]) => value !== null);
  const figures = Object.fromEntries(known);
  if (told.jobs !== null) figures.jobs_running = told.jobs.running;
  if (told.quota_refusals !== null) figures.quota_refusals = told.quota_refusals;
  for (const { provider, month } of told.spending) figures[costOf(provider)] = month;
  history.add(told.uptime_s, figures);
}

function show() {
  document.title = words("admin.name");
  showHealth();
  if (status === null) return;
  const time = timeText();
  const durability = words(status.durability === "journal" ? "admin.durability.journal" : "admin.durability.checkpoint");
  const uptime = durationText(status.uptime_s, language());
  byId("admin-server").textContent = words("admin.server", { version: status.version, uptime, durability, time });
  for (const [index, [, points, value, more]] of DRAWINGS.entries()) {
    draw(tiles[index], points(), value, more(status));
  }
  showMoney(status);
  showCanvases(status);
}

function showHealth() {
  const said = [];
  if (problem !== null) said.push(["bad", sentenceOfSilence(problem)]);
  else if (status !== null) {
    for (const { tone, key, values } of ailmentsOf(status, (name) => history.rise(name))) {
      said.push([tone, words(key, values)]);
    }
  }
  if (status !== null && said.every(([tone]) => tone === "note")) said.unshift(["good", words("admin.well")]);
  const region = byId("admin-health");
  // A live region is spoken each time it is written to.
  if (region.dataset.said === JSON.stringify(said)) return;
  region.dataset.said = JSON.stringify(said);
  region.replaceChildren(...said.map(([tone, sentence]) => element("p", { "data-tone": tone }, sentence)));
}

/** @param {Problem} silence */
function sentenceOfSilence(silence) {
  const told = problemText(silence);
  return status === null ? told : words("admin.silent", { problem: told, time: timeText() });
}

function timeText() {
  return new Intl.DateTimeFormat(language(), { timeStyle: "medium" }).format(readAt);
}

/** @param {HTMLElement} title @returns {Tile} */
function tileOf(title) {
  const [value, more] = [element("p", { class: "value" }), element("p", { class: "muted" })];
  const line = new Sparkline(byId("admin-spark"));
  const item = element("li", { class: "tile" }, title, value);
  item.append(line.element, more);
  return { value, more, line, item };
}

/** @param {Tile} tile @param {[number, number][]} points @param {(newest: number) => string} value @param {string} more */
function draw(tile, points, value, more) {
  const newest = points.at(-1);
  say(tile.value, newest === undefined ? "–" : value(newest[1]));
  say(tile.more, more);
  // The line begins short, and is as wide as its tile before long.
  const covered_s = newest === undefined ? 0 : newest[0] - points[0][0];
  tile.line.draw(points, Math.max(SPAN_S_MIN, covered_s));
}

/** @param {Status} shown */
function showMoney({ spending, currency, quota_refusals: refusals }) {
  for (const { provider, month, reserved, input_tokens, output_tokens } of spending) {
    const tile = providers.get(provider) ?? tileOf(element("h3", {}, provider));
    if (!providers.has(provider)) byId("admin-money").append(tile.item);
    providers.set(provider, tile);
    const held = exactMoney(reserved, currency);
    const more = words("admin.money_more", { input: input_tokens, output: output_tokens, reserved: held });
    draw(tile, history.gauge(costOf(provider)), () => exactMoney(month, currency), more);
  }
  byId("admin-money-none").hidden = spending.length > 0;
  const told = refusals === null ? words("admin.unknown") : words("admin.refusals", { count: refusals });
  byId("admin-refusals").textContent = told;
}

/** @param {Status} shown */
function showCanvases({ canvases, figures }) {
  const [count, shown] = [figures.open_canvases, canvases.length];
  byId("admin-canvases-count").textContent =
    shown < count ? words("admin.canvases_first", { count, shown }) : words("admin.canvases_count", { count });
  byId("admin-table").hidden = shown === 0;
  byId("admin-canvases-none").hidden = shown > 0;
  byId("admin-rows").replaceChildren(...canvases.map(rowOf));
}

/** @param {OpenCanvas} canvas */
function rowOf({ ref, title, version, size_bytes, listeners, unsaved_ops, age_s }) {
  const link = element("a", { href: `/#/c/${encodeURIComponent(ref)}` }, title || ref);
  const name = element("th", { scope: "row" }, link);
  if (title !== "" && title !== ref) name.append(" ", element("span", { class: "muted" }, ref));
  /** @type {[string, string][]} */
  const cells = [
    ["admin.column.version", perSecond(sequenceOf(version))],
    ["admin.column.size", bytes(size_bytes)],
    ["admin.column.listeners", perSecond(listeners)],
    ["admin.column.unsaved", perSecond(unsaved_ops)],
    ["admin.column.age", age_s === 0 ? "–" : durationText(age_s, language())],
  ];
  const shown = cells.map(([key, text]) => element("td", { class: "number", "data-column": words(key) }, text));
  return element("tr", {}, name, ...shown);
}

/** @param {string} provider */
function costOf(provider) {
  return `cost of ${provider}`;
}
