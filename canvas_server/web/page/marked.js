/**
 * A text with the differences to another one marked, in blocks of which only those that are new are laid out again.
 */

import { element } from "./element.js";

const BLOCK_CHARS = 2000;
const BLOCK_CHARS_MAX = 12_000;
/** One line in so many may end a block: a block ends at the same line whatever stands before it. */
const ENDS_IN = 8;

/**
 * @typedef {import("./difference.js").Spot} Spot
 * @typedef {{kind: "same"|"added"|"removed", text: string}} Segment
 */

/**
 * @param {string} before
 * @param {Spot[]} spots what makes another text of it
 * @returns {Segment[]} both texts, each passage once
 */
export function segmentsOf(before, spots) {
  /** @type {Segment[]} */
  const segments = [];
  let end = 0;
  for (const { from, to, insert } of spots) {
    segments.push({ kind: "same", text: before.slice(end, from) });
    segments.push({ kind: "removed", text: before.slice(from, to) });
    segments.push({ kind: "added", text: insert });
    end = to;
  }
  segments.push({ kind: "same", text: before.slice(end) });
  return segments.filter(({ text }) => text !== "");
}

/** @param {Segment[]} segments @returns {Segment[][]} the same in blocks, cut at ends of lines */
export function blocksOf(segments) {
  /** @type {Segment[][]} */
  const blocks = [[]];
  let length = 0;
  for (const { kind, text } of segments) {
    for (let start = 0; start < text.length; ) {
      const end = blockEnd(text, start, length);
      blocks[blocks.length - 1].push({ kind, text: text.slice(start, end) });
      length += end - start;
      start = end;
      if (start < text.length || isFull(length, text)) [length] = [0, blocks.push([])];
    }
  }
  return blocks.filter((block) => block.length > 0);
}

/** @param {number} length @param {string} text */
function isFull(length, text) {
  return length >= BLOCK_CHARS_MAX && text.endsWith("\n");
}

/** @param {string} text @param {number} start @param {number} length of the block so far @returns {number} */
function blockEnd(text, start, length) {
  let lineStart = start;
  while (true) {
    const newline = text.indexOf("\n", lineStart);
    if (newline === -1) return text.length;
    const reached = length + newline + 1 - start;
    const isEnd = reached >= BLOCK_CHARS && (newline - lineStart) % ENDS_IN === 0;
    if (isEnd || reached >= BLOCK_CHARS_MAX) return newline + 1;
    lineStart = newline + 1;
  }
}

export class MarkedText {
  /** @type {string[]} what tells each block from another */ #keys = [];
  #pane;

  /** @param {HTMLElement} pane */
  constructor(pane) {
    this.#pane = pane;
  }

  /** @param {Segment[]} segments */
  show(segments) {
    const blocks = blocksOf(segments);
    const keys = blocks.map((block) => block.map(({ kind, text }) => kind + text).join("\u0000"));
    const most = Math.min(keys.length, this.#keys.length);
    let head = 0;
    while (head < most && keys[head] === this.#keys[head]) head += 1;
    let tail = 0;
    while (tail < most - head && keys[keys.length - 1 - tail] === this.#keys[this.#keys.length - 1 - tail]) tail += 1;
    const old = [...this.#pane.children].slice(head, this.#keys.length - tail);
    const next = this.#pane.children[this.#keys.length - tail] ?? null;
    for (const block of blocks.slice(head, blocks.length - tail)) this.#pane.insertBefore(blockElement(block), next);
    for (const block of old) block.remove();
    this.#keys = keys;
  }

  /** Bring the first difference into view, where it is not. */
  scrollToFirst() {
    const mark = this.#pane.querySelector("ins, del");
    if (mark === null) return;
    const [pane, box] = [this.#pane.getBoundingClientRect(), mark.getBoundingClientRect()];
    if (box.top >= pane.top && box.top <= pane.bottom - box.height) return;
    this.#pane.scrollTop += box.top - pane.top - pane.height / 3;
  }
}

const TAGS = { added: "ins", removed: "del" };

/** @param {Segment[]} segments */
function blockElement(segments) {
  const parts = segments.map(({ kind, text }) => (kind === "same" ? text : element(TAGS[kind], {}, text)));
  return element("div", {}, ...parts);
}
