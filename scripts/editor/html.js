/**
 * HTML inside Markdown is left as it stands: the grammars of HTML, CSS and JavaScript would be a third of the bundle.
 */

export function html() {
  return { language: { parser: undefined }, support: [] };
}

export function htmlCompletionSource() {
  return null;
}
