/**
 * A JSON Schema on screen: one line for each field, opened further on demand. What is not opened is not built, so
 * that a schema may refer to itself.
 */

import { element } from "./element.js";
import { saidElement } from "./language.js";
import { referenceName, resolve, typeNames } from "./openapi.js";

/** The language that descriptions are written in, whatever the page's. */
export const API_LANGUAGE = "en";

const BOUNDS = {
  minimum: "≥ ",
  exclusiveMinimum: "> ",
  maximum: "≤ ",
  exclusiveMaximum: "< ",
  minLength: "length ≥ ",
  maxLength: "length ≤ ",
  minItems: "items ≥ ",
  maxItems: "items ≤ ",
  format: "format ",
  pattern: "pattern ",
  default: "= ",
};

/**
 * @typedef {import("./openapi.js").Node} Node
 * @typedef {{name: string, schema: Node, required: boolean}} Field
 */

/** @param {Node} root @param {Node} schema @returns {HTMLElement} its fields, or its type if it has none */
export function schemaElement(root, schema) {
  const fields = fieldsOf(root, schema);
  return fields.length > 0 ? fieldList(root, fields) : element("p", { class: "schema" }, ...typeParts(root, schema));
}

/**
 * @param {Node} root
 * @param {Field} field
 * @returns {HTMLElement} a line, with what is inside it to be opened
 */
export function fieldElement(root, { name, schema, required }) {
  /** @type {(Node|string)[]} */
  const line = [element("code", { class: "field-name" }, name), " "];
  if (name !== typeText(root, schema)) line.push(...typeParts(root, schema));
  if (required) line.push(" ", saidElement("span", "docs.required", { class: "required" }));
  const description = prose(schema.description ?? resolve(root, schema)?.description ?? "");
  if (fieldsOf(root, schema).length === 0) return element("div", { class: "leaf" }, ...line, description);
  const inside = element("details", {}, element("summary", {}, ...line, description));
  inside.addEventListener("toggle", () => inside.append(schemaElement(root, schema)), { once: true });
  return inside;
}

/** @param {string} text paragraphs apart by blank lines, `code` between back-quotes @returns {DocumentFragment} */
export function prose(text) {
  const fragment = document.createDocumentFragment();
  for (const paragraph of text.split(/\n\s*\n/).filter((part) => part.trim() !== "")) {
    const pieces = paragraph.split("`").map((part, index) => (index % 2 === 0 ? part : element("code", {}, part)));
    fragment.append(element("p", { class: "prose", lang: API_LANGUAGE }, ...pieces));
  }
  return fragment;
}

/** @param {Node} root @param {Field[]} fields */
function fieldList(root, fields) {
  return element("ul", { class: "fields" }, ...fields.map((field) => element("li", {}, fieldElement(root, field))));
}

/** @param {Node} root @param {Node} unresolved @returns {Field[]} what can be opened inside */
function fieldsOf(root, unresolved) {
  const schema = resolve(root, unresolved) ?? {};
  const variants = variantsOf(schema);
  if (variants.length === 1) return fieldsOf(root, variants[0]);
  if (variants.length > 1) return variantFields(root, variants);
  if (schema.items !== undefined) return fieldsOf(root, schema.items);
  const merged = (schema.allOf ?? []).flatMap((/** @type {Node} */ part) => fieldsOf(root, part));
  return [...merged, ...propertyFields(schema)];
}

/** @param {Node} schema @returns {Node[]} the choices besides null */
function variantsOf({ anyOf, oneOf }) {
  return (anyOf ?? oneOf ?? []).filter((/** @type {Node} */ variant) => variant.type !== "null");
}

/** Variants without fields are told in the type. @param {Node} root @param {Node[]} variants @returns {Field[]} */
function variantFields(root, variants) {
  return variants
    .filter((variant) => fieldsOf(root, variant).length > 0)
    .map((variant) => ({ name: typeText(root, variant), schema: variant, required: false }));
}

/** @param {Node} schema @returns {Field[]} */
function propertyFields({ properties = {}, required = [], additionalProperties }) {
  const fields = Object.entries(properties).map(([name, schema]) => ({
    name,
    schema,
    required: required.includes(name),
  }));
  const hasOthers = typeof additionalProperties === "object" && Object.keys(additionalProperties).length > 0;
  return hasOthers ? [...fields, { name: "*", schema: additionalProperties, required: false }] : fields;
}

/** @param {Node} root @param {Node} schema @returns {(Node|string)[]} */
function typeParts(root, schema) {
  const bounds = boundsOf(root, schema).map((bound) => element("code", { class: "bound" }, bound));
  const spaced = bounds.flatMap((bound) => [" ", bound]);
  return [element("span", { class: "type" }, typeText(root, schema)), ...spaced];
}

/** @param {Node} root @param {Node} schema @returns {string[]} */
function boundsOf(root, schema) {
  const told = { ...resolve(root, schema), ...schema };
  return Object.entries(BOUNDS)
    .filter(([name]) => isTold(told[name]))
    .map(([name, sign]) => sign + String(told[name]).replaceAll("\n", "\\n"));
}

/** A default that is null, nothing or a whole object says less than the room it takes. @param {unknown} value */
function isTold(value) {
  return value !== undefined && value !== null && value !== "" && typeof value !== "object";
}

/** @param {Node} root @param {Node} schema @returns {string} */
function typeText(root, schema) {
  const name = referenceName(schema);
  if (name !== null) return resolve(root, schema)?.enum === undefined ? name : typeText(root, resolve(root, schema));
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum !== undefined)
    return schema.enum.map((/** @type {unknown} */ value) => JSON.stringify(value)).join(" | ");
  const variants = schema.anyOf ?? schema.oneOf ?? schema.allOf;
  if (variants !== undefined) return variants.map((/** @type {Node} */ one) => typeText(root, one)).join(" | ");
  if (schema.items !== undefined) return `${typeText(root, schema.items)}[]`;
  return typeNames(schema).join(" | ") || "any";
}
