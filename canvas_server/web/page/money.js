/**
 * Amounts the way the page's language writes them.
 */

import { language } from "./language.js";

const DIGITS_MAX = 4;

/**
 * @param {number} amount
 * @param {string} currency an ISO 4217 code; any other name is put behind the number as it is
 * @param {number} [digitsMin] decimals shown even when they are 0; at most four are
 */
export function money(amount, currency, digitsMin = 2) {
  const digits = { minimumFractionDigits: digitsMin, maximumFractionDigits: DIGITS_MAX };
  if (/^[A-Z]{3}$/.test(currency)) {
    return new Intl.NumberFormat(language(), { style: "currency", currency, ...digits }).format(amount);
  }
  return `${new Intl.NumberFormat(language(), digits).format(amount)}\u00a0${currency}`;
}

/** What a call cost, always with four decimals. @param {number} amount @param {string} currency */
export function exactMoney(amount, currency) {
  return money(amount, currency, DIGITS_MAX);
}
