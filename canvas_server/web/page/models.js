/**
 * The choice of a model. Those whose provider has no key are shown, and say why they cannot be chosen.
 */

import { Problem } from "./api.js";
import { element } from "./element.js";
import { readModels } from "./jobs.js";
import { inEachLanguage, words } from "./language.js";
import { money } from "./money.js";
import { recall, remember } from "./remembered.js";

const CHOSEN_KEY = "model";
/** The built-in provider: it answers where no other is set up. */
const BUILT_IN = "demo";

/** @typedef {import("./jobs.js").Model} Model */

export class ModelChoice {
  /** @type {Model[]} */ #models = [];
  #select;
  #price;

  /** @param {HTMLSelectElement} select @param {HTMLElement} price says what the chosen one costs */
  constructor(select, price) {
    this.#select = select;
    this.#price = price;
    select.addEventListener("change", () => this.#choose());
    inEachLanguage(() => this.#show(select.value));
  }

  /** @returns {Model|null} */
  get chosen() {
    return this.#models.find((model) => nameOf(model) === this.#select.value) ?? null;
  }

  async refresh() {
    try {
      const told = await readModels();
      this.#models = told.models;
      this.#show(this.#select.value || recall(CHOSEN_KEY) || nameOf(told.default));
    } catch (error) {
      // Those known so far stay; a start without a model takes the server's own choice.
      if (!(error instanceof Problem)) throw error;
    }
  }

  #choose() {
    remember(CHOSEN_KEY, this.#select.value);
    this.#showPrice();
  }

  /** @param {string} wanted one that surely answers takes the place of one that cannot be asked */
  #show(wanted) {
    const usable = this.#models.filter((model) => model.configured);
    const builtIn = usable.find(({ provider }) => provider === BUILT_IN);
    const chosen = usable.find((model) => nameOf(model) === wanted) ?? builtIn ?? usable[0];
    const providers = new Set(this.#models.map(({ provider }) => provider));
    this.#select.replaceChildren(...[...providers].map((provider) => this.#group(provider)));
    this.#select.value = chosen === undefined ? "" : nameOf(chosen);
    this.#showPrice();
  }

  /** @param {string} provider */
  #group(provider) {
    const models = this.#models.filter((model) => model.provider === provider);
    return element("optgroup", { label: provider }, ...models.map(optionElement));
  }

  #showPrice() {
    const model = this.chosen;
    this.#price.textContent = model === null ? words("model.none") : priceText(model);
  }
}

/** @param {{provider: string, model: string}} model */
function nameOf({ provider, model }) {
  return `${provider} ${model}`;
}

/** @param {Model} model */
function optionElement(model) {
  const label = model.configured ? model.label : words("model.unconfigured", { label: model.label });
  return element("option", { value: nameOf(model), disabled: !model.configured }, label);
}

/** @param {Model} model */
function priceText({ free, prices }) {
  if (free) return words("model.free");
  if (prices === null) return words("model.unpriced");
  const { input, output, currency, per_tokens: count } = prices;
  return words("model.price", { input: money(input, currency), output: money(output, currency), count });
}
