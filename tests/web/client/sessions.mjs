/** What a session does on a real server, each scenario by its name. */

import assert from "node:assert/strict";

import { CanvasClient, Problem, openCanvas, undo } from "../../../canvas_server/web/client/index.js";
import { Shelf, append, ask, canvas, facts, network, passed, play, submit, textIs, textOf, until, url } from "./world.mjs";

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

  async "a place is told in the server's text, and heard in one's own"() {
    const ref = await canvas("0123456789");
    const [near, far] = [network(), network()];
    const here = await openCanvas(ref, { url, fetch: near.fetch });
    const there = await openCanvas(ref, { url, fetch: far.fetch });
    near.holdsWriting = far.holdsWriting = true;
    here.edit([{ from: 0, to: 0, insert: "ab" }]);
    there.edit([{ from: 1, to: 1, insert: "xyz" }]);
    const raw = until(here, "event", ({ type, cursor }) => type === "presence" && cursor !== null);
    const shown = until(here, "presence", ({ cursor }) => cursor !== null);
    there.setPresence({ cursor: 6, selection: { from: 0, to: 6 } });
    there.edit([{ from: 0, to: 0, insert: "w" }]);
    const place = ({ cursor, selection: { from, to } }) => [cursor, from, to];
    assert.deepEqual(place(await raw), [3, 0, 3]);
    assert.deepEqual(place(await shown), [5, 0, 5]);
    here.close();
    there.close();
  },

  async "a session that is closed ends all that is waited for, and stays closed"() {
    const away = new CanvasClient({ url, fetch: () => Promise.reject(new TypeError("away")) });
    const loading = away.open("notes");
    away.close();
    await assert.rejects(loading, /closed/);
    const line = network();
    const session = await openCanvas(await canvas("a"), { url, fetch: line.fetch });
    line.holdsWriting = true;
    session.edit([{ from: 0, to: 0, insert: "x" }]);
    const waiting = Promise.allSettled([session.settled(), session.saved(), session.sendOp(append("x"))]);
    await Promise.resolve();
    session.close();
    assert((await waiting).every(({ reason }) => /closed/.test(reason)));
    session.edit([{ from: 0, to: 0, insert: "y" }]);
    session.retry();
    await assert.rejects(session.settled(), /closed/);
    assert.equal(session.state, "ended");
  },

  async "what waits goes when a canvas that ended is opened again, but for operations as they are given"() {
    const line = network();
    const client = new CanvasClient({ url, fetch: line.fetch });
    const session = await client.open(await canvas("a"));
    line.holdsWriting = true;
    session.edit([{ from: 1, to: 1, insert: "b" }]);
    const refused = assert.rejects(session.sendOp(append("x")), (problem) => problem.status === 404);
    const end = until(session, "ended");
    await new Promise((resolve) => setImmediate(resolve));
    await ask("DELETE", `/canvas/${session.ref}`);
    await Promise.all([end, refused]);
    await ask("PUT", `/canvas/${session.ref}`, { content: "new" });
    line.holdsWriting = false;
    assert.equal(await client.open(session.ref), session);
    await session.settled();
    assert.equal(await textOf(session.ref), "newb");
    client.close();
  },

  async "a canvas that was made again is taken as it is, without what was in the old one"() {
    const line = network();
    const client = new CanvasClient({ url, fetch: line.fetch });
    const session = await client.open(await canvas("."));
    session.edit([{ from: 0, to: 0, insert: "old" }]);
    await session.settled();
    line.leave();
    await ask("DELETE", `/canvas/${session.ref}`);
    await ask("PUT", `/canvas/${session.ref}`, { content: "new" });
    line.isAway = false;
    client.retry();
    await textIs(session, "new");
    await session.settled();
    assert.equal(await textOf(session.ref), "new");
    assert.deepEqual(
      line.asked.filter((each) => each.startsWith("404")),
      [],
    );
    client.close();
  },

  async "what waits when a page ends is sent once in its next life"() {
    const [ref, drafts] = [await canvas("."), new Shelf()];
    const live = (fetch) => openCanvas(ref, { url, fetch, clientId: "tab", drafts });
    for (const isHeard of [false, true]) {
      const line = network();
      const losesAnswers = async (path, options) => {
        const answer = await line.fetch(path, options);
        if (options.method === "POST" && path.includes("/ops:stream")) line.leave();
        return answer;
      };
      const page = await live(isHeard ? losesAnswers : line.fetch);
      line.holdsWriting = !isHeard;
      const isOffline = until(page, "state", (state) => state === "offline");
      page.edit([{ from: 0, to: 0, insert: "ab" }]);
      if (!isHeard) line.leave();
      await isOffline;
      page.edit([{ from: 1, to: 1, insert: "-" }]);
      assert(page.keepDraft());
      await submit(ref, append("!"));
      const next = await live();
      assert.equal(next.text, isHeard ? "a-ba-b.!!" : "a-b.!");
      await next.settled();
      assert.equal(await textOf(ref), next.text);
      assert.deepEqual([...drafts.keys()], []);
      next.close();
      page.close();
      drafts.clear();
    }
  },

  async "what waits for long is written down, and is not when it was sent"() {
    const [line, drafts] = [network(), new Shelf()];
    const session = await openCanvas(await canvas("a"), { url, fetch: line.fetch, drafts, user: "ada" });
    line.holdsWriting = true;
    const kept = new Promise((resolve) => {
      drafts.setItem = (key, value) => (drafts.set(key, value), resolve(key));
    });
    session.edit([{ from: 0, to: 0, insert: "x" }]);
    assert((await kept).startsWith(`canvas-server:${url}:${session.ref}:ada:`));
    assert.equal(drafts.size, 2);
    session.edit([{ from: 0, to: 0, insert: "y".repeat(1_000_000) }]);
    assert(!session.keepDraft());
    assert.equal(drafts.size, 0);
    session.edit([{ from: 0, to: 1_000_000, insert: "" }]);
    assert(session.keepDraft());
    line.holdsWriting = false;
    session.retry();
    await session.settled();
    assert.equal(drafts.size, 0);
    session.close();
  },

  async "what was written on a version that is no more is told"() {
    const drafts = new Shelf();
    const line = network();
    const options = { url, clientId: "tab", drafts };
    const page = await openCanvas(await canvas("a"), { ...options, fetch: line.fetch });
    line.holdsWriting = true;
    page.edit([{ from: 0, to: 0, insert: "mine" }]);
    assert(page.keepDraft());
    line.leave();
    await ask("DELETE", `/canvas/${page.ref}`);
    await ask("PUT", `/canvas/${page.ref}`, { content: "new" });
    const next = await openCanvas(page.ref, options);
    assert.equal((await until(next, "draft")).text, "mine");
    assert.deepEqual([next.text, next.pendingCount], ["new", 0]);
    next.close();
    page.close();
  },

  async "one stream serves all canvases of a client"() {
    const client = new CanvasClient({ url });
    const refs = await Promise.all(["a", "b", "c"].map(canvas));
    const sessions = [await client.open(refs[0]), await client.open(refs[1]), await client.open(refs[2])];
    for (const ref of refs) await submit(ref, append("!"));
    await Promise.all(sessions.map((session, index) => textIs(session, `${"abc"[index]}!`)));
    const isOne = /^canvas_streams\{kind="canvas"\} 1(\.0)?$/m;
    // Those that it took the place of end when the server notices.
    while (!isOne.test(await (await fetch(`${url}/metrics`)).text())) await passed(20);
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

  async "without a token that is good, and that cannot be another, it fails to open"() {
    const ref = await canvas("a");
    for (const token of ["wrong", null]) {
      await assert.rejects(openCanvas(ref, { url, token }), (problem) => problem.status === 401);
      const client = new CanvasClient({ url, token });
      const session = client.session(ref);
      const end = until(session, "ended");
      await assert.rejects(session.ready, (problem) => problem.status === 401);
      assert.equal((await end).status, 401);
      client.close();
    }
  },

  async "who cannot get a token now asks again"() {
    const ref = await canvas("a");
    const answers = [() => Promise.reject(new Error("away")), () => "wrong", () => Promise.reject(new Error("away"))];
    const client = new CanvasClient({ url, token: () => (answers.shift() ?? (() => facts.token))() });
    const session = await client.open(ref);
    assert.deepEqual([session.text, answers.length], ["a", 0]);
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
    for (let index = 0; index < 200; index += 1) {
      session.edit([{ from: session.text.length, to: session.text.length, insert: `${index} ` }]);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await session.settled();
    assert.equal(await textOf(session.ref), session.text);
    assert(refused > 0 && refused < 5, `${refused} times it did not wait`);
    session.close();
  },
};

await play(scenarios);
