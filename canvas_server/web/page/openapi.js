/**
 * Reading an OpenAPI 3.1 document: what it says of each operation, with its references followed. No page here.
 */

const METHODS = ["get", "put", "post", "patch", "delete", "head", "options", "trace"];
const EXAMPLE_DEPTH_MAX = 6;
const EVENT_STREAM = "text/event-stream";

/**
 * @typedef {any} Node a part of the document: its shape is the server's to choose
 * @typedef {{type: string, schema: Node, example: unknown}} Media
 * @typedef {{name: string, place: string, required: boolean, description: string, schema: Node}} Parameter
 * @typedef {{status: string, description: string, media: Media[]}} Answer
 * @typedef {{description: string, media: Media[]}} Body
 * @typedef {object} Operation
 * @property {string} id
 * @property {string} tag empty without one
 * @property {string} method in upper case
 * @property {string} path
 * @property {string} summary
 * @property {string} description
 * @property {boolean} deprecated
 * @property {Parameter[]} parameters
 * @property {Body|null} body
 * @property {Answer[]} answers
 */

/**
 * Follow a reference within the document, and those it leads to.
 *
 * @param {Node} root
 * @param {Node} node
 * @returns {Node}
 */
export function resolve(root, node) {
  const seen = new Set();
  while (typeof node?.$ref === "string" && !seen.has(node.$ref)) {
    seen.add(node.$ref);
    node = pointed(root, node.$ref);
  }
  return node;
}

/** @param {Node} node @returns {string|null} the name a reference ends with */
export function referenceName(node) {
  return typeof node?.$ref === "string" ? unescaped(node.$ref.split("/").at(-1)) : null;
}

/** @param {Node} root @returns {Operation[]} in the document's order */
export function operationsOf(root) {
  return Object.entries(root.paths ?? {}).flatMap(([path, item]) => operationsAt(root, path, resolve(root, item)));
}

/**
 * @param {Node} root
 * @param {Operation[]} operations
 * @returns {{tag: string, description: string, operations: Operation[]}[]} declared tags first; none is empty
 */
export function groupedByTag(root, operations) {
  const declared = new Map((root.tags ?? []).map((/** @type {Node} */ tag) => [tag.name, tag.description ?? ""]));
  const names = new Set([...declared.keys(), ...operations.map(({ tag }) => tag)]);
  return [...names]
    .map((tag) => ({
      tag,
      description: declared.get(tag) ?? "",
      operations: operations.filter((one) => one.tag === tag),
    }))
    .filter((group) => group.operations.length > 0);
}

/** @param {Operation} operation @param {string} query words that must all occur, in any case @returns {boolean} */
export function matches({ method, path, summary, description, tag }, query) {
  const said = [method, path, summary, description, tag].join(" ").toLowerCase();
  return query
    .toLowerCase()
    .split(/\s+/)
    .every((word) => said.includes(word));
}

/**
 * A value that the schema allows: what it gives as an example, else its required fields only.
 *
 * @param {Node} root
 * @param {Node} unresolved
 * @param {number} [depth]
 * @returns {unknown}
 */
export function exampleOf(root, unresolved, depth = 0) {
  const schema = resolve(root, unresolved) ?? {};
  const given = [schema.example, schema.examples?.[0], schema.const, schema.enum?.[0], schema.default];
  const told = given.find((value) => value !== undefined && value !== null);
  if (told !== undefined) return told;
  const choice = (schema.anyOf ?? schema.oneOf ?? schema.allOf)?.find((/** @type {Node} */ one) => one.type !== "null");
  if (choice !== undefined) return exampleOf(root, choice, depth);
  return depth > EXAMPLE_DEPTH_MAX ? null : exampleOfType(root, schema, depth);
}

/**
 * The operation as a command for a POSIX shell.
 *
 * @param {Node} root
 * @param {Operation} operation
 * @param {string} origin of the server
 * @returns {string}
 */
export function curlOf(root, operation, origin) {
  const media = operation.body?.media[0];
  const isStream = operation.answers.some((answer) => answer.media.some(({ type }) => type === EVENT_STREAM));
  const words = ["curl", isStream ? "-sSN" : "-sS"];
  if (operation.method !== "GET") words.push("-X", operation.method);
  words.push(quoted(origin + filledPath(root, operation)));
  if (media === undefined) return words.join(" ");
  const body = JSON.stringify(media.example ?? exampleOf(root, media.schema));
  return [words.join(" "), `-H ${quoted(`Content-Type: ${media.type}`)}`, `--data ${quoted(body)}`].join(" \\\n  ");
}

