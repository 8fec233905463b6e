/**
 * How tall a rendering is, without looking at it: its elements and its words, but not one of its attributes, are built
 * beside the frame that shows it, out of sight, under the same style.
 */

import { element } from "./element.js";

/** A tag, which may hold quoted attributes, or text. */
const PARTS = /<(\/?)([a-z][a-z0-9]*)((?:"[^"]*"|[^">])*)>|([^<]+)/g;
const ENTITIES = /&(amp|lt|gt|quot|nbsp);/g;
/** @type {Record<string, string>} */
const CHARACTERS = { amp: "&", lt: "<", gt: ">", quot: '"', nbsp: "\u00a0" };
const SHOWN = new Set(
  ["blockquote", "br", "code", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "s", "strong"].concat(
    ["table", "tbody", "td", "th", "thead", "tr", "ul"],
  ),
);
const EMPTY = new Set(["br", "hr", "img"]);
/** Of more than this the start is measured, and the rest taken to be like it. */
const MEASURED_CHARS_MAX = 200_000;

/**
 * @param {string} html
 * @param {HTMLElement} pane where it will be shown
 * @returns {number} pixels, rounded up; at least the height of the pane
 */
export function heightOf(html, pane) {
  const built = skeletonOf(html.slice(0, MEASURED_CHARS_MAX));
  const measure = element("div", { class: "measure", "aria-hidden": "true" }, built);
  pane.append(measure);
  const scale = Math.max(1, html.length / MEASURED_CHARS_MAX);
  const height = Math.ceil(built.getBoundingClientRect().height * scale);
  measure.remove();
  return Math.max(height, pane.clientHeight);
}

/** @param {string} html well-formed @returns {HTMLElement} its elements without attributes; others than known ones as spans */
export function skeletonOf(html) {
  const root = element("div", { class: "rendered" });
  let place = root;
  for (const [, closing, tag, attributes, text] of html.matchAll(PARTS)) {
    if (text !== undefined) place.append(text.replace(ENTITIES, (_, name) => CHARACTERS[name]));
    else if (closing === "/") place = place === root ? root : (place.parentElement ?? root);
    else {
      const made = standInFor(tag, attributes);
      place.append(made);
      if (!EMPTY.has(tag)) place = made;
    }
  }
  return root;
}

/** @param {string} tag @param {string} attributes */
function standInFor(tag, attributes) {
  if (SHOWN.has(tag)) return element(tag);
  if (tag === "img") return element("span", { class: "room" });
  return attributes.includes(' class="image"') ? element("span", { class: "image" }) : element("span");
}
