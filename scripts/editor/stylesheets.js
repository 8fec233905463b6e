/**
 * The styles of the editor, as constructed style sheets: a policy of `style-src 'self'` lets no `<style>` in.
 */

import { StyleModule } from "style-mod";

/** @type {WeakMap<object, CSSStyleSheet>} */
const sheets = new WeakMap();

/** What stands first in `modules` weighs least. */
StyleModule.mount = (root, modules) => {
  const ours = [modules].flat().map(sheetOf);
  const others = root.adoptedStyleSheets.filter((sheet) => !ours.includes(sheet));
  root.adoptedStyleSheets = [...ours, ...others];
};

function sheetOf(module) {
  const known = sheets.get(module);
  if (known !== undefined) return known;
  const made = new CSSStyleSheet();
  made.replaceSync(module.getRules());
  sheets.set(module, made);
  return made;
}
