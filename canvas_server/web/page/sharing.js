/**
 * The dialog in which an owner says who else may come to a canvas.
 */

import { Problem, changeAccess, readAccess } from "./api.js";
import { byId, element } from "./element.js";
import { inEachLanguage, words } from "./language.js";
import { problemText } from "./problems.js";

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
/** Where a refusal names somebody. */
const POINTER = /^\/shared_with\/(.+)$/;
const PEOPLE_MAX = 100;

/**
 * @typedef {import("./api.js").Access} Access
 * @typedef {"nobody"|"people"|"everybody"} Circle
 * @typedef {{name: string, may: "read"|"write"}} Person
 */

export class Sharing {
  /** @type {string|null} */ #ref = null;
  /** @type {Person[]} */ #people = [];
  /** @type {Access|null} */ #access = null;
  /** @type {{name: string|null, text: () => string}|null} a failure, and whose it is: null, the form's */ #failure = null;
  #dialog = /** @type {HTMLDialogElement} */ (byId("share-dialog"));
  #form = /** @type {HTMLFormElement} */ (byId("share-form"));
  #newName = /** @type {HTMLInputElement} */ (byId("share-new-name"));
  #newMay = /** @type {HTMLSelectElement} */ (byId("share-new-may"));
  #everybodyMay = /** @type {HTMLSelectElement} */ (byId("share-everybody-may"));
  #changed;

  /** @param {(access: Access) => void} changed */
  constructor(changed) {
    this.#changed = changed;
    this.#form.addEventListener("submit", (event) => this.#save(event));
    this.#form.addEventListener("change", () => this.#show());
    byId("share-add").addEventListener("click", () => this.#add());
    byId("share-no").addEventListener("click", () => this.#dialog.close());
    this.#newName.addEventListener("keydown", (event) => this.#addOnEnter(event));
    inEachLanguage(() => this.#show());
  }

  /** @param {string} ref @throws {Problem} */
  async open(ref) {
    const access = await readAccess(ref);
    this.#ref = ref;
    this.#access = access;
    this.#failure = null;
    this.#people = Object.entries(access.shared_with ?? {}).map(([name, may]) => ({ name, may }));
    this.#newName.value = "";
    this.#choose(circleOf(access));
    this.#everybodyMay.value = access.link === "none" ? "read" : access.link;
    this.#show();
    this.#dialog.showModal();
  }

  /** @returns {Circle} */
  get #circle() {
    return /** @type {Circle} */ (new FormData(this.#form).get("circle") ?? "nobody");
  }

  /** @param {Circle} circle */
  #choose(circle) {
    for (const radio of /** @type {NodeListOf<HTMLInputElement>} */ (this.#form.querySelectorAll("[name=circle]"))) {
      radio.checked = radio.value === circle;
    }
  }

  /** @param {KeyboardEvent} event */
  #addOnEnter(event) {
    if (event.key !== "Enter") return;
    event.preventDefault();
    this.#add();
  }

  /** @returns {boolean} whether nothing is left in the field */
  #add() {
    const name = this.#newName.value.trim();
    this.#failure = this.#failureOf(name);
    if (this.#failure === null) {
      this.#people = [...this.#people, { name, may: /** @type {Person["may"]} */ (this.#newMay.value) }];
      this.#newName.value = "";
    }
    this.#show();
    this.#newName.focus();
    return this.#failure === null;
  }

  /** @param {string} name */
  #failureOf(name) {
    if (!NAME.test(name)) return { name: "", text: () => words("share.bad_name") };
    if (name === this.#access?.owner) return { name: "", text: () => words("share.is_owner", { name }) };
    if (this.#people.some((person) => person.name === name)) return { name: "", text: () => words("share.is_there", { name }) };
    if (this.#people.length >= PEOPLE_MAX) return { name: "", text: () => words("share.full", { count: PEOPLE_MAX }) };
    return null;
  }

  /** @param {number} index */
  #remove(index) {
    this.#people = this.#people.filter((_, other) => other !== index);
    this.#failure = null;
    this.#show();
    this.#newName.focus();
  }

  /** A name that was typed and not added yet is meant, too. @param {Event} event */
  async #save(event) {
    event.preventDefault();
    const isNamed = this.#circle !== "nobody" && this.#newName.value.trim() !== "";
    if (this.#ref === null || (isNamed && !this.#add())) return;
    byId("share-yes").toggleAttribute("disabled", true);
    try {
      const access = await changeAccess(this.#ref, this.#asked());
      this.#dialog.close();
      this.#changed(access);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#failed(error);
    } finally {
      byId("share-yes").toggleAttribute("disabled", false);
    }
  }

  #asked() {
    const people = this.#circle === "nobody" ? [] : this.#people;
    const link = this.#circle === "everybody" ? /** @type {"read"|"write"} */ (this.#everybodyMay.value) : "none";
    return {
      link: /** @type {import("./api.js").Link} */ (link),
      shared_with: Object.fromEntries(people.map(({ name, may }) => [name, may])),
    };
  }

  /** @param {Problem} problem */
  #failed(problem) {
    const name = POINTER.exec(problem.facts.pointer ?? "")?.[1] ?? null;
    const isKnown = name !== null && this.#people.some((person) => person.name === name);
    const unknown = () => words("share.no_user", { name: name ?? "" });
    this.#failure = isKnown ? { name, text: unknown } : { name: null, text: () => problemText(problem) };
    this.#show();
    if (isKnown) byId("share-people").querySelector("[aria-invalid]")?.parentElement?.querySelector("button")?.focus();
  }

  #show() {
    const circle = this.#circle;
    byId("share-people-part").hidden = circle === "nobody";
    byId("share-everybody-part").hidden = circle !== "everybody";
    byId("share-summary").textContent = this.#summary();
    byId("share-people").replaceChildren(...this.#people.map((person, index) => this.#line(person, index)));
    this.#say(byId("share-new-failure"), "");
    this.#newName.setAttribute("aria-invalid", String(this.#failure?.name === ""));
    this.#say(byId("share-failure"), null);
  }

  #summary() {
    const owner = this.#access?.owner ?? null;
    return owner === null ? words("share.owned_by_nobody") : words("share.owned", { name: owner });
  }

  /** @param {HTMLElement} shown @param {string|null} name whose failures stand there */
  #say(shown, name) {
    shown.textContent = this.#failure !== null && this.#failure.name === name ? this.#failure.text() : "";
  }