/** @param {Node} root @param {string} reference */
function pointed(root, reference) {
  const steps = reference.replace(/^#\/?/, "").split("/").filter(Boolean).map(unescaped);
  return steps.reduce((node, step) => node?.[step], root);
}

/** @param {string} step of a JSON Pointer in a URI fragment */
function unescaped(step) {
  return decodeURIComponent(step).replaceAll("~1", "/").replaceAll("~0", "~");
}

/** @param {Node} root @param {string} path @param {Node} item @returns {Operation[]} */
function operationsAt(root, path, item) {
  const methods = METHODS.filter((method) => item[method] !== undefined);
  return methods.map((method) => operationOf(root, path, method, item));
}

/** @param {Node} root @param {string} path @param {string} method @param {Node} item @returns {Operation} */
function operationOf(root, path, method, item) {
  const told = item[method];
  return {
    id: told.operationId ?? `${method}${path}`,
    tag: told.tags?.[0] ?? "",
    method: method.toUpperCase(),
    path,
    summary: told.summary ?? "",
    description: told.description ?? "",
    deprecated: told.deprecated === true,
    parameters: parametersOf(root, [...(item.parameters ?? []), ...(told.parameters ?? [])]),
    body: told.requestBody === undefined ? null : bodyOf(resolve(root, told.requestBody)),
    answers: Object.entries(told.responses ?? {}).map(([status, answer]) => ({
      status,
      ...bodyOf(resolve(root, answer)),
    })),
  };
}

/** An operation's own parameter takes the place of its path's. @param {Node} root @param {Node[]} told */
function parametersOf(root, told) {
  const byName = new Map(told.map((one) => parameterOf(resolve(root, one))).map((one) => [one.place + one.name, one]));
  return [...byName.values()];
}

/** @param {Node} told @returns {Parameter} */
function parameterOf({ name, in: place, required = false, description = "", schema = {}, example }) {
  const shown = example === undefined ? schema : { ...schema, example };
  return { name, place, required, description, schema: shown };
}

/** @param {Node} told @returns {Body} */
function bodyOf({ description = "", content = {} }) {
  return { description, media: Object.entries(content).map(([type, media]) => mediaOf(type, media)) };
}

/** @param {string} type @param {Node} media @returns {Media} */
function mediaOf(type, { schema = {}, example, examples = {} }) {
  const [first] = /** @type {Node[]} */ (Object.values(examples));
  return { type, schema, example: example ?? first?.value };
}

/** @param {Node} root @param {Node} schema @param {number} depth */
function exampleOfType(root, schema, depth) {
  switch (typeNames(schema)[0]) {
    case "object":
      return exampleObject(root, schema, depth);
    case "array":
      return schema.items === undefined ? [] : [exampleOf(root, schema.items, depth + 1)];
    case "integer":
    case "number":
      return schema.minimum ?? 0;
    case "boolean":
      return false;
    case "null":
      return null;
    default:
      return "…";
  }
}

/** @param {Node} root @param {Node} schema @param {number} depth */
function exampleObject(root, { properties = {}, required = [] }, depth) {
  const fields = Object.entries(properties).filter(([name]) => required.includes(name));
  return Object.fromEntries(fields.map(([name, field]) => [name, exampleOf(root, field, depth + 1)]));
}

/** @param {Node} schema @returns {string[]} */
export function typeNames({ type, properties }) {
  if (type === undefined) return properties === undefined ? [] : ["object"];
  return Array.isArray(type) ? type : [type];
}

/** @param {Node} root @param {Operation} operation the required query parameters come with it */
function filledPath(root, { path, parameters }) {
  const filled = path.replace(/\{(\w+)\}/g, (placeholder, name) => {
    const parameter = parameters.find((one) => one.place === "path" && one.name === name);
    const example = resolve(root, parameter?.schema)?.example;
    return example === undefined ? placeholder : encodeURIComponent(String(example));
  });
  const query = parameters.filter((one) => one.place === "query" && one.required);
  const pairs = query.map(({ name, schema }) => `${name}=${encodeURIComponent(String(exampleOf(root, schema)))}`);
  return pairs.length === 0 ? filled : `${filled}?${pairs.join("&")}`;
}

/** @param {string} text as one word of a POSIX shell */
function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
