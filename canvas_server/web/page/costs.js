/**
 * The month's quota: how much of it is gone, a notice when it is nearly all, and the end of it.
 */

import { Problem } from "./api.js";
import { asked } from "./dialogs.js";
import { byId, element } from "./element.js";
import { readUsage } from "./jobs.js";
import { inEachLanguage, moment, saidElement, words } from "./language.js";
import { exactMoney, money } from "./money.js";

const WARN_PERCENT = 90;
const CURRENCY = "EUR";

/** @typedef {import("./jobs.js").Quota} Quota */

export class Costs {
  /** @type {Partial<Quota>} as far as it was told */ #quota = {};
  /** the notice is shown once a job, and stays away when it was closed */ #isNoticed = false;
  #dialog = /** @type {HTMLDialogElement} */ (byId("quota-dialog"));
  #bar = /** @type {HTMLProgressElement} */ (byId("quota-bar"));

  constructor() {
    inEachLanguage(() => this.#show());
  }

  get currency() {
    return this.#quota.currency ?? CURRENCY;
  }

  /** Ask the server how things stand. */
  async refresh() {
    try {
      const usage = await readUsage();
      this.#quota = { ...this.#quota, ...(usage.total ?? usage) };
    } catch (error) {
      // The bar keeps what it showed: the next start tells anew.
      if (!(error instanceof Problem)) throw error;
    }
    this.#show();
  }

  /** @param {Partial<Quota>} [quota] told with a new job; from 90 % on a notice says so */
  started(quota = {}) {
    this.#isNoticed = false;
    byId("toasts").replaceChildren();
    this.receive(quota);
  }

  /** @param {Partial<Quota>} quota told while a job runs */
  receive(quota) {
    this.#quota = { ...this.#quota, ...quota };
    this.#show();
    if (this.#isNoticed || !isNearlyGone(this.#quota)) return;
    this.#isNoticed = true;
    this.#showNotice();
  }

  /** Tell that nothing can be started any more this month. @param {Problem} problem QUOTA_EXCEEDED */
  async refused({ facts }) {
    const { limit, spent, reserved, resets_at, currency = this.currency } = facts;
    this.#quota = { ...this.#quota, limit, spent, reserved, resets_at, currency };
    byId("quota-facts").replaceChildren(
      ...fact("quota.limit", exactMoney(limit, currency)),
      ...fact("quota.spent", exactMoney(spent, currency)),
      ...(reserved > 0 ? fact("quota.reserved", exactMoney(reserved, currency)) : []),
      ...fact("quota.resets_at", moment(Date.parse(resets_at))),
    );
    await asked(this.#dialog);
  }

  #show() {
    const { percentage, remaining } = this.#quota;
    byId("quota").hidden = percentage === undefined;
    if (percentage === undefined || remaining === undefined) return;
    this.#bar.value = percentage;
    byId("quota").dataset.tone = isNearlyGone(this.#quota) ? "warning" : "";
    byId("quota-text").textContent = words("quota.state", { percent: percentage, remaining: money(remaining, this.currency) });
  }

  /** It says how things stood when it came: a notice that counted on would be spoken again with each word. */
  #showNotice() {
    const close = saidElement("button", "dialog.close", { type: "button", class: "quiet" });
    close.addEventListener("click", () => byId("toasts").replaceChildren());
    const { percentage = 0, remaining = 0 } = this.#quota;
    const values = { percent: percentage, remaining: exactMoney(remaining, this.currency) };
    const sentence = element("p", {}, words("quota.notice", values));
    byId("toasts").replaceChildren(element("div", { class: "toast" }, sentence, close));
  }
}

/** @param {Partial<Quota>} quota */
function isNearlyGone({ percentage = 0, warning = percentage >= WARN_PERCENT }) {
  return warning;
}

/** @param {string} key @param {string} value */
function fact(key, value) {
  return [saidElement("dt", key), element("dd", {}, value)];
}
