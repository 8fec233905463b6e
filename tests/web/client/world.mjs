/**
 * What scenarios of sessions are played with: a server to ask, and a network that does what it is told.
 *
 * A script of scenarios is run as `node <script> <scenario> <url> <facts as JSON>`; a failed assertion ends it with a
 * code that is not 0.
 */

import assert from "node:assert/strict";

const [scenario, address, told] = process.argv.slice(2);
export const url = address;
export const facts = JSON.parse(told);

/** @param {Record<string, () => Promise<void>>} scenarios by their names */
export const play = (scenarios) => scenarios[scenario]();

/** Ask the server beside the client. */
export async function ask(method, path, body, token = facts.token) {
  const headers = { "Content-Type": "application/json", ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  const answer = await fetch(`${url}/api/v2${path}`, { method, headers, body: body && JSON.stringify(body) });
  assert(answer.ok, `${method} ${path}: ${answer.status}`);
  return answer.status === 204 ? null : answer.json();
}

let count = 0;
export async function canvas(content = "") {
  const { ref } = await ask("POST", "/canvas", { content });
  return ref;
}

export const textOf = async (ref) => (await ask("GET", `/canvas/${ref}`)).content;
export const append = (content) => ({ action: "insert", content, target: { type: "position", position: { mode: "end" } } });
export const deletion = (from, to) => ({ action: "delete", target: { type: "position", position: { mode: "range", from, to } } });
export const passed = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
export const submit = async (ref, ...ops) => {
  const { version } = await ask("GET", `/canvas/${ref}`);
  const named = ops.map((op) => ({ op_id: `by-hand-${(count += 1)}`, client_version: version, scope: "range", ...op }));
  await ask("POST", `/canvas/${ref}/ops:stream`, { ops: named });
};

/** Wait for what a session tells, until it is so. */
export function until(session, type, holds = () => true) {
  return new Promise((resolve) => {
    const off = session.on(type, (said) => {
      if (!holds(said)) return;
      off();
      resolve(said);
    });
  });
}

export const textIs = (session, text) =>
  session.text === text ? null : until(session, "change", () => session.text === text);

/** A network that can be away, and what was asked on it and how that ended. */
export function network() {
  const line = { isAway: false, holdsWriting: false, asked: [], cut: new AbortController() };
  line.fetch = async (path, options) => {
    const isWriting = options.method === "POST" && path.includes("/ops:stream");
    if (line.isAway || (isWriting && line.holdsWriting)) throw new TypeError("away");
    const signal = AbortSignal.any([options.signal, line.cut.signal]);
    const answer = await fetch(path, { ...options, signal });
    line.asked.push(`${answer.status} ${path.slice(url.length)}`);
    return answer;
  };
  line.leave = () => {
    line.isAway = true;
    line.cut.abort();
    line.cut = new AbortController();
  };
  return line;
}

/** A network on which `meddle(number, pass)` does what it likes with each writing request, the first being 1. */
export function meddled(meddle) {
  let number = 0;
  return async (path, options) => {
    const pass = () => fetch(path, options);
    if (options.method !== "POST" || !path.includes("/ops:stream")) return pass();
    return meddle((number += 1), pass);
  };
}

export const lost = () => {
  throw new TypeError("cut, and perhaps still on its way");
};

/** As `localStorage`. */
export class Shelf extends Map {
  getItem = (key) => this.get(key) ?? null;
  setItem = (key, value) => void this.set(key, value);
  removeItem = (key) => void this.delete(key);
}
