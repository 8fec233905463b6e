/**
 * Light or dark: as the system has it, unless the reader chose one here. `<html data-theme>` says what was chosen.
 */

import { recall, remember } from "./remembered.js";

const KEY = "theme";
const CHOICES = ["auto", "light", "dark"];

/** @type {Set<() => void>} */
const listeners = new Set();

document.documentElement.dataset.theme = chosenBefore();

/** @returns {"light dark"|"light"|"dark"} the color schemes that a document shown here may have */
export function colorScheme() {
  const { theme } = document.documentElement.dataset;
  return theme === "light" || theme === "dark" ? theme : "light dark";
}

/** Call `listener` after each choice. @param {() => void} listener */
export function onThemeChange(listener) {
  listeners.add(listener);
}

/** Let the reader choose. @param {HTMLSelectElement} select */
export function startTheme(select) {
  select.value = chosenBefore();
  select.addEventListener("change", () => {
    document.documentElement.dataset.theme = select.value;
    remember(KEY, select.value);
    for (const listener of listeners) listener();
  });
}

function chosenBefore() {
  const chosen = recall(KEY) ?? "";
  return CHOICES.includes(chosen) ? chosen : "auto";
}
