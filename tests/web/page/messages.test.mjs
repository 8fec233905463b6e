/**
 * The catalogue: the same in both languages, nothing missing, nothing that nobody says.
 */

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";

import { MESSAGES } from "../../../canvas_server/web/page/messages.js";

const FOLDER = new URL("../../../canvas_server/web/page/", import.meta.url);
const sources = readdirSync(FOLDER)
  .filter((name) => /\.(js|html)$/.test(name) && !name.startsWith("messages"))
  .map((name) => readFileSync(new URL(name, FOLDER), "utf8"));
const source = sources.join("\n");

/** Names of a family are the server's, or a state's: `conflict.` and what follows. */
const FAMILIES = ["right", "why", "connection", "problem", "reset", "bye", "presence", "step", "job"];

const forms = (entry) => (typeof entry === "string" ? [entry] : [entry.one, entry.other]);
const places = (entry) =>
  new Set(forms(entry).flatMap((form) => [...form.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)));

test("both languages have the same keys", () => {
  assert.deepEqual(Object.keys(MESSAGES.en), Object.keys(MESSAGES.fr));
});

test("both languages fill in the same values", () => {
  for (const key of Object.keys(MESSAGES.fr)) {
    assert.deepEqual(places(MESSAGES.en[key]), places(MESSAGES.fr[key]), key);
  }
});

test("every key that the HTML names has words", () => {
  const named = [...source.matchAll(/data-(?:text|label|placeholder|title|empty)="([\w.]+)"/g)].map(([, key]) => key);
  assert.ok(named.length > 40);
  assert.deepEqual(
    named.filter((key) => !(key in MESSAGES.fr)),
    [],
  );
});

test("every word of the catalogue is said somewhere", () => {
  const isSaid = (key) => source.includes(`"${key}"`) || FAMILIES.includes(key.split(".")[0]);
  assert.deepEqual(
    Object.keys(MESSAGES.fr).filter((key) => !isSaid(key)),
    [],
  );
});

test("the French of the HTML is the French of the catalogue", () => {
  const shown = [...source.matchAll(/data-text="([\w.]+)"[^>]*>([^<]+)</g)];
  assert.ok(shown.length > 40);
  assert.deepEqual(
    shown.filter(([, key, text]) => MESSAGES.fr[key] !== text).map(([, key]) => key),
    [],
  );
});
