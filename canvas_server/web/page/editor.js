/**
 * The editor of the open canvas: CodeMirror, or a plain text box where that is not there, or not yet.
 *
 * Rule: the text is shown and can be written in as soon as it is known. When CodeMirror comes it takes over what stands
 * in the box, its cursor included; while something is being composed it waits.
 */

import { TextareaEditor } from "./editor_textarea.js";

/**
 * @typedef {{from: number, to: number, insert: string}} Change
 * @typedef {{id: string, name: string, look: string, anchor: number, head: number}} Peer whose cursor is shown; `look`
 *   is a class of around.css
 * @typedef {{from: number, to: number, look: string, title: string}} AuthorRange `look` is classes of history.css
 * @typedef {{text: string, anchor: number, head: number, scrollTop: number, isReadOnly: boolean,
 *   hasFocus: boolean}} EditorStart
 * @typedef {object} EditorObserver
 * @property {(changes: Change[]) => void} edited the reader did, each in the coordinates left by the one before
 * @property {(isOwn: boolean) => void} moved the reader's cursor may be elsewhere: by the reader, or by what others wrote
 * @property {() => void} [composed]
 *
 * @typedef {object} Made
 * @property {string} text
 * @property {{anchor: number, head: number}} selection
 * @property {(start: EditorStart) => void} begin
 * @property {(changes: Change[], isFollowed: boolean) => void} apply
 * @property {(changes: Change[]) => void} write
 * @property {(isReadOnly: boolean) => void} setReadOnly
 * @property {(peer: Peer) => void} putPeer
 * @property {(id: string) => void} removePeer
 * @property {(ranges: AuthorRange[]) => void} setAuthors
 * @property {(position: number) => void} reveal
 * @property {() => void} focus
 */

export class Editor {
  /** @type {Made|null} null: no text has been shown yet */ #made = null;
  /** @type {TextareaEditor|null} what stands in until CodeMirror comes */ #box = null;
  /** @type {(new (pane: HTMLElement, start: EditorStart, observer: EditorObserver) => Made)|null} */ #better = null;
  /** @type {Map<string, Peer>} that a better editor is to show, too */ #peers = new Map();
  /** @type {AuthorRange[]} */ #authors = [];
  #isReadOnly = true;
  #pane;
  #observer;

  /** @param {HTMLElement} pane @param {EditorObserver} observer */
  constructor(pane, observer) {
    this.#pane = pane;
    this.#observer = { ...observer, composed: () => this.#improve() };
    this.#load();
  }

  /** Empty while there is no canvas. */
  get text() {
    return this.#made?.text ?? "";
  }

  get selection() {
    return this.#made?.selection ?? { anchor: 0, head: 0 };
  }

  /** @param {string} text of another canvas, or a wholly new one of this */
  open(text) {
    this.#peers.clear();
    this.#authors = [];
    this.#pane.setAttribute("aria-busy", "false");
    this.#begin({ text, anchor: 0, head: 0, scrollTop: 0, isReadOnly: this.#isReadOnly, hasFocus: false });
  }

  /** There is nothing to see until another is opened. */
  close() {
    if (this.#made !== null) this.open("");
    this.setReadOnly(true);
    this.#pane.setAttribute("aria-busy", "true");
  }

  /** @param {Change[]} changes from elsewhere, each in the coordinates left by the one before @param {boolean} isFollowed */
  apply(changes, isFollowed) {
    this.#made?.apply(changes, isFollowed);
  }

  /** As if the reader had typed it: it is told, and the reader can undo it. @param {Change[]} changes */
  write(changes) {
    this.#made?.write(changes);
  }

  /** @param {boolean} isReadOnly */
  setReadOnly(isReadOnly) {
    if (isReadOnly === this.#isReadOnly) return;
    this.#isReadOnly = isReadOnly;
    this.#made?.setReadOnly(isReadOnly);
  }

  /** Show somebody's cursor, or show it elsewhere; it goes along with the text around it. @param {Peer} peer */
  putPeer(peer) {
    this.#peers.set(peer.id, peer);
    this.#made?.putPeer(peer);
  }

  /** @param {string} id */
  removePeer(id) {
    this.#peers.delete(id);
    this.#made?.removePeer(id);
  }

  /** Colour what is known to be written by somebody; nothing with an empty list. @param {AuthorRange[]} ranges in order */
  setAuthors(ranges) {
    this.#authors = ranges;
    this.#made?.setAuthors(ranges);
  }

  /** Put the cursor somewhere, and show that place. @param {number} position */
  reveal(position) {
    this.#made?.reveal(position);
  }

  focus() {
    this.#made?.focus();
  }

  async #load() {
    try {
      this.#better = (await import("./editor_codemirror.js")).CodeMirrorEditor;
    } catch (error) {
      // Not built, or not loaded: the box does.
      if (!(error instanceof TypeError || error instanceof SyntaxError)) throw error;
    }
    this.#improve();
  }

  /** @param {EditorStart} start */
  #begin(start) {
    if (this.#made !== null) this.#made.begin(start);
    else if (this.#better !== null) this.#made = new this.#better(this.#pane, start, this.#observer);
    else this.#made = this.#box = new TextareaEditor(this.#pane, start, this.#observer);
  }

  #improve() {
    const box = this.#box;
    if (this.#better === null || box === null || box.isComposing) return;
    const { text, selection, scrollTop, hasFocus } = box;
    this.#box = null;
    box.remove();
    this.#made = null;
    this.#begin({ text, ...selection, scrollTop, hasFocus, isReadOnly: this.#isReadOnly });
    for (const peer of this.#peers.values()) this.putPeer(peer);
    this.setAuthors(this.#authors);
  }
}
