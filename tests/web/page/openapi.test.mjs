/**
 * Reading an OpenAPI document.
 */

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  curlOf,
  exampleOf,
  groupedByTag,
  matches,
  operationsOf,
  resolve,
} from "../../../canvas_server/web/page/openapi.js";

const ROOT = {
  openapi: "3.1.0",
  tags: [{ name: "Canvases", description: "All of them." }, { name: "Unused" }],
  paths: {
    "/c/{ref}": {
      parameters: [{ $ref: "#/components/parameters/ref" }],
      put: {
        operationId: "create",
        tags: ["Canvases"],
        summary: "Create a canvas",
        requestBody: { content: { "application/json": { schema: { $ref: "#/components/schemas/Create" } } } },
        responses: { 201: { description: "Made." }, "4XX": { $ref: "#/components/responses/Problem" } },
      },
      get: {
        parameters: [{ name: "unit", in: "query", required: true, schema: { enum: ["utf16", "codepoint"] } }],
        responses: { 200: { description: "Events.", content: { "text/event-stream": {} } } },
      },
    },
  },
  components: {
    parameters: { ref: { name: "ref", in: "path", required: true, schema: { type: "string" }, example: "a b" } },
    responses: { Problem: { description: "A refusal.", content: { "application/problem+json": {} } } },
    schemas: {
      Create: {
        type: "object",
        required: ["title", "tree"],
        properties: {
          title: { type: "string", example: "it's" },
          note: { type: "string" },
          tree: { $ref: "#/components/schemas/Tree" },
        },
      },
      Tree: {
        type: "object",
        required: ["children"],
        properties: { children: { type: "array", items: { $ref: "#/components/schemas/Tree" } } },
      },
      "odd/na~me": { anyOf: [{ type: "null" }, { type: "integer", minimum: 3 }] },
      Loop: { $ref: "#/components/schemas/Loop" },
    },
  },
};
const [read, create] = operationsOf(ROOT);

test("references are followed, escaped names included", () => {
  assert.equal(resolve(ROOT, { $ref: "#/components/schemas/odd~1na~0me" }), ROOT.components.schemas["odd/na~me"]);
});

test("a reference that leads to itself or to nothing ends", () => {
  assert.deepEqual(resolve(ROOT, { $ref: "#/components/schemas/Loop" }), ROOT.components.schemas.Loop);
  assert.equal(resolve(ROOT, { $ref: "#/nowhere/at/all" }), undefined);
});

test("operations carry their path's parameters and their answers, references followed", () => {
  assert.deepEqual([read.method, create.method], ["GET", "PUT"]);
  assert.deepEqual(
    read.parameters.map(({ name, place }) => `${name} ${place}`),
    ["ref path", "unit query"],
  );
  assert.deepEqual(
    create.answers.map(({ status, description }) => `${status} ${description}`),
    ["201 Made.", "4XX A refusal."],
  );
});

test("groups follow the declared tags, and none is empty", () => {
  const groups = groupedByTag(ROOT, [read, create]);
  assert.deepEqual(
    groups.map(({ tag, operations }) => [tag, operations.length]),
    [
      ["Canvases", 1],
      ["", 1],
    ],
  );
});

test("a search finds all words in any case and order", () => {
  assert.ok(matches(create, "CANVAS put"));
  assert.ok(matches(create, "  "));
  assert.ok(!matches(create, "canvas delete"));
});

test("an example holds the required fields only, and one of a recursive schema ends", () => {
  const example = exampleOf(ROOT, { $ref: "#/components/schemas/Create" });
  assert.deepEqual(Object.keys(example), ["title", "tree"]);
  assert.ok(JSON.stringify(example).length < 500);
  assert.equal(exampleOf(ROOT, { $ref: "#/components/schemas/odd~1na~0me" }), 3);
});

test("the command quotes for a shell and streams what is a stream", () => {
  assert.match(
    curlOf(ROOT, create, "http://h"),
    /^curl -sS -X PUT 'http:\/\/h\/c\/a%20b' \\\n {2}-H 'Content-Type: application\/json'/,
  );
  assert.ok(curlOf(ROOT, create, "http://h").includes(`"title":"it'\\''s"`));
  assert.equal(curlOf(ROOT, read, "http://h"), "curl -sSN 'http://h/c/a%20b?unit=utf16'");
});
