/**
 * A long text on screen in blocks of some kilobytes, so that a change lays out one block again and not the whole.
 *
 * Rule: every block but the last ends with a newline, and the blocks' text joined is the text. No text, no block.
 */

import { element } from "./element.js";

const BLOCK_CHARS = 4000;
const BLOCK_CHARS_MAX = 3 * BLOCK_CHARS;

/**
 * @typedef {import("./editor.js").Change} Change
 * @typedef {{index: number, offset: number, node: Text}} Place an offset as a block and an offset in it
 */

export class TextBlocks {
  /** @type {Text[]} one for each block, in order */ #nodes = [];
  #pane;

  /** @param {HTMLElement} pane */
  constructor(pane) {
    this.#pane = pane;
  }

  /** @param {string} text */
  replace(text) {
    this.#put(0, this.#nodes.length, cut(text));
  }

  /** @param {Change} change @returns {Range} what it inserted */
  splice({ from, to, insert }) {
    if (this.#nodes.length === 0) this.#put(0, 0, [""]);
    const first = this.#locate(from);
    const last = this.#locate(to);
    if (first.index === last.index) first.node.replaceData(first.offset, to - from, insert);
    else this.#join(first, last, insert);
    if (!this.#isWellCut(first.index)) this.#cutAgain(first.index);
    return this.#rangeOf(from, from + insert.length);
  }

  /** @param {number} offset in the whole text @returns {Place} */
  #locate(offset) {
    let index = 0;
    while (index < this.#nodes.length - 1 && offset >= this.#nodes[index].length) {
      offset -= this.#nodes[index].length;
      index += 1;
    }
    return { index, offset, node: this.#nodes[index] };
  }

  /** @param {Place} first @param {Place} last @param {string} insert takes the place of what is between them */
  #join(first, last, insert) {
    const text = first.node.data.slice(0, first.offset) + insert + last.node.data.slice(last.offset);
    this.#put(first.index, last.index - first.index + 1, [text]);
  }

  /** @param {number} index */
  #isWellCut(index) {
    const { data } = this.#nodes[index];
    const isLast = index === this.#nodes.length - 1;
    return data !== "" && data.length <= BLOCK_CHARS_MAX && (isLast || data.endsWith("\n"));
  }

  /** @param {number} index of a block that may have to be joined with the next, or cut in several */
  #cutAgain(index) {
    const { data } = this.#nodes[index];
    const joined = data.endsWith("\n") ? [data] : [data, this.#nodes[index + 1]?.data ?? ""];
    this.#put(index, joined.length, cut(joined.join("")));
  }

  /** @param {number} index @param {number} count how many blocks give way @param {string[]} parts */
  #put(index, count, parts) {
    const nodes = parts.map((part) => document.createTextNode(part));
    const removed = this.#nodes.splice(index, count, ...nodes);
    for (const node of removed) node.parentElement?.remove();
    const next = this.#pane.children[index] ?? null;
    const blocks = document.createDocumentFragment();
    blocks.append(...nodes.map((node) => element("div", {}, node)));
    this.#pane.insertBefore(blocks, next);
  }

  /** @param {number} from @param {number} to */
  #rangeOf(from, to) {
    const range = document.createRange();
    if (this.#nodes.length === 0) return range;
    const start = this.#locate(from);
    const end = this.#locate(to);
    range.setStart(start.node, start.offset);
    range.setEnd(end.node, end.offset);
    return range;
  }
}

/** @param {string} text @returns {string[]} parts of some kilobytes that end with a newline, but for the last */
function cut(text) {
  const parts = [];
  for (let start = 0, end = 0; start < text.length; start = end) {
    const newline = text.indexOf("\n", start + BLOCK_CHARS);
    end = newline === -1 ? text.length : newline + 1;
    parts.push(text.slice(start, end));
  }
  return parts;
}
