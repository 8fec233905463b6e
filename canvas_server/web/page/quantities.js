/**
 * Numbers with their units, the way of a language, short enough for a tile.
 */

const MINUTE_S = 60;
const HOUR_S = 3_600;
const DAY_S = 86_400;
const KILO = 1_000;

/** @param {number} value @param {string} language @returns {string} with one decimal where that says something */
export function numberText(value, language) {
  const digits = value > 0 && value < 10 && !Number.isInteger(value) ? 1 : 0;
  return new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(value);
}

/** @param {number} seconds @param {string} language @returns {string} in the largest unit of which there are two */
export function durationText(seconds, language) {
  if (seconds < 1 && seconds > 0) return unitText(Math.round(seconds * KILO), "millisecond", language);
  if (seconds < 2 * MINUTE_S) return unitText(seconds < 10 ? seconds : Math.floor(seconds), "second", language);
  if (seconds < 2 * HOUR_S) return unitText(Math.floor(seconds / MINUTE_S), "minute", language);
  if (seconds < 2 * DAY_S) return unitText(Math.floor(seconds / HOUR_S), "hour", language);
  return unitText(Math.floor(seconds / DAY_S), "day", language);
}

/** @param {number} bytes @param {string} language @returns {string} */
export function bytesText(bytes, language) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte"];
  let [value, index] = [bytes, 0];
  while (value >= KILO && index < units.length - 1) {
    value /= KILO;
    index += 1;
  }
  return unitText(value, units[index], language);
}

/** @param {number} value @param {string} unit @param {string} language */
function unitText(value, unit, language) {
  const digits = value > 0 && value < 10 && !Number.isInteger(value) ? 1 : 0;
  return new Intl.NumberFormat(language, {
    style: "unit",
    unit,
    unitDisplay: unit === "byte" ? "long" : "short",
    maximumFractionDigits: digits,
  }).format(value);
}
