/**
 * What was, of the open canvas: its history on a slider, who wrote what, and works that are taken back.
 *
 * Rule: nothing is read before its reader asks for it.
 */

import { CLIENT_ID, Problem, readCanvasAt, readOps } from "./api.js";
import { Authorship } from "./authorship.js";
import { AuthorsPanel } from "./authorspanel.js";
import { difference } from "./difference.js";
import { byId } from "./element.js";
import { words } from "./language.js";
import { PAGE_OPS, Past, PastGone, seqOf } from "./past.js";
import { PastPanel } from "./pastpanel.js";
import { problemText } from "./problems.js";
import { OtherHistory, Unsent, findJob, retract, wholeWork } from "./retraction.js";
import { session } from "./session.js";
import { sizeText } from "./telling.js";
import { Timeline } from "./timeline.js";
import { WorkList } from "./worklist.js";
import { stretchEnd, worksOf } from "./works.js";
import { Writers } from "./writers.js";

const LENGTHEN_MS = 500;

/**
 * @typedef {import("./retraction.js").OpenCanvas} OpenCanvas
 * @typedef {import("./works.js").Work} Work
 * @typedef {{ref: string, canvas: OpenCanvas, past: Past, timeline: Timeline, authorship: Authorship|null,
 *   offs: (() => void)[]}} Open
 */

