/** Replays a recorded session with Yjs: JSON on stdin, `{start, end, splices}`; prints µs of an edit as JSON. */

const assert = require("node:assert");
const { readFileSync } = require("node:fs");
const Y = require("yjs");

function edited(doc, { start, splices }) {
  const text = doc.getText("text");
  text.insert(0, start);
  for (const [begin, end, insert] of splices) {
    doc.transact(() => {
      if (end > begin) text.delete(begin, end - begin);
      if (insert) text.insert(begin, insert);
    });
  }
  return text;
}

/** Microseconds of processor time of an edit. */
function timed(session, work) {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / session.splices.length;
}

const session = JSON.parse(readFileSync(0, "utf8"));
let text;
const transactions_us = timed(session, () => {
  text = edited(new Y.Doc(), session);
});
assert.strictEqual(text.toString(), session.end);

const updates = [];
const author = new Y.Doc();
author.on("update", (update) => updates.push(update));
edited(author, session);
const follower = new Y.Doc();
const updates_us = timed(session, () => {
  for (const update of updates) Y.applyUpdate(follower, update);
});
assert.strictEqual(follower.getText("text").toString(), session.end);
console.log(JSON.stringify({ transactions_us, updates_us }));
