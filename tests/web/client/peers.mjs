/**
 * Several clients in one process, told what to do by lines of JSON on stdin; each line is answered by one on stdout.
 *
 * Run as `node peers.mjs <url> <ref> <count>`. Every character that is written is another one.
 */

import { createInterface } from "node:readline";
import { setTimeout as passed } from "node:timers/promises";

import { CanvasClient } from "../../../canvas_server/web/client/index.js";
import { randomOf } from "./random.mjs";
import { Ink, randomChange } from "./simulation.mjs";

const [url, ref, count] = process.argv.slice(2);
const PATIENCE_MS = 60_000;

const ink = new Ink();
const clients = Array.from({ length: Number(count) }, () => new CanvasClient({ url }));
const sessions = [];
const mirrors = [];
const raw = [];

const actions = {
  async open() {
    for (const client of clients) sessions.push(await client.open(ref));
    for (const [index, session] of sessions.entries()) {
      mirrors[index] = session.text;
      session.on("change", ({ changes }) => {
        for (const { from, to, insert } of changes)
          mirrors[index] = mirrors[index].slice(0, from) + insert + mirrors[index].slice(to);
        if (mirrors[index] !== session.text)
          raw.push(Promise.reject(new Error("the changes told do not lead to the text")));
      });
    }
  },

  edit({ client, seed, count: edits }) {
    const random = randomOf(seed);
    const session = sessions[client % sessions.length];
    for (let index = 0; index < edits; index += 1) session.edit([randomChange(session.text, ink, random)]);
  },

  /** What is sent as it is counts as written once it is acknowledged. */
  raw({ client }) {
    const content = ink.take(2);
    for (const character of content) ink.written.delete(character);
    const op = { action: "insert", scope: "range", target: { type: "anchor", anchor: { name: "doc_end" } }, content };
    const sent = sessions[client % sessions.length].sendOp(op).then(({ type }) => {
      if (type === "ack") for (const character of content) ink.written.add(character);
    });
    raw.push(sent);
  },

  pause: ({ ms }) => passed(ms),

  retry: () => clients.forEach((client) => client.retry()),

  async settle() {
    const limit = passed(PATIENCE_MS, "late", { ref: false });
    const all = Promise.all([...sessions.map((session) => session.settled()), ...raw]);
    if ((await Promise.race([all, limit])) === "late")
      throw new Error(`it does not settle: ${JSON.stringify(sessions.map(told))}`);
    const state = await this.agreed();
    for (const session of sessions) if (session.text !== state.content) throw new Error("the texts differ");
    ink.check(state.content);
    return { version: state.version, written: ink.written.size };
  },

  /** Whoever had all acknowledged may hear only now that a crash forgot it, and send it again: the server is asked anew each time. */
  async agreed() {
    for (let waited = 0; ; waited += 5) {
      const state = await (await fetch(`${url}/api/v2/canvas/${ref}?unit=utf16`)).json();
      if (sessions.every(({ version, pendingCount }) => version === state.version && pendingCount === 0)) return state;
      if (waited > PATIENCE_MS)
        throw new Error(`not all follow ${state.version}: ${JSON.stringify(sessions.map(told))}`);
      await passed(5);
    }
  },

  close: () => clients.forEach((client) => client.close()),
};

const told = ({ state, version, pendingCount, problem }) => ({ state, version, pendingCount, problem });

for await (const line of createInterface({ input: process.stdin })) {
  const { do: action, ...options } = JSON.parse(line);
  try {
    console.log(JSON.stringify({ ok: (await actions[action](options)) ?? null }));
  } catch (error) {
    console.log(JSON.stringify({ error: error.stack }));
  }
}
