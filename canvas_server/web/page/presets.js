/**
 * The choice of a preset. One that refers to what is no longer there is chosen only if its reader says so.
 */

import { Problem } from "./api.js";
import { asked } from "./dialogs.js";
import { byId, element } from "./element.js";
import { readPreset, readPresets } from "./jobs.js";
import { inEachLanguage, words } from "./language.js";
import { problemText } from "./problems.js";

/** @typedef {import("./jobs.js").Preset} Preset */

export class PresetChoice {
  /** @type {Preset[]} */ #presets = [];
  /** the id of the one that was loaded; empty: none */ #loaded = "";
  #dialog = /** @type {HTMLDialogElement} */ (byId("preset-dialog"));
  #select;
  #about;
  #changed;

  /**
   * @param {HTMLSelectElement} select
   * @param {HTMLElement} about says what the chosen one asks for
   * @param {() => void} changed another one is chosen
   */
  constructor(select, about, changed) {
    this.#select = select;
    this.#about = about;
    this.#changed = changed;
    select.addEventListener("change", () => this.#load(select.value));
    inEachLanguage(() => this.#show());
  }

  /** @returns {string} empty: none */
  get chosen() {
    return this.#loaded;
  }

  async refresh() {
    await this.#attempt(async () => {
      this.#presets = await readPresets();
      if (!this.#presets.some(({ id }) => id === this.#loaded)) this.#loaded = "";
      this.#show();
    });
  }

  /** @param {string} id */
  async #load(id) {
    const isLoaded = await this.#attempt(async () => {
      if (id === "" || (await this.#isAccepted(id))) this.#loaded = id;
    });
    this.#select.value = this.#loaded;
    if (isLoaded) this.#showAbout();
    this.#changed();
  }

  /** @param {string} id */
  async #isAccepted(id) {
    const { validation } = await readPreset(id);
    if (validation.valid) return true;
    const told = validation.warnings.map((warning) => element("li", {}, warning.message));
    byId("preset-warnings").replaceChildren(...told);
    return (await asked(this.#dialog)) === "load";
  }

  /** @param {() => Promise<void>} act @returns {Promise<boolean>} */
  async #attempt(act) {
    try {
      await act();
      return true;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#about.textContent = problemText(error);
      this.#offer(true);
      return false;
    }
  }

  #show() {
    const options = this.#presets.map(({ id, icon, name }) =>
      element("option", { value: id }, `${icon} ${name}`.trim()),
    );
    this.#select.replaceChildren(element("option", { value: "" }, words("preset.none")), ...options);
    this.#select.value = this.#loaded;
    this.#showAbout();
    this.#offer(this.#presets.length > 0);
  }

  /** Where there is none there is nothing to choose. @param {boolean} isOffered */
  #offer(isOffered) {
    for (const part of [...this.#select.labels, this.#select.parentElement]) part?.toggleAttribute("hidden", !isOffered);
  }

  #showAbout() {
    const preset = this.#presets.find(({ id }) => id === this.#loaded);
    this.#about.textContent = preset?.configuration.instructions ?? "";
  }
}
