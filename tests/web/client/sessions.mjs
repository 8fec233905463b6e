/**
 * What a session does on a real server, each scenario by its name.
 *
 * Run as `node sessions.mjs <scenario> <url> <facts as JSON>`; a failed assertion ends it with a code that is not 0.
 */

import assert from "node:assert/strict";

import { CanvasClient, Problem, openCanvas, undo } from "../../../canvas_server/web/client/index.js";

const [scenario, url, told] = process.argv.slice(2);
const facts = JSON.parse(told);

/** Ask the server beside the client. */
async function ask(method, path, body, token = facts.token) {
  const headers = { "Content-Type": "application/json", ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  const answer = await fetch(`${url}/api/v2${path}`, { method, headers, body: body && JSON.stringify(body) });
  assert(answer.ok, `${method} ${path}: ${answer.status}`);
  return answer.status === 204 ? null : answer.json();
}

let count = 0;
async function canvas(content = "") {
  const { ref } = await ask("POST", "/canvas", { content });
  return ref;
}

const textOf = async (ref) => (await ask("GET", `/canvas/${ref}`)).content;
const append = (content) => ({ action: "insert", content, target: { type: "position", position: { mode: "end" } } });
const submit = async (ref, ...ops) => {
  const { version } = await ask("GET", `/canvas/${ref}`);
  const named = ops.map((op) => ({ op_id: `by-hand-${(count += 1)}`, client_version: version, scope: "range", ...op }));
  await ask("POST", `/canvas/${ref}/ops:stream`, { ops: named });
};

/** Wait for what a session tells, until it is so. */
function until(session, type, holds = () => true) {
  return new Promise((resolve) => {
    const off = session.on(type, (said) => {
      if (!holds(said)) return;
      off();
      resolve(said);
    });
  });
}

const textIs = (session, text) =>
  session.text === text ? null : until(session, "change", () => session.text === text);

const scenarios = {
  async "what is too large stays and is told"() {
    const session = await openCanvas(await canvas("x".repeat(facts.most - 4)), { url });
    const problem = until(session, "problem", (said) => said !== null);
    session.edit([{ from: 0, to: 0, insert: "too much" }]);
    assert.equal((await problem).code, "CANVAS_TOO_LARGE");
    assert.equal(session.problem.code, "CANVAS_TOO_LARGE");
    assert(session.text.startsWith("too much"));
    session.edit([{ from: 8, to: 12, insert: "" }]);
    await session.settled();
    assert.equal(session.problem, null);
    assert.equal(await textOf(session.ref), session.text);
    session.close();
  },

  async "a long text goes in parts"() {
    const session = await openCanvas(await canvas("ab"), { url });
    session.edit([{ from: 1, to: 1, insert: "😀\r\n".repeat(60_000) }]);
    session.edit(Array.from({ length: 300 }, (_, index) => ({ from: index * 3, to: index * 3 + 1, insert: "-" })));
    await session.settled();
    assert.equal(await textOf(session.ref), session.text);
    session.close();
  },

  async "operations as they are given end in what became of them"() {
    const session = await openCanvas(await canvas("# A\n"), { url });
    session.edit([{ from: 4, to: 4, insert: "one" }]);
    const heading = { type: "heading", heading: { path: ["A"] } };
    const [ack, error] = await session.sendBatch([
      { action: "insert", scope: "range", target: heading, content: "two" },
      { action: "delete", scope: "range", target: { type: "heading", heading: { path: ["none"] } } },
    ]);
    assert.deepEqual([ack.type, error.type, error.code], ["ack", "error", "TARGET_NOT_FOUND"]);
    assert.equal(session.text, "# A\none\n\ntwo");
    const revert = { action: "revert", scope: "range", target: { type: "op", op: { op_id: ack.op_id } } };
    assert.equal((await session.sendOp(revert)).reverts, ack.op_id);
    const stale = await session.sendOp({ ...append("x"), scope: "canvas", client_version: ack.base_version });
    assert.deepEqual([stale.type, stale.reason], ["conflict", "etag_mismatch"]);
    assert.equal((await session.wait(stale.op_id)).type, "conflict");
    await assert.rejects(
      session.sendOp({ action: "no such" }),
      (problem) => problem instanceof Problem && problem.status === 422,
    );
    assert.equal(session.text, await textOf(session.ref));
    session.close();
  },

  async "what others cannot see yet moves no cursor"() {
    const ref = await canvas("x".repeat(facts.most - 4));
    const [here, there] = await Promise.all([openCanvas(ref, { url }), openCanvas(ref, { url })]);
    const problem = until(here, "problem", (said) => said !== null);
    here.edit([{ from: 2, to: 2, insert: "too much" }]);
    await problem;
    const seen = until(here, "presence", ({ name }) => name === "There");
    there.setPresence({ cursor: 5, selection: { from: 1, to: 5 }, name: "There" });
    const { cursor, selection } = await seen;
    assert.deepEqual([cursor, selection], [13, { from: 1, to: 13 }]);
    const heard = until(there, "presence", ({ name }) => name === "Here");
    here.setPresence({ cursor: 14, name: "Here" });
    assert.equal((await heard).cursor, 6);
    const again = until(there, "presence", ({ name, cursor: now }) => name === "Here" && now !== 6);
    here.edit([{ from: 4, to: 10, insert: "" }]);
    await here.settled();
    assert.equal((await again).cursor, 8);
    here.close();
    there.close();
  },

  async "what is written is saved in the end"() {
    const session = await openCanvas(await canvas(), { url });
    assert(session.isSaved);
    session.edit([{ from: 0, to: 0, insert: "x" }]);
    assert(!session.isSaved);
    await session.saved();
    assert(session.isSaved);
    session.close();
  },

  async "others are seen, and titles"() {
    const ref = await canvas("text");
    const [here, there] = await Promise.all([openCanvas(ref, { url }), openCanvas(ref, { url })]);
    const [presence, title] = [until(here, "presence", ({ cursor }) => cursor === 3), until(here, "title")];
    there.setPresence({ cursor: 3, name: "There" });
    assert.equal((await presence).name, "There");
    await ask("PATCH", `/canvas/${ref}`, { title: "New" });
    assert.deepEqual([await title, here.title], ["New", "New"]);
    here.close();
    there.close();
  },

  async "one stream serves all canvases of a client"() {
    const client = new CanvasClient({ url });
    const refs = await Promise.all(["a", "b", "c"].map(canvas));
    const sessions = [await client.open(refs[0]), await client.open(refs[1]), await client.open(refs[2])];
    for (const ref of refs) await submit(ref, append("!"));
    await Promise.all(sessions.map((session, index) => textIs(session, `${"abc"[index]}!`)));
    assert.match(await (await fetch(`${url}/metrics`)).text(), /^canvas_streams\{kind="canvas"\} 1(\.0)?$/m);
    assert.equal(await client.open(refs[0]), sessions[0]);
    sessions[0].close();
    assert.equal(sessions[0].state, "live");
    sessions[0].close();
    assert.equal(sessions[0].state, "ended");
    await submit(refs[1], append("?"));
    await textIs(sessions[1], "b!?");
    client.close();
  },

  async "a canvas that is deleted ends, and the others go on"() {
    const client = new CanvasClient({ url });
    const [gone, kept] = [await client.open(await canvas("a")), await client.open(await canvas("b"))];
    const end = until(gone, "ended");
    await ask("DELETE", `/canvas/${gone.ref}`);
    assert.equal((await end).type, "deleted");
    assert.deepEqual([gone.state, gone.text], ["ended", "a"]);
    await assert.rejects(client.open("there-is-none"), (problem) => problem.status === 404);
    kept.edit([{ from: 0, to: 0, insert: "x" }]);
    await kept.settled();
    assert.equal(await textOf(kept.ref), "xb");
    client.close();
  },

  async "a canvas that was closed is opened again by what is written"() {
    const session = await openCanvas(await canvas("a"), { url });
    const end = until(session, "ended");
    const client = new CanvasClient({ url });
    const other = await client.open(session.ref);
    await ask("POST", `/canvas/${session.ref}:close`);
    assert.equal((await end).type, "closed");
    other.edit([{ from: 1, to: 1, insert: "b" }]);
    await other.settled();
    assert.equal(await textOf(session.ref), "ab");
    client.close();
  },

  async "what was missed in a long absence is read, and what was written meanwhile is sent"() {
    let isAway = false;
    const unsteady = (path, options) => (isAway ? Promise.reject(new TypeError("away")) : fetch(path, options));
    const client = new CanvasClient({ url, fetch: unsteady });
    const session = await client.open(await canvas("."));
    isAway = true;
    session.edit([{ from: 0, to: 0, insert: "mine" }]);
    for (let round = 0; round < 15; round += 1)
      await submit(session.ref, ...Array.from({ length: 100 }, () => append("x")));
    isAway = false;
    client.retry();
    await textIs(session, `mine.${"x".repeat(1_500)}`);
    await session.settled();
    assert.equal(await textOf(session.ref), session.text);
    client.close();
  },

  async "an undo takes one author's work back and leaves the other's"() {
    const session = await openCanvas(await canvas("base"), { url });
    const agent = await openCanvas(session.ref, { url });
    agent.edit([{ from: 4, to: 4, insert: " of the agent" }]);
    await agent.settled();
    await textIs(session, "base of the agent");
    session.edit([{ from: 7, to: 7, insert: " and me" }]);
    await session.settled();
    const { events } = await ask("GET", `/canvas/${session.ref}/ops?unit=utf16`);
    const mine = session.version;
    const before = (await ask("GET", `/canvas/${session.ref}?at=0`)).content;
    const undone = undo(before, events, (ack) => ack.server_version !== mine);
    session.edit(undone.changes);
    assert.equal(session.text, "base and me");
    session.close();
    agent.close();
  },

  async "whoever may only read keeps what was written until it may be sent"() {
    const ref = await canvas("a");
    const path = `/canvas/${ref}/access`;
    await ask("PUT", path, { shared_with: { [facts.name]: "read" } });
    const session = await openCanvas(ref, { url, token: facts.other });
    await assert.rejects(session.sendOp(append("x")), (refused) => refused.status === 403);
    const problem = until(session, "problem", (said) => said !== null);
    session.edit([{ from: 1, to: 1, insert: "b" }]);
    assert.equal((await problem).code, "FORBIDDEN");
    assert.deepEqual([session.text, await textOf(ref)], ["ab", "a"]);
    await ask("PUT", path, { shared_with: { [facts.name]: "write" } });
    session.retry();
    await session.settled();
    assert.equal(await textOf(ref), "ab");
    session.close();
  },

  async "whose token is refused is asked for another, and goes on"() {
    const tokens = ["wrong", facts.other, facts.token];
    const client = new CanvasClient({ url, token: () => tokens.shift() ?? null });
    const ref = await canvas("a");
    await ask("PUT", `/canvas/${ref}/access`, { shared_with: { [facts.name]: "write" } });
    const session = await client.open(ref);
    assert.deepEqual(tokens, [facts.token]);
    const isBack = until(session, "state", (state) => state === "offline").then(() =>
      until(session, "state", (state) => state === "live"),
    );
    await ask("DELETE", `/tokens/${facts.otherId}`);
    await isBack;
    session.edit([{ from: 0, to: 0, insert: "x" }]);
    await session.settled();
    assert.equal(await textOf(ref), "xa");
    client.close();
  },

  async "without better credentials one is told, and nothing is lost"() {
    const ref = await canvas("a");
    let token = facts.token;
    const client = new CanvasClient({ url, token: () => token });
    const session = await client.open(ref);
    token = "wrong";
    const told = until(session, "unauthorized");
    await ask("DELETE", `/tokens/${facts.tokenId}`);
    session.edit([{ from: 1, to: 1, insert: "b" }]);
    assert.equal((await told).status, 401);
    token = facts.other;
    assert.deepEqual([session.text, session.pendingCount], ["ab", 1]);
    client.retry();
    await session.settled();
    assert.equal((await ask("GET", `/canvas/${ref}`, undefined, facts.other)).content, "ab");
    client.close();
  },

  async "who writes faster than is allowed is only slower"() {
    let refused = 0;
    const counting = async (path, options) => {
      const answer = await fetch(path, options);
      refused += answer.status === 429;
      return answer;
    };
    const session = await openCanvas(await canvas(), { url, token: facts.token, fetch: counting });
    for (let index = 0; index < 60; index += 1) {
      session.edit([{ from: session.text.length, to: session.text.length, insert: `${index} ` }]);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await session.settled();
    assert.equal(await textOf(session.ref), session.text);
    assert(refused > 0 && refused < 5, `${refused} times it did not wait`);
    session.close();
  },
};

await scenarios[scenario]();