export class Chronicle {
  /** @type {Open|null} */ #open = null;
  /** how many operations the list of works looks back */ #depth = PAGE_OPS;
  /** @type {ReturnType<typeof setTimeout>|null} */ #timer = null;
  /** what was read may be of another history */ #isStale = false;
  #writers = new Writers();
  #list = new WorkList(this.#writers, {
    see: (work) => this.#panel.go(work.last),
    undo: (work) => this.#undo(work),
    more: () => this.#listWorks(this.#depth + PAGE_OPS),
  });
  #panel = new PastPanel({
    text: () => this.#open?.canvas.text ?? "",
    restore: (text) => this.#restore(text),
    sentence: sentenceOf,
    who: (ack) => this.#writers.of({ ...ack, clientId: ack.client_id }).name,
    moved: (ack) => this.#list.mark(ack?.op_id ?? null),
    nextStop: (seq) => this.#nextStop(seq),
  });
  #authors;
  #write;

  /**
   * @param {object} editor
   * @param {(ranges: import("./authorspanel.js").ShownRange[]) => void} editor.colour puts colours in the text
   * @param {(changes: import("./authors.js").Change[]) => void} editor.write as if the reader had typed it
   */
  constructor({ colour, write }) {
    this.#write = write;
    this.#authors = new AuthorsPanel(this.#writers, {
      wanted: (isShown) => (isShown ? this.#showAuthors() : this.#hideAuthors()),
      ranges: colour,
    });
    byId("past-open").addEventListener("click", () => this.#show());
  }

  /** @param {string} ref @param {OpenCanvas} canvas whose text has been read */
  open(ref, canvas) {
    this.close();
    const source = {
      ops: (/** @type {number} */ after, /** @type {number} */ limit) => readOps(ref, after, limit),
      text: (/** @type {number} */ seq) => readCanvasAt(ref, seq),
    };
    const past = new Past(source, seqOf(canvas.version));
    const offs = [
      canvas.on("event", (event) => this.#receive(event)),
      canvas.on("change", () => this.#lengthen()),
      canvas.on("state", (state) => this.#stateChanged(state)),
    ];
    this.#isStale = false;
    this.#open = { ref, canvas, past, timeline: new Timeline(past), authorship: null, offs };
    byId("past-open").hidden = false;
    if (this.#authors.isWanted) this.#showAuthors();
  }

  close() {
    this.#hideAuthors();
    for (const off of this.#open?.offs ?? []) off();
    this.#open = null;
    this.#depth = PAGE_OPS;
    byId("past-open").hidden = true;
    this.#panel.close();
    this.#list.show([], false);
  }

  /** @param {boolean} canWrite */
  permit(canWrite) {
    this.#panel.permit(canWrite);
    this.#list.permit(canWrite);
  }

  /**
   * Take back what a job wrote here.
   *
   * @param {string} jobId
   * @returns {Promise<string>} a sentence that says what came of it
   */
  async undoJob(jobId) {
    const open = this.#open;
    if (open === null) return "";
    try {
      const found = await findJob(this.#reached(open), jobId);
      const retracted = found === null ? null : await this.#retract(open, found);
      return retractedText(retracted);
    } catch (error) {
      return sentenceOf(error);
    }
  }

  /** @param {any} event of the canvas's stream */
  #receive(event) {
    if (event.type === "presence" && this.#writers.hear(event)) this.#open?.authorship?.tell();
    if (event.type === "ack") this.#open?.past.add(event);
    if (event.type === "ack") this.#lengthen();
    if (event.type === "reset") this.#isStale = true;
  }

  /** The server went back to an older state: once it is caught up with, all is read anew. @param {string} state */
  #stateChanged(state) {
    if (this.#isStale && state === "live" && this.#open !== null) this.open(this.#open.ref, this.#open.canvas);
  }

  /** Others write many times a second: the list is drawn anew at most twice. */
  #lengthen() {
    if (!this.#panel.isOpen) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      if (this.#open === null || !this.#panel.isOpen) return;
      this.#reached(this.#open);
      this.#panel.lengthen();
      this.#listWorks(this.#depth);
    }, LENGTHEN_MS);
  }

  /** Not every operation is heard one by one: after a pause they come by the history. @param {Open} open */
  #reached({ past, canvas }) {
    past.reach(seqOf(canvas.version));
    return past;
  }

  async #show() {
    const open = this.#open;
    if (open === null) return;
    this.#reached(open);
    this.#panel.open(open.timeline);
    await this.#listWorks(PAGE_OPS);
  }

  /** @param {number} depth how many operations to look back */
  async #listWorks(depth) {
    const open = this.#open;
    if (open === null) return;
    this.#depth = depth;
    try {
      const acks = await open.past.newest(depth);
      if (open === this.#open) this.#list.show(worksOf(acks), seqOf(acks[0]?.base_version ?? "") > open.past.floor);
    } catch (error) {
      const sentence = sentenceOf(error);
      this.#panel.say(() => sentence);
    }
  }

  /** @param {Work} work */
  async #undo(work) {
    const open = this.#open;
    if (open === null) return;
    this.#panel.say(() => words("past.undoing"));
    let sentence;
    try {
      const { first, opIds } = await wholeWork(this.#reached(open), work);
      sentence = retractedText(await this.#retract(open, { first, opIds: new Set(opIds) }));
      this.#list.undone(work);
    } catch (error) {
      sentence = sentenceOf(error);
    }
    this.#panel.say(() => sentence);
  }

  /** @param {Open} open @param {{first: number, opIds: Set<string>}} done */
  #retract({ canvas, past }, done) {
    return retract(canvas, past, done, this.#write);
  }

  /** Nothing is touched that is the same in both texts: what others write meanwhile stays. @param {string} text */
  #restore(text) {
    const { canvas } = this.#open ?? {};
    const spots = canvas === undefined ? [] : difference(canvas.text, text);
    if (spots.length > 0) this.#write(spots.reverse());
    return spots.length > 0;
  }

  /** @param {number} seq @returns {Promise<number>} */
  async #nextStop(seq) {
    const page = await this.#open?.past.page(seq + 1);
    return stretchEnd(page ?? [], seq + 1);
  }

  #showAuthors() {
    const open = this.#open;
    if (open === null || open.authorship !== null) return;
    const authorship = new Authorship(open.canvas, this.#reached(open), ownWriter, () => this.#authors.changed());
    open.authorship = authorship;
    this.#authors.show(() => authorship);
    authorship.start().catch((error) => {
      const sentence = sentenceOf(error);
      this.#authors.failed(() => sentence);
    });
  }

  #hideAuthors() {
    this.#open?.authorship?.stop();
    if (this.#open !== null) this.#open.authorship = null;
    this.#authors.hide();
  }
}

/** @returns {import("./authors.js").Writer} of what is typed in this tab */
function ownWriter() {
  const actor = session.me?.name ?? "local";
  return { actor, kind: "human", clientId: CLIENT_ID, opId: null, timestamp: Date.now(), meta: null };
}

/** @param {import("./retraction.js").Retracted|null} retracted */
function retractedText(retracted) {
  if (retracted === null) return words("past.nothing");
  return words("past.undone", { what: sizeText(retracted.restored, retracted.removed) });
}

/** @param {unknown} error @returns {string} for the reader */
function sentenceOf(error) {
  if (error instanceof PastGone) return words("past.gone");
  if (error instanceof OtherHistory || error instanceof RangeError) return words("past.other");
  if (error instanceof Unsent) return words("past.unsent");
  if (error instanceof Problem) return words("past.refused", { detail: problemText(error) });
  throw error;
}
