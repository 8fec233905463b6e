/**
 * The history of the open canvas, on a slider: the text as it was at any version, who changed what there, and the way
 * back to it.
 *
 * Rule: nothing here touches the canvas but a return to a text and the taking back of a work; both are edits.
 */

import { difference } from "./difference.js";
import { byId, say } from "./element.js";
import { inEachLanguage, words } from "./language.js";
import { MarkedText, segmentsOf } from "./marked.js";
import { momentText } from "./telling.js";
import { Replay } from "./replay.js";

/**
 * @typedef {import("./timeline.js").Moment} Moment
 * @typedef {import("./timeline.js").Timeline} Timeline
 * @typedef {object} PastObserver
 * @property {() => string} text as it is now
 * @property {(text: string) => boolean} restore make this the text; false: it is already
 * @property {(error: unknown) => string} sentence of what went wrong
 * @property {(ack: import("./past.js").Ack) => string} who by the name a reader knows
 * @property {(ack: import("./past.js").Ack|null) => void} moved to the text that this made
 * @property {(seq: number) => Promise<number>} nextStop the version that ends the work which goes on after this one
 */

export class PastPanel {
  /** @type {Timeline|null} */ #timeline = null;
  /** @type {Moment|null} that is shown */ #moment = null;
  /** @type {() => string} */ #notice = () => "";
  #canRestore = false;
  #dialog = /** @type {HTMLDialogElement} */ (byId("past-dialog"));
  #slider = /** @type {HTMLInputElement} */ (byId("past-slider"));
  #compare = /** @type {HTMLSelectElement} */ (byId("past-compare"));
  #marked = new MarkedText(byId("past-text"));
  #replay = new Replay({
    step: (from, isCalm) => this.#step(from, isCalm),
    changed: (isPlaying) => this.#showPlay(isPlaying),
  });
  #observer;

  /** @param {PastObserver} observer */
  constructor(observer) {
    this.#observer = observer;
    this.#slider.addEventListener("input", () => this.#move(Number(this.#slider.value)));
    this.#compare.addEventListener("change", () => this.#show());
    this.#slider.addEventListener("focus", () => byId("past-told").setAttribute("aria-live", "off"));
    this.#dialog.addEventListener("close", () => this.#replay.stop());
    byId("past-close").addEventListener("click", () => this.#dialog.close());
    byId("past-play").addEventListener("click", () => this.#play());
    byId("past-back").addEventListener("click", () => this.#stepBy(-1));
    byId("past-forth").addEventListener("click", () => this.#stepBy(1));
    byId("past-restore").addEventListener("click", () => this.#restore());
    inEachLanguage(() => this.#show());
  }

  get isOpen() {
    return this.#dialog.open;
  }

  /** @param {Timeline} timeline */
  open(timeline) {
    this.#timeline = timeline;
    this.#say(() => "");
    this.lengthen();
    this.#dialog.showModal();
    this.#slider.focus();
    return this.go(timeline.newest);
  }

  close() {
    if (this.#dialog.open) this.#dialog.close();
    this.#timeline = null;
    this.#moment = null;
    this.#marked.show([]);
  }

  /** There are newer versions. */
  lengthen() {
    this.#slider.min = String(this.#timeline?.oldest ?? 0);
    this.#slider.max = String(this.#timeline?.newest ?? 0);
    this.#showPosition();
  }

  /** @param {boolean} canRestore */
  permit(canRestore) {
    this.#canRestore = canRestore;
    this.#show();
  }

  /** @param {() => string} sentence in the language of the moment */
  say(sentence) {
    this.#say(sentence);
  }

  /** @param {number} seq @returns {Promise<boolean>} whether it is shown now */
  async go(seq) {
    this.#slider.value = String(seq);
    this.#showPosition();
    try {
      const moment = (await this.#timeline?.go(seq)) ?? null;
      if (moment === null) return false;
      this.#moment = moment;
      this.lengthen();
      this.#show();
      this.#observer.moved(moment.ack);
      return true;
    } catch (error) {
      this.#replay.stop();
      this.lengthen();
      const sentence = this.#observer.sentence(error);
      this.#say(() => sentence);
      return false;
    }
  }

  /** The slider says where it is; a button has to have it said. @param {number} count of versions */
  #stepBy(count) {
    byId("past-told").setAttribute("aria-live", "polite");
    return this.#move(Number(this.#slider.value) + count);
  }

  /** A move by hand ends the replay. @param {number} seq */
  #move(seq) {
    this.#replay.stop();
    this.#say(() => "");
    const { oldest, newest } = this.#timeline ?? { oldest: 0, newest: 0 };
    return this.go(Math.min(newest, Math.max(oldest, seq)));
  }

  #play() {
    const { oldest, newest } = this.#timeline ?? { oldest: 0, newest: 0 };
    const here = Number(this.#slider.value);
    this.#replay.toggle(here >= newest ? oldest : here, newest);
  }

  /**
   * @param {number} to
   * @param {boolean} isCalm the reader wants little motion: from one work to the next
   * @returns {Promise<number|null>} where it has come to; null: it is over
   */
  async #step(to, isCalm) {
    const newest = this.#timeline?.newest ?? 0;
    const next = isCalm ? await this.#observer.nextStop(to - 1) : to;
    const isShown = next <= newest && (await this.go(next));
    return isShown ? next : null;
  }

  #restore() {
    const moment = this.#moment;
    if (moment === null) return;
    this.#replay.stop();
    const isDone = this.#observer.restore(moment.text);
    this.#say(() => (isDone ? words("past.restored", { seq: moment.seq }) : words("past.same")));
  }

  /** @param {() => string} sentence */
  #say(sentence) {
    this.#notice = sentence;
    say(byId("past-status"), sentence());
  }

  #show() {
    const moment = this.#moment;
    this.#showPlay(this.#replay.isPlaying);
    byId("past-restore").toggleAttribute("disabled", moment === null);
    byId("past-restore").hidden = !this.#canRestore;
    say(byId("past-status"), this.#notice());
    this.#showPosition();
    if (moment === null) return;
    this.#marked.show(this.#segments(moment));
    if (this.#compare.value === "before") this.#marked.scrollToFirst();
  }

  /** @param {Moment} moment */
  #segments({ before, text }) {
    if (this.#compare.value === "none") return segmentsOf(text, []);
    const [old, fresh] = this.#compare.value === "now" ? [text, this.#observer.text()] : [before, text];
    return segmentsOf(old, difference(old, fresh));
  }

  /** In words, for the slider too: a number says nothing to who hears it. */
  #showPosition() {
    const seq = Number(this.#slider.value);
    const newest = Number(this.#slider.max);
    const position = words("past.position", { seq, newest });
    const told = this.#moment?.seq === seq ? this.#told(this.#moment) : words("past.loading", { seq });
    byId("past-position").textContent = position;
    byId("past-told").textContent = told;
    this.#slider.setAttribute("aria-valuetext", `${told} (${position})`);
    byId("past-back").setAttribute("aria-disabled", String(seq <= Number(this.#slider.min)));
    byId("past-forth").setAttribute("aria-disabled", String(seq >= newest));
  }

  /** @param {Moment} moment */
  #told(moment) {
    return momentText(moment, moment.ack === null ? "" : this.#observer.who(moment.ack));
  }

  /** @param {boolean} isPlaying */
  #showPlay(isPlaying) {
    byId("past-play").textContent = words(isPlaying ? "past.pause" : "past.play");
    byId("past-text").setAttribute("aria-busy", String(isPlaying));
  }
}
