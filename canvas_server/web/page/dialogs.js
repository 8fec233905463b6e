/**
 * Questions that stand before the page until they are answered. Escape answers with nothing.
 */

/**
 * @param {HTMLDialogElement} dialog its buttons with a value close it
 * @returns {Promise<string>} the value of the button; empty when there was no answer
 */
export function asked(dialog) {
  const closing = new AbortController();
  for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (dialog.querySelectorAll("button[value]"))) {
    button.addEventListener("click", () => dialog.close(button.value), { signal: closing.signal });
  }
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue), { signal: closing.signal });
    dialog.addEventListener("close", () => closing.abort(), { signal: closing.signal });
  });
}
