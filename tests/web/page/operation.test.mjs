/**
 * What the page sends, keeps until it is on disk, and says of the end.
 */

import assert from "node:assert/strict";
import { test } from "node:test";

import { madeAnew, undoing, undoneBy, writing } from "../../../canvas_server/web/page/operation.js";
import { endOf, refusalOf } from "../../../canvas_server/web/page/outcome.js";
import { UnsavedOperations } from "../../../canvas_server/web/page/unsaved.js";

const VERSION = 'W/"3-0123456789abcdef"';
const choice = { place: "end", headingId: "a", content: "text", blankLine: true, subsections: false };
const at = (seq) => `W/"${seq}-0123456789abcdef"`;

test("writing at the end must not meet another change at that very place", () => {
  assert.deepEqual(writing(choice, VERSION, "id"), {
    op_id: "id",
    client_version: VERSION,
    action: "insert",
    scope: "range",
    target: { type: "position", position: { mode: "end" } },
    content: "text",
    options: { surround_with_blank_lines: 1 },
  });
});

test("writing into a section must not meet a change of that section", () => {
  const op = writing({ ...choice, place: "section_end", blankLine: false }, VERSION, "id");
  assert.deepEqual([op.action, op.scope, op.where], ["insert", "section", "inside_end"]);
  assert.deepEqual(op.target, { type: "heading", heading: { heading_id: "a" } });
  assert.deepEqual(op.options, { surround_with_blank_lines: 0, subsections: false });
});

test("replacing a section keeps its heading", () => {
  const op = writing({ ...choice, place: "section_replace" }, VERSION);
  assert.deepEqual([op.action, op.scope, op.where], ["replace", "section", undefined]);
  assert.match(op.op_id, /^[A-Za-z0-9_-]{1,64}$/);
});

test("undoing names the operation that it undoes", () => {
  const op = undoing("mine", VERSION);
  assert.deepEqual([op.action, op.target], ["revert", { type: "op", op: { op_id: "mine" } }]);
  assert.equal(undoneBy(op), "mine");
  assert.equal(undoneBy(writing(choice, VERSION)), null);
});

test("a writing whose version a crash forgot is made anew, with its op_id and all else", () => {
  const op = writing(choice, VERSION, "id");
  const forgotten = { type: "conflict", reason: "unknown_version", expected_version: at(1) };
  assert.deepEqual(madeAnew(op, forgotten), { ...op, client_version: at(1) });
  assert.equal(madeAnew(undoing("mine", VERSION), forgotten).client_version, at(1));
});

test("a writing that replaces text, met another change or is at the newest version is not made anew", () => {
  const op = writing(choice, VERSION, "id");
  const forgotten = { type: "conflict", reason: "unknown_version", expected_version: at(1) };
  assert.equal(madeAnew(writing({ ...choice, place: "section_replace" }, VERSION), forgotten), null);
  assert.equal(madeAnew(op, { ...forgotten, reason: "range_changed" }), null);
  assert.equal(madeAnew(op, { type: "ack", server_version: at(4) }), null);
  assert.equal(madeAnew(op, { ...forgotten, expected_version: VERSION }), null);
});

test("what a checkpoint has not covered is sent again, in order", () => {
  const unsaved = new UnsavedOperations();
  const ops = [4, 5, 6].map((seq) => writing(choice, VERSION, `op${seq}`));
  ops.forEach((op, index) => unsaved.applied(op, at(4 + index)));
  unsaved.applied(ops[2], at(6));
  unsaved.checkpoint(at(4));
  assert.deepEqual(unsaved.forgotten(), [ops[1], ops[2]]);
  assert.deepEqual(unsaved.forgotten(), []);
});

test("a conflict keeps the server's hint and offers to try again, an undo that lost its race does not", () => {
  const conflict = { type: "conflict", reason: "section_changed", hint: "Read it again." };
  const told = endOf(false, conflict);
  assert.deepEqual(
    [told.tone, told.key, told.hint, told.retry],
    ["warning", "conflict.section_changed", conflict.hint, "again"],
  );
  assert.equal(endOf(true, { ...conflict, reason: "overlap" }).retry, null);
});

test("a reason that is newer than the page is told as it is", () => {
  const told = endOf(false, { type: "conflict", reason: "too_late", hint: "" });
  assert.deepEqual([told.key, told.values], ["outcome.conflict", { reason: "too_late" }]);
});

test("an error shows what may have been meant", () => {
  const candidates = [{ line: 3, text: "## Ideas" }];
  const told = endOf(false, { type: "error", code: "TARGET_NOT_FOUND", message: "no", hint: "h", candidates });
  assert.deepEqual([told.tone, told.candidates], ["bad", ["3: ## Ideas"]]);
});

test("an op that may have been taken is sent again unchanged, one that was refused is not", () => {
  const problem = { status: 0, code: "UNREACHABLE", detail: "", hint: "" };
  assert.deepEqual(refusalOf(problem, false).retry, "unchanged");
  assert.deepEqual(refusalOf({ ...problem, status: 413 }, true).retry, null);
});
