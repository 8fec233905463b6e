/**
 * What was written in an earlier life of this page, on a version that the server has no more: shown, to be copied.
 */

import { element } from "./element.js";
import { words } from "./language.js";

/** @param {string} text */
export function showUnplaced(text) {
  const dialog = /** @type {HTMLDialogElement} */ (
    element("dialog", { "aria-labelledby": "unplaced-title", onclose: () => dialog.remove() })
  );
  const box = /** @type {HTMLTextAreaElement} */ (
    element("textarea", { readonly: true, rows: "10", "aria-labelledby": "unplaced-title" })
  );
  box.value = text;
  dialog.append(
    element("h2", { id: "unplaced-title" }, words("unplaced.title")),
    element("p", {}, words("unplaced.what")),
    box,
    element("button", { type: "button", onclick: () => dialog.close() }, words("unplaced.close")),
  );
  document.body.append(dialog);
  dialog.showModal();
  box.select();
}
