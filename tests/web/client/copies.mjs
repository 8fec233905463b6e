/** What becomes of requests that were sent more than once, for no answer came; each scenario by its name. */

import assert from "node:assert/strict";

import { openCanvas } from "../../../canvas_server/web/client/index.js";
import { Shelf, append, canvas, deletion, facts, lost, meddled, passed, play, submit, textOf, until, url } from "./world.mjs";

/** The first copy of a request comes with the second: it finds the canvas full, and the second finds room. */
const refusedThenFitting = (ref) =>
  meddled(async (number, pass) => {
    if (number === 1) lost();
    if (number === 2) {
      await pass();
      await passed(100);
      await submit(ref, deletion(0, 100));
    }
    return pass();
  });

const scenarios = {
  async "what is too large when a copy of it comes, and has room when the next does, is there once"() {
    const ref = await canvas("x".repeat(facts.most - 4));
    const fetch = refusedThenFitting(ref);
    const session = await openCanvas(ref, { url, fetch });
    session.edit([{ from: 0, to: 0, insert: "too much" }]);
    await session.settled();
    assert.equal(await textOf(ref), session.text);
    assert.deepEqual([session.text.split("too much").length - 1, session.problem], [1, null]);
    session.close();
  },

  async "what is too large when a copy of it comes is there once, though another is on its way for long"() {
    const ref = await canvas("x".repeat(facts.most - 4));
    let late = null;
    const fetch = meddled(async (number, pass) => {
      if (number === 1) lost();
      if (number === 2) {
        late = pass;
        await pass();
        await passed(100);
        await submit(ref, deletion(100, 200));
        lost();
      }
      await late?.();
      late = null;
      return pass();
    });
    const session = await openCanvas(ref, { url, fetch });
    session.edit([{ from: 0, to: 0, insert: "too much" }]);
    await session.settled();
    assert.equal(await textOf(ref), session.text);
    assert.equal(session.text.split("too much").length - 1, 1);
    session.close();
  },

  async "what all copies of are too large is tried again when there is room"() {
    const ref = await canvas("x".repeat(facts.most - 4));
    const fetch = meddled(async (number, pass) => {
      if (number === 1) lost();
      if (number === 2) await pass();
      return pass();
    });
    const session = await openCanvas(ref, { url, fetch });
    const problem = until(session, "problem", (said) => said !== null);
    session.edit([{ from: 0, to: 0, insert: "too much" }]);
    assert.equal((await problem).code, "CANVAS_TOO_LARGE");
    assert.equal(await textOf(ref), "x".repeat(facts.most - 4));
    session.edit([{ from: 8, to: 12, insert: "" }]);
    await session.settled();
    assert.equal(await textOf(ref), session.text);
    assert.equal(session.text.split("too much").length - 1, 1);
    session.close();
  },

  async "what is too large as a copy is told as applied if another was"() {
    const ref = await canvas("x".repeat(facts.most - 4));
    const fetch = refusedThenFitting(ref);
    const session = await openCanvas(ref, { url, fetch });
    assert.equal((await session.sendOp({ ...append("too much"), scope: "range" })).type, "ack");
    assert.equal(await textOf(ref), session.text);
    session.close();
  },

  async "a batch of which a copy was half applied ends in what became of each"() {
    const ref = await canvas("# A\n");
    const fetch = meddled(async (number, pass) => {
      if (number === 1) lost();
      if (number === 2) {
        await pass();
        await passed(100);
        lost();
      }
      return pass();
    });
    const session = await openCanvas(ref, { url, fetch });
    const [ack, error] = await session.sendBatch([
      append("once"),
      { action: "delete", scope: "range", target: { type: "heading", heading: { path: ["none"] } } },
    ]);
    assert.deepEqual([ack.type, error.type, error.code], ["ack", "error", "TARGET_NOT_FOUND"]);
    assert.equal(await textOf(ref), "# A\nonce");
    session.close();
  },

  async "what was applied is told as that, though the request was refused when it came again"() {
    const ref = await canvas();
    const fetch = meddled(async (number, pass) => {
      if (number === 1) lost();
      await pass();
      const problem = { code: "FORBIDDEN", title: "no", detail: "no more", hint: "Ask.", status: 403 };
      return new Response(JSON.stringify(problem), { status: 403 });
    });
    const session = await openCanvas(ref, { url, fetch });
    assert.equal((await session.sendOp({ ...append("once"), scope: "range" })).type, "ack");
    assert.equal(session.text, "once");
    session.close();
  },

  async "what is too large when the copy of an earlier life comes is there once"() {
    const [ref, drafts] = [await canvas("x".repeat(facts.most - 4)), new Shelf()];
    const live = (fetch) => openCanvas(ref, { url, fetch, clientId: "tab", drafts });
    let late = null;
    const before = await live(
      meddled((_number, pass) => {
        late ??= pass;
        lost();
      }),
    );
    before.edit([{ from: 0, to: 0, insert: "too much" }]);
    while (late === null) await passed(5);
    assert(before.keepDraft());
    const next = await live(
      meddled(async (number, pass) => {
        if (number === 1) {
          await late();
          await passed(100);
          await submit(ref, deletion(100, 200));
        }
        return pass();
      }),
    );
    await next.settled();
    assert.equal(await textOf(ref), next.text);
    assert.equal(next.text.split("too much").length - 1, 1);
    next.close();
    before.close();
  },

  async "what is too large when the copies of an earlier life come is there once"() {
    const [ref, drafts, late] = [await canvas("x".repeat(facts.most - 4)), new Shelf(), []];
    const live = (fetch) => openCanvas(ref, { url, fetch, clientId: "tab", drafts });
    const before = await live(
      meddled((_number, pass) => {
        late.push(pass);
        lost();
      }),
    );
    before.edit([{ from: 0, to: 0, insert: "too much" }]);
    while (late.length < 2) await passed(5);
    assert(before.keepDraft());
    const meddling = meddled(async (number, pass) => {
      if (number === 1) {
        await submit(ref, deletion(100, 200));
        await late[1]();
        await passed(100);
      }
      return pass();
    });
    let isFirst = true;
    const next = await live(async (path, options) => {
      if (path.includes("/ops?") && isFirst) {
        isFirst = false;
        await late[0]();
        await passed(100);
      }
      return meddling(path, options);
    });
    next.retry();
    await next.settled();
    assert.equal(await textOf(ref), next.text);
    assert.equal(next.text.split("too much").length - 1, 1);
    next.close();
    before.close();
  },

  async "what waits goes with one more try when one may read and write again"() {
    const ref = await canvas("x");
    let isDenied = false;
    const denial = () => new Response(JSON.stringify({ code: "FORBIDDEN", status: 403 }), { status: 403 });
    const meddling = meddled((number, pass) => {
      if (number === 1) {
        isDenied = true;
        lost();
      }
      return isDenied ? denial() : pass();
    });
    const fetch = (path, options) => (isDenied && path.includes("/ops?") ? denial() : meddling(path, options));
    const session = await openCanvas(ref, { url, fetch });
    const ended = until(session, "ended");
    session.edit([{ from: 0, to: 0, insert: "new " }]);
    await ended;
    isDenied = false;
    session.retry();
    await session.settled();
    assert.deepEqual([await textOf(ref), session.problem], ["new x", null]);
    session.close();
  },

  async "what is refused again and again is asked in longer and longer pauses"() {
    const [ref, seen] = [await canvas("x".repeat(facts.most - 4)), new Set()];
    let posts = 0;
    const fetch = async (path, options) => {
      const isWriting = options.method === "POST" && path.includes("/ops:stream");
      if (isWriting) posts += 1;
      if (!isWriting || seen.has(options.body)) return globalThis.fetch(path, options);
      seen.add(options.body);
      return new Response("{}", { status: 503, headers: { "Retry-After": "0" } });
    };
    const session = await openCanvas(ref, { url, fetch });
    session.edit([{ from: 0, to: 0, insert: "too much" }]);
    await passed(3_000);
    assert(posts > 2 && posts < 30, `${posts} requests`);
    session.close();
  },

  async "a session that was closed reads no more, whatever is answered then"() {
    const [ref, reads] = [await canvas("x".repeat(facts.most - 4)), []];
    const meddling = meddled(async (number, pass) => {
      if (number === 1) lost();
      await pass();
      await passed(100);
      session.close();
      reads.length = 0;
      return pass();
    });
    const fetch = (path, options) => {
      if (options.method === "GET") reads.push(path);
      return meddling(path, options);
    };
    const session = await openCanvas(ref, { url, fetch });
    session.edit([{ from: 0, to: 0, insert: "too much" }]);
    await until(session, "ended");
    await passed(300);
    assert.deepEqual(reads, []);
  },
};

await play(scenarios);
