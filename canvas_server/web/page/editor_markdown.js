/**
 * How Markdown looks while it is written: classes that editor.css gives their looks.
 */

import {
  Decoration,
  HighlightStyle,
  ViewPlugin,
  markdown,
  markdownLanguage,
  syntaxHighlighting,
  syntaxTree,
  tags,
} from "./codemirror.js";

/** Characters of scripts that are written from right to left. */
const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/;
/** Blocks whose columns are to stand below each other. */
const FIXED_WIDTH = /** @type {Record<string, string>} */ ({
  FencedCode: "cm-code-line",
  CodeBlock: "cm-code-line",
  HTMLBlock: "cm-code-line",
  Table: "cm-table-line",
});

const style = HighlightStyle.define([
  ...[tags.heading1, tags.heading2, tags.heading3, tags.heading4, tags.heading5, tags.heading6].map((tag, index) => ({
    tag,
    class: `md-heading md-heading-${index + 1}`,
  })),
  { tag: tags.strong, class: "md-strong" },
  { tag: tags.emphasis, class: "md-emphasis" },
  { tag: tags.strikethrough, class: "md-struck" },
  { tag: tags.monospace, class: "md-code" },
  { tag: tags.link, class: "md-link" },
  { tag: tags.url, class: "md-address" },
  { tag: tags.quote, class: "md-quote" },
  { tag: [tags.processingInstruction, tags.contentSeparator], class: "md-sign" },
  { tag: [tags.labelName, tags.string, tags.comment], class: "md-aside" },
  { tag: tags.atom, class: "md-task" },
]);

const lineLooks = ViewPlugin.define(
  (/** @type {any} */ view) => ({
    decorations: linesOf(view),
    tree: syntaxTree(view.state),
    update(/** @type {any} */ { docChanged, viewportChanged, state, view: updated }) {
      const tree = syntaxTree(state);
      if (!docChanged && !viewportChanged && tree === this.tree) return;
      this.tree = tree;
      this.decorations = linesOf(updated);
    },
  }),
  { decorations: (/** @type {any} */ plugin) => plugin.decorations },
);

export const markdownLooks = [
  markdown({ base: markdownLanguage, completeHTMLTags: false }),
  syntaxHighlighting(style),
  lineLooks,
];

/** Only what is on screen is looked at. @param {any} view */
function linesOf(view) {
  const classes = fixedWidthLines(view);
  const lines = [];
  for (const { from, to } of view.visibleRanges) {
    for (let line = view.state.doc.lineAt(from); ; line = view.state.doc.lineAt(line.to + 1)) {
      const attributes = attributesOf(line, classes.get(line.from));
      if (attributes !== null) lines.push(Decoration.line({ attributes }).range(line.from));
      if (line.to >= to || line.to + 1 > view.state.doc.length) break;
    }
  }
  return Decoration.set(lines, true);
}

/** @param {any} line @param {string|undefined} className */
function attributesOf({ text }, className) {
  const isRightToLeft = RIGHT_TO_LEFT.test(text);
  if (!isRightToLeft && className === undefined) return null;
  return { ...(isRightToLeft ? { dir: "auto" } : {}), ...(className === undefined ? {} : { class: className }) };
}

/** @param {any} view @returns {Map<number, string>} by where the line begins */
function fixedWidthLines(view) {
  const { doc } = view.state;
  /** @type {Map<number, string>} */ const found = new Map();
  for (const { from, to } of view.visibleRanges) {
    syntaxTree(view.state).iterate({
      from,
      to,
      enter: (/** @type {any} */ node) => {
        const className = FIXED_WIDTH[node.name];
        if (className === undefined) return true;
        const last = doc.lineAt(Math.min(node.to, to)).number;
        for (let number = doc.lineAt(Math.max(node.from, from)).number; number <= last; number += 1) {
          found.set(doc.line(number).from, className);
        }
        return false;
      },
    });
  }
  return found;
}