  /** @param {Person} person @param {number} index */
  #line({ name, may }, index) {
    const select = this.#mayElement(name, may, index);
    const remove = element("button", { type: "button", class: "quiet", "aria-label": words("share.remove", { name }) }, "✕");
    remove.addEventListener("click", () => this.#remove(index));
    const line = element("li", {}, element("span", { class: "share-name" }, name), select, remove);
    if (this.#failure?.name !== name) return line;
    const failure = element("p", { class: "field-error", role: "alert", id: "share-person-failure" }, this.#failure.text());
    select.setAttribute("aria-invalid", "true");
    select.setAttribute("aria-describedby", failure.id);
    line.append(failure);
    return line;
  }

  /** @param {string} name @param {Person["may"]} may @param {number} index */
  #mayElement(name, may, index) {
    const options = ["read", "write"].map((value) => element("option", { value }, words(`share.may_${value}`)));
    const select = element("select", { "aria-label": words("share.may_of", { name }) }, ...options);
    /** @type {HTMLSelectElement} */ (select).value = may;
    select.addEventListener("change", (event) => {
      event.stopPropagation();
      const chosen = /** @type {Person["may"]} */ (/** @type {HTMLSelectElement} */ (select).value);
      this.#people = this.#people.map((person, other) => (other === index ? { ...person, may: chosen } : person));
    });
    return select;
  }
}

/** @param {Access} access @returns {Circle} */
function circleOf({ link, shared_with: shares }) {
  if (link !== "none") return "everybody";
  return Object.keys(shares ?? {}).length > 0 ? "people" : "nobody";
}
