/**
 * The text on screen: the acks' changes applied to it in place, and lit for a moment.
 */

import { TextBlocks } from "./blocks.js";
import { oncePerFrame } from "./frame.js";

const FRESH_MS = 2000;
const FRESH_RANGES_MAX = 200;
/** Beyond this many changes in one frame, writing the whole text anew is cheaper. */
const CHANGES_MAX = 200;
const FOLLOW_MARGIN_PX = 48;

/** @typedef {import("./document.js").Change} Change */

export class TextView {
  /** @type {Change[]|null} null: the whole text is new */ #changes = null;
  /** @type {Range|null} */ #lastRange = null;
  #fresh = freshHighlight();
  #draw = oncePerFrame(() => this.#show());
  #blocks;
  #pane;
  #text;
  #isFollowing;

  /**
   * @param {HTMLElement} pane
   * @param {() => string} text the text as it is now
   * @param {() => boolean} isFollowing whether to scroll to what changes
   */
  constructor(pane, text, isFollowing) {
    this.#pane = pane;
    this.#text = text;
    this.#isFollowing = isFollowing;
    this.#blocks = new TextBlocks(pane);
  }

  replaced() {
    this.#changes = null;
    this.#draw();
  }

  /** @param {Change[]} changes each in the coordinates left by the one before */
  changed(changes) {
    if (this.#changes !== null) this.#changes.push(...changes);
    if ((this.#changes?.length ?? 0) > CHANGES_MAX) this.#changes = null;
    this.#draw();
  }

  #show() {
    const changes = this.#changes;
    this.#changes = [];
    if (changes === null) this.#blocks.replace(this.#text());
    else changes.forEach((change) => this.#apply(change));
    if (changes !== null && changes.length > 0 && this.#isFollowing()) this.#scrollToLast();
  }

  /** @param {Change} change */
  #apply(change) {
    this.#lastRange = this.#blocks.splice(change);
    this.#light(this.#lastRange);
  }

  /** @param {Range} range */
  #light(range) {
    if (this.#fresh === null || this.#fresh.size >= FRESH_RANGES_MAX) return;
    this.#fresh.add(range);
    setTimeout(() => this.#fresh?.delete(range), FRESH_MS);
  }

  #scrollToLast() {
    const pane = this.#pane.getBoundingClientRect();
    const last = this.#lastRange?.getBoundingClientRect();
    if (last === undefined) return;
    if (last.bottom > pane.bottom) this.#pane.scrollTop += last.bottom - pane.bottom + FOLLOW_MARGIN_PX;
    if (last.top < pane.top) this.#pane.scrollTop += last.top - pane.top - FOLLOW_MARGIN_PX;
  }
}

/** @returns {Highlight|null} null where the browser cannot light text without changing the document */
function freshHighlight() {
  if (!("highlights" in CSS)) return null;
  const highlight = new Highlight();
  CSS.highlights.set("fresh", highlight);
  return highlight;
}
