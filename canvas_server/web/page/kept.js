/**
 * The token that this tab keeps over a reload: in `sessionStorage`, which ends with the tab. Storage may be forbidden:
 * then a reload asks the other tabs, or the reader.
 */

const KEY = "canvas.session";

/** @typedef {{token: string, isForThisTab: boolean}} Kept */

/** @returns {Kept|null} */
export function keptToken() {
  const written = inStorage((storage) => storage.getItem(KEY));
  const kept = written === null ? null : JSON.parse(written);
  return typeof kept?.token === "string" ? kept : null;
}

/** @param {string|null} token null: forget it @param {boolean} isForThisTab no other tab may have it */
export function keepToken(token, isForThisTab) {
  inStorage((storage) => {
    if (token === null) storage.removeItem(KEY);
    else storage.setItem(KEY, JSON.stringify({ token, isForThisTab }));
    return null;
  });
}

/** @param {(storage: Storage) => string|null} use */
function inStorage(use) {
  try {
    return use(sessionStorage);
  } catch (error) {
    if (error instanceof DOMException) return null;
    throw error;
  }
}
