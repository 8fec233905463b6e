/**
 * Text, preview, or both side by side where there is room. What was chosen is remembered.
 */

import { byId } from "./element.js";
import { recall, remember } from "./remembered.js";

const KEY = "view";
const VIEWS = ["text", "both", "preview"];
/** Narrower, and both would be too narrow to read. */
const WIDE = "(width >= 64rem)";

export class Views {
  #wide = matchMedia(WIDE);
  #chosen = recall(KEY) ?? "text";
  #previewShown;

  /** @param {(isShown: boolean) => void} previewShown */
  constructor(previewShown) {
    this.#previewShown = previewShown;
    for (const view of VIEWS) byId(`view-${view}`).addEventListener("click", () => this.#choose(view));
    this.#wide.addEventListener("change", () => this.#show());
    this.#show();
  }

  /** @param {string} view */
  #choose(view) {
    this.#chosen = view;
    remember(KEY, view);
    this.#show();
  }

  #show() {
    const isKnown = VIEWS.includes(this.#chosen);
    const shown = !isKnown || (this.#chosen === "both" && !this.#wide.matches) ? "text" : this.#chosen;
    for (const view of VIEWS) byId(`view-${view}`).setAttribute("aria-pressed", String(view === shown));
    document.body.dataset.desk = shown;
    byId("text").hidden = shown === "preview";
    byId("preview").hidden = shown === "text";
    this.#previewShown(shown !== "text");
  }
}
