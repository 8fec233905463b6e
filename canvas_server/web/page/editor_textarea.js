/**
 * The editor as a plain text box: where CodeMirror is not there, or not there yet.
 *
 * Rule: while something is being composed (IME) the box is left alone; what comes meanwhile is applied after that.
 */

import { ChangeSet } from "../client/changeset.js";
import { element } from "./element.js";
import { inEachLanguage, language, words } from "./language.js";
import { typedChange } from "./typed.js";

/** A text box makes its own of this character, and counts differently then: another of the same length stands for it. */
const RETURNS = /\r/g;
const RETURN_SHOWN = "\u240d";

/**
 * @typedef {import("./editor.js").Change} Change
 * @typedef {import("./editor.js").EditorObserver} EditorObserver
 * @typedef {import("./editor.js").EditorStart} EditorStart
 */

export class TextareaEditor {
  /** @type {string} what the box showed last */ #shown = "";
  /** @type {Change[]} that came while something was being composed */ #waiting = [];
  #isComposing = false;
  #observer;
  #box = /** @type {HTMLTextAreaElement} */ (
    element("textarea", { class: "plain-editor", spellcheck: "true", dir: "auto", "aria-describedby": "editor-help" })
  );

  /** @param {HTMLElement} pane @param {EditorStart} start @param {EditorObserver} observer */
  constructor(pane, start, observer) {
    this.#observer = observer;
    pane.append(this.#box);
    this.begin(start);
    this.#box.addEventListener("input", () => this.#input());
    this.#box.addEventListener("compositionstart", () => (this.#isComposing = true));
    this.#box.addEventListener("compositionend", () => this.#composed());
    for (const name of ["keyup", "pointerup", "focus", "blur", "select"]) {
      this.#box.addEventListener(name, () => this.#observer.moved(true));
    }
    inEachLanguage(() => this.#say());
    if (start.hasFocus) this.#box.focus();
  }

  get text() {
    return this.#shown;
  }

  get selection() {
    const { selectionStart, selectionEnd, selectionDirection } = this.#box;
    const [anchor, head] = selectionDirection === "backward" ? [selectionEnd, selectionStart] : [selectionStart, selectionEnd];
    return { anchor, head };
  }

  get isComposing() {
    return this.#isComposing;
  }

  get hasFocus() {
    return document.activeElement === this.#box;
  }

  get scrollTop() {
    return this.#box.scrollTop;
  }

  /** @param {EditorStart} start */
  begin({ text, anchor, head, isReadOnly, scrollTop }) {
    this.#waiting = [];
    this.#shown = text;
    this.#box.value = displayed(text);
    this.#box.readOnly = isReadOnly;
    this.#box.setSelectionRange(Math.min(anchor, head), Math.max(anchor, head), anchor > head ? "backward" : "forward");
    this.#box.scrollTop = scrollTop;
  }

  /** @param {Change[]} changes @param {boolean} isFollowed */
  apply(changes, isFollowed) {
    if (this.#isComposing) {
      this.#waiting.push(...changes);
      return;
    }
    this.#take(changes);
    this.#observer.moved(false);
    const last = changes.at(-1);
    if (isFollowed && last !== undefined && !this.hasFocus) this.#scrollTo(last.from + last.insert.length);
  }

  /** @param {Change[]} changes of the reader, each in the coordinates left by the one before */
  write(changes) {
    this.apply(changes, false);
    this.#observer.edited(changes);
  }

  /** @param {boolean} isReadOnly */
  setReadOnly(isReadOnly) {
    this.#box.readOnly = isReadOnly;
  }

  putPeer() {}

  removePeer() {}

  setAuthors() {}

  /** @param {number} position */
  reveal(position) {
    this.#box.focus();
    this.#box.setSelectionRange(position, position);
    this.#scrollTo(position);
  }

  focus() {
    this.#box.focus();
  }

  remove() {
    this.#box.remove();
  }

  #input() {
    if (!this.#isComposing) this.#tell();
  }

  #composed() {
    this.#isComposing = false;
    this.#tell();
    this.#observer.composed?.();
  }

  /** What was typed stands in a text without what waits: the one is carried over the other. */
  #tell() {
    const typed = typedChange(displayed(this.#shown), this.#box.value, this.#box.selectionEnd);
    const local = ChangeSet.of(typed === null ? [] : [typed]);
    const waiting = ChangeSet.of(this.#waiting);
    this.#waiting = [];
    this.#shown = local.apply(this.#shown);
    this.#take(waiting.rebase(local, { before: true }).changes);
    const told = local.rebase(waiting, { before: false }).changes;
    if (told.length > 0) this.#observer.edited(told);
    this.#observer.moved(true);
  }

  /** @param {Change[]} changes */
  #take(changes) {
    for (const { from, to, insert } of changes) {
      this.#shown = this.#shown.slice(0, from) + insert + this.#shown.slice(to);
      this.#box.setRangeText(displayed(insert), from, to, "preserve");
    }
  }

  /** A text box cannot tell where a character is: lines before it are a good guess. @param {number} position */
  #scrollTo(position) {
    const { scrollHeight, clientHeight } = this.#box;
    const share = position / Math.max(1, this.#shown.length);
    this.#box.scrollTop = share * scrollHeight - clientHeight / 2;
  }

  #say() {
    this.#box.lang = language();
    this.#box.placeholder = words("editor.placeholder");
    this.#box.setAttribute("aria-label", words("room.text"));
  }
}

/** @param {string} text */
function displayed(text) {
  return text.replace(RETURNS, RETURN_SHOWN);
}
