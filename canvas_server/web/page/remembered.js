/**
 * What this browser remembers for the reader between visits. Storage may be forbidden: then nothing is remembered,
 * and each choice lasts as long as the page.
 */

const PREFIX = "canvas.";

/** @param {string} name @returns {string|null} */
export function recall(name) {
  try {
    return localStorage.getItem(PREFIX + name);
  } catch (error) {
    return absentIfForbidden(error);
  }
}

/** @param {string} name @param {string} value */
export function remember(name, value) {
  try {
    localStorage.setItem(PREFIX + name, value);
  } catch (error) {
    absentIfForbidden(error);
  }
}

/** Where text that is not sent yet outlives the page; whoever uses it bears that it may be forbidden. */
export const drafts = {
  getItem: (/** @type {string} */ key) => localStorage.getItem(key),
  setItem: (/** @type {string} */ key, /** @type {string} */ value) => localStorage.setItem(key, value),
  removeItem: (/** @type {string} */ key) => localStorage.removeItem(key),
};

/** @param {unknown} error @returns {null} */
function absentIfForbidden(error) {
  if (error instanceof DOMException) return null;
  throw error;
}
