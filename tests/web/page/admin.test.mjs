/**
 * The page of whoever runs the server: what becomes of the figures that its status tells.
 */

import assert from "node:assert/strict";
import { test } from "node:test";

import { ailmentsOf } from "../../../canvas_server/web/page/ailments.js";
import { History, KEPT } from "../../../canvas_server/web/page/history.js";
import { bytesText, durationText, numberText } from "../../../canvas_server/web/page/quantities.js";
import { lineOf } from "../../../canvas_server/web/page/sparkline.js";

const WELL = {
  ready: true,
  reasons: [],
  store_ready: true,
  ephemeral: false,
  jobs: {},
  figures: { failing_canvases: 0, loop_lag_s: 0 },
};
const calm = () => 0;
const keysOf = (status, rise = calm) => ailmentsOf({ ...WELL, ...status }, rise).map(({ key }) => key);

test("a rate is what counters rose by in the time of the server", () => {
  const history = new History();
  history.add(10, { acks: 100, errors: 5 });
  assert.deepEqual(history.rate("acks"), []);
  history.add(12, { acks: 110, errors: 7 });
  history.add(16, { acks: 110, errors: 7 });
  assert.deepEqual(history.rate("acks", "errors"), [
    [12, 6],
    [16, 0],
  ]);
  assert.equal(history.rise("acks"), 10);
});

test("after a restart nothing of before is compared with", () => {
  const history = new History();
  history.add(500, { acks: 9_000 });
  history.add(1, { acks: 3 });
  assert.deepEqual(history.rate("acks"), []);
  assert.equal(history.rise("acks"), 0);
});

test("the same moment told twice is one", () => {
  const history = new History();
  history.add(1, { acks: 1 });
  history.add(1, { acks: 2 });
  history.add(2, { acks: 4 });
  assert.deepEqual(history.rate("acks"), [[2, 2]]);
});

test("a figure that was unknown at first does not rise by all of it", () => {
  const history = new History();
  history.add(1, {});
  history.add(2, { quota_refusals: 40 });
  history.add(3, { quota_refusals: 41 });
  assert.equal(history.rise("quota_refusals"), 1);
  assert.equal(history.gauge("quota_refusals").length, 2);
});

test("only so much is kept", () => {
  const history = new History();
  for (let at = 0; at < KEPT + 50; at += 1) history.add(at, { listeners: at });
  const kept = history.gauge("listeners");
  assert.equal(kept.length, KEPT);
  assert.deepEqual(kept[0], [50, 50]);
});

test("a line has its newest point on the right and its highest at the top", () => {
  const drawn = lineOf(
    [
      [0, 0],
      [50, 10],
      [100, 5],
    ],
    100,
  );
  assert.equal(drawn.line, "3,45 120,3 237,24");
  assert.equal(drawn.area, "3,48 3,45 120,3 237,24 237,48");
  assert.deepEqual(drawn.last, [237, 24]);
});

test("what is always nothing is a line at the bottom, and without points there is no line", () => {
  assert.equal(lineOf([[5, 0]], 100).line, "237,45");
  assert.equal(lineOf([], 100), null);
});

/** Which space stands before a unit is for each language to say. */
const spaced = (text) => text.replace(/\s/g, " ");

test("numbers are short and in the way of the language", () => {
  assert.equal(numberText(0, "fr"), "0");
  assert.equal(numberText(0.25, "fr"), "0,3");
  assert.equal(numberText(1234.6, "en"), "1,235");
  assert.equal(bytesText(999, "en"), "999 bytes");
  assert.equal(spaced(bytesText(1_500, "fr")), "1,5 ko");
  assert.equal(spaced(bytesText(104_857_600, "fr")), "105 Mo");
  assert.equal(bytesText(2e12, "en"), "2,000 GB");
  assert.equal(durationText(0.0123, "en"), "12 ms");
  assert.equal(spaced(durationText(4.25, "fr")), "4,3 s");
  assert.equal(spaced(durationText(119.9, "fr")), "119 s");
  assert.equal(spaced(durationText(7_100, "fr")), "118 min");
  assert.equal(spaced(durationText(7_300, "fr")), "2 h");
  assert.equal(spaced(durationText(400_000, "fr")), "4 j");
});

test("of a server that is well nothing is told, of one in memory that it is", () => {
  assert.deepEqual(keysOf({}), []);
  assert.deepEqual(keysOf({ ephemeral: true }), ["admin.ill.ephemeral"]);
});

test("each thing that is not well is told once, the worst first", () => {
  const figures = { failing_canvases: 2, loop_lag_s: 0.2 };
  const rise = (name) => ({ checkpoint_failures: 3, quota_refusals: 1 })[name] ?? 0;
  assert.deepEqual(keysOf({ ready: false, store_ready: false, reasons: ["x"], jobs: null, figures }, rise), [
    "admin.ill.store",
    "admin.ill.failing",
    "admin.ill.unread",
    "admin.ill.lag",
    "admin.ill.quota",
  ]);
  assert.deepEqual(keysOf({}, rise), ["admin.ill.failures", "admin.ill.quota"]);
});

test("a reason that this page does not know is told as the server says it", () => {
  const [ailment] = ailmentsOf({ ...WELL, ready: false, reasons: ["the server is stopping"] }, calm);
  assert.deepEqual(ailment, {
    tone: "bad",
    key: "admin.ill.other",
    values: { reasons: "the server is stopping" },
  });
});
