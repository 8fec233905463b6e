/**
 * The editor on CodeMirror.
 *
 * Rule: what the reader does is told as changes, and the reader can undo it; what comes from elsewhere is `arrived`: it
 * is neither told back nor undone.
 */

import {
  Compartment,
  EditorState,
  EditorView,
  Transaction,
  bracketMatching,
  defaultKeymap,
  drawSelection,
  dropCursor,
  highlightSelectionMatches,
  highlightSpecialChars,
  history,
  historyKeymap,
  indentUnit,
  indentWithTab,
  keymap,
  placeholder,
  search,
  searchKeymap,
} from "./codemirror.js";
import { arrived, marks, setAuthorRanges } from "./editor_marks.js";
import { markdownLooks } from "./editor_markdown.js";
import { peerCursors, putPeer, removePeer } from "./editor_peers.js";
import { phrases } from "./editor_phrases.js";
import { inEachLanguage, language, words } from "./language.js";

const REVEAL_MARGIN_PX = 64;

/**
 * @typedef {import("./editor.js").Change} Change
 * @typedef {import("./editor.js").EditorObserver} EditorObserver
 * @typedef {import("./editor.js").EditorStart} EditorStart
 */

export class CodeMirrorEditor {
  #spoken = new Compartment();
  #writable = new Compartment();
  #observer;
  #view;

  /** @param {HTMLElement} pane @param {EditorStart} start @param {EditorObserver} observer */
  constructor(pane, start, observer) {
    this.#observer = observer;
    this.#view = new EditorView({ state: this.#stateOf(start), parent: pane });
    this.#view.scrollDOM.scrollTop = start.scrollTop;
    inEachLanguage(() => this.#view.dispatch({ effects: this.#spoken.reconfigure(spoken()) }));
    if (start.hasFocus) this.#view.focus();
  }

  get text() {
    return this.#view.state.sliceDoc();
  }

  get selection() {
    const { anchor, head } = this.#view.state.selection.main;
    return { anchor, head };
  }

  /** Another text, with a history of its own. @param {EditorStart} start */
  begin(start) {
    this.#view.setState(this.#stateOf(start));
    this.#view.scrollDOM.scrollTop = 0;
  }

  /**
   * @param {Change[]} changes from elsewhere, each in the coordinates left by the one before
   * @param {boolean} isFollowed the reader wants to see them
   */
  apply(changes, isFollowed) {
    const last = changes.at(-1);
    if (last === undefined) return;
    // Whoever writes reads there, and is not taken elsewhere.
    const followed = isFollowed && !this.#view.hasFocus ? [revealing(last.from + last.insert.length)] : [];
    const annotations = [arrived.of(Date.now()), Transaction.addToHistory.of(false), Transaction.remote.of(true)];
    const sequence = changes.map((change) => ({ changes: change, sequential: true }));
    this.#view.dispatch({ annotations }, ...sequence, { effects: followed, sequential: true });
  }

  /** @param {Change[]} changes of the reader, each in the coordinates left by the one before */
  write(changes) {
    // Undone by itself, and not with what was typed just before.
    this.#view.dispatch({ userEvent: "write" }, ...changes.map((change) => ({ changes: change, sequential: true })));
  }

  /** @param {boolean} isReadOnly */
  setReadOnly(isReadOnly) {
    this.#view.dispatch({ effects: this.#writable.reconfigure(EditorState.readOnly.of(isReadOnly)) });
  }

  /** @param {import("./editor.js").Peer} peer */
  putPeer(peer) {
    this.#view.dispatch({ effects: putPeer.of(peer) });
  }

  /** @param {string} id */
  removePeer(id) {
    this.#view.dispatch({ effects: removePeer.of(id) });
  }

  /** @param {import("./editor.js").AuthorRange[]} ranges */
  setAuthors(ranges) {
    this.#view.dispatch({ effects: setAuthorRanges.of(ranges) });
  }

  /** Put the cursor there, and show it at the top. @param {number} position */
  reveal(position) {
    const effects = EditorView.scrollIntoView(position, { y: "start", yMargin: 8 });
    this.#view.dispatch({ selection: { anchor: position }, effects });
    this.#view.focus();
  }

  focus() {
    this.#view.focus();
  }

  /** @param {EditorStart} start */
  #stateOf({ text, anchor, head, isReadOnly }) {
    return EditorState.create({
      doc: text,
      selection: { anchor, head },
      extensions: [
        // Other line ends are characters: each counts, and the offsets are the server's.
        EditorState.lineSeparator.of("\n"),
        EditorView.clipboardInputFilter.of((/** @type {string} */ pasted) => pasted.replace(/\r\n?/g, "\n")),
        this.#writable.of(EditorState.readOnly.of(isReadOnly)),
        this.#spoken.of(spoken()),
        LOOKS,
        KEYS,
        EditorView.updateListener.of((/** @type {any} */ update) => this.#updated(update)),
      ],
    });
  }

  /** @param {any} update */
  #updated(update) {
    const own = update.transactions.filter((/** @type {any} */ one) => one.annotation(arrived) === undefined);
    for (const { docChanged, changes } of own) if (docChanged) this.#edited(changes);
    if (update.selectionSet || update.docChanged || update.focusChanged) this.#observer.moved(own.length > 0);
  }

  /** @param {any} set simultaneous changes; told from left to right, each moves those after it */
  #edited(set) {
    /** @type {Change[]} */ const changes = [];
    /** @type {(fromA: number, toA: number, fromB: number, toB: number, inserted: any) => void} */
    const add = (fromA, toA, from, _to, inserted) => {
      changes.push({ from, to: from + toA - fromA, insert: inserted.sliceString(0, undefined, "\n") });
    };
    set.iterChanges(add);
    this.#observer.edited(changes);
  }
}

const LOOKS = [
  highlightSpecialChars(),
  history(),
  drawSelection(),
  dropCursor(),
  indentUnit.of("    "),
  bracketMatching(),
  highlightSelectionMatches({ minSelectionLength: 3, wholeWords: true }),
  search({ top: true }),
  EditorView.lineWrapping,
  EditorView.perLineTextDirection.of(true),
  markdownLooks,
  peerCursors,
  marks,
];

/** Tab indents; Escape and then Tab leaves, as CodeMirror has it. */
const KEYS = keymap.of([...defaultKeymap, ...searchKeymap, ...historyKeymap, indentWithTab]);

/** What depends on the language of the page. */
function spoken() {
  return [
    EditorState.phrases.of(phrases(language())),
    placeholder(words("editor.placeholder")),
    EditorView.contentAttributes.of({
      lang: language(),
      tabindex: "0",
      spellcheck: "true",
      autocorrect: "on",
      autocapitalize: "sentences",
      "aria-label": words("room.text"),
      "aria-describedby": "editor-help",
    }),
  ];
}

/** @param {number} position */
function revealing(position) {
  return EditorView.scrollIntoView(position, { yMargin: REVEAL_MARGIN_PX });
}
