/**
 * Building and finding elements. Text only ever becomes text: nothing in this folder turns a string into markup.
 */

/**
 * @param {string} tag
 * @param {Record<string, string|boolean|EventListener>} [attributes] `true` is an attribute without a value,
 *   `false` none; a function under `onclick` and the like is a listener
 * @param {...(Node|string)} children
 * @returns {HTMLElement}
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name.slice(2), value);
    else if (value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

/**
 * A live region is spoken each time it is written to: the same words are not written twice.
 *
 * @param {HTMLElement} region
 * @param {string} sentence
 */
export function say(region, sentence) {
  if (region.textContent !== sentence) region.textContent = sentence;
}

/**
 * The element that the page's HTML promises.
 *
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @returns {T}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no element #${id}`);
  return /** @type {T} */ (found);
}
