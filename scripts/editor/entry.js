/**
 * What the page uses of CodeMirror, in one module.
 */

import "./stylesheets.js";

export { defaultKeymap, history, historyKeymap, indentWithTab, redo, undo } from "@codemirror/commands";
export { markdown, markdownLanguage } from "@codemirror/lang-markdown";
export { HighlightStyle, bracketMatching, indentUnit, syntaxHighlighting, syntaxTree } from "@codemirror/language";
export { highlightSelectionMatches, openSearchPanel, search, searchKeymap } from "@codemirror/search";
export {
  Annotation,
  Compartment,
  EditorSelection,
  EditorState,
  Facet,
  Prec,
  RangeSet,
  StateEffect,
  StateField,
  Transaction,
} from "@codemirror/state";
export {
  Decoration,
  Direction,
  EditorView,
  ViewPlugin,
  WidgetType,
  drawSelection,
  dropCursor,
  highlightSpecialChars,
  hoverTooltip,
  keymap,
  layer,
  placeholder,
  RectangleMarker,
  tooltips,
} from "@codemirror/view";
export { tags } from "@lezer/highlight";
