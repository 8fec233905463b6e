/**
 * Operations (protocol, section 3): how edits become those of a request, and how one is told again.
 */

import { ChangeSet, isHigh, isLow } from "./changeset.js";

/**
 * @typedef {import("./changeset.js").Spot} Spot
 * @typedef {Record<string, any> & {op_id: string, client_version?: string}} Operation as it is sent
 * @typedef {{ops: number, units: number}} RequestLimits how many operations, and UTF-16 units of text in all of them
 */

const OPS_MAX = 100;
const UNITS_MAX = 65_536;
/** Of a unit in UTF-8, and in JSON with as much again for all that is around it. */
const BYTES_OF_UNIT = 3;
const JSON_BYTES_OF_UNIT = 12;

/** @param {Record<string, number>} [told] the limits of a `start` event @returns {RequestLimits} */
export function requestLimits(told = {}) {
  const { ops_max: ops = OPS_MAX, content_bytes_max: content = Infinity, body_bytes_max: body = Infinity } = told;
  const units = Math.min(UNITS_MAX, Math.floor(content / BYTES_OF_UNIT), Math.floor(body / JSON_BYTES_OF_UNIT));
  return { ops: Math.min(OPS_MAX, ops), units: Math.max(units, 2) };
}

/**
 * What one spot asks of a version.
 *
 * @param {Spot} spot in its coordinates
 * @param {string} version
 * @param {string} opId
 * @returns {Operation}
 */
export function operationOf({ from, to, insert }, version, opId) {
  const action = from === to ? "insert" : insert === "" ? "delete" : "replace";
  const position = from === to ? { mode: "offset", offset: from } : { mode: "range", from, to };
  return {
    op_id: opId,
    client_version: version,
    scope: "range",
    action,
    target: { type: "position", position },
    ...(action === "delete" ? {} : { content: insert }),
  };
}

/**
 * The first part of a set that one request can carry.
 *
 * @param {ChangeSet} set
 * @param {string} text that it is made for
 * @param {RequestLimits} limits
 * @returns {{spots: Spot[], rest: ChangeSet}} spots that change something, trimmed, in coordinates of `text`; the rest comes after them
 */
export function firstRequest(set, text, { ops, units }) {
  const spots = set.spots
    .map((spot) => trimmed(spot, text))
    .filter(({ from, to, insert }) => from < to || insert !== "");
  const first = [];
  let room = units;
  while (spots.length > 0 && first.length < ops && room > 0) {
    const { from, to, insert } = spots[0];
    const end = insert.length <= room ? insert.length : cutBefore(insert, room);
    if (end === 0 && insert !== "") break;
    first.push({ from, to, insert: insert.slice(0, end) });
    room -= end;
    if (end < insert.length) spots[0] = { from: to, to, insert: insert.slice(end) };
    else spots.shift();
  }
  const shift = new ChangeSet(first).growth;
  return {
    spots: first,
    rest: new ChangeSet(spots.map(({ from, to, insert }) => ({ from: from + shift, to: to + shift, insert }))),
  };
}

/** Without what it leaves as it is at both ends. @param {Spot} spot @param {string} text @returns {Spot} */
function trimmed({ from, to, insert }, text) {
  let start = 0;
  const most = Math.min(to - from, insert.length);
  while (start < most && text.charCodeAt(from + start) === insert.charCodeAt(start)) start += 1;
  if (start > 0 && isHigh(insert.charCodeAt(start - 1))) start -= 1;
  let end = 0;
  while (end < most - start && text.charCodeAt(to - 1 - end) === insert.charCodeAt(insert.length - 1 - end)) end += 1;
  if (end > 0 && isLow(insert.charCodeAt(insert.length - end))) end -= 1;
  return { from: from + start, to: to - end, insert: insert.slice(start, insert.length - end) };
}

/** @param {string} text @param {number} length @returns {number} not more, and inside no surrogate pair */
function cutBefore(text, length) {
  return isHigh(text.charCodeAt(length - 1)) ? length - 1 : length;
}

/**
 * As many operations from the first as one request can carry, at least one.
 *
 * @param {Operation[]} operations
 * @param {RequestLimits} limits
 */
export function fitting(operations, { ops, units }) {
  let room = units;
  const end = operations.findIndex(({ content = "" }, index) => {
    room -= content.length;
    return index > 0 && (index >= ops || room < 0);
  });
  return end < 0 ? operations : operations.slice(0, end);
}
