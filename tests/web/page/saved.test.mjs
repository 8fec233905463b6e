/**
 * How long ago a canvas was saved, in words.
 */

import assert from "node:assert/strict";
import { test } from "node:test";

import { agoText } from "../../../canvas_server/web/page/saved.js";

test("how long ago is told in the largest unit that fits", () => {
  assert.equal(agoText(0, "fr"), "il y a 0\u00a0s");
  assert.equal(agoText(59_999, "fr"), "il y a 59\u00a0s");
  assert.equal(agoText(60_000, "fr"), "il y a 1\u00a0min");
  assert.equal(agoText(7_300_000, "fr"), "il y a 2\u00a0h");
  assert.equal(agoText(190_000_000, "fr"), "il y a 2\u00a0j");
  assert.match(agoText(12_000, "en"), /^12 sec\.? ago$/);
});
