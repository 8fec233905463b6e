/**
 * The panel that stands before the page until one is signed in. What is behind it stays as it is: nothing typed is lost.
 */

import { Problem } from "./api.js";
import { element } from "./element.js";
import { inEachLanguage, saidElement, words } from "./language.js";
import { problemText } from "./problems.js";
import { session } from "./session.js";

const COMMAND = "canvas-server open";
/** Refusals of the token itself; any other is told as the server tells it. */
const TOKEN_PROBLEMS = /** @type {Record<string, string>} */ ({
  AUTH_REQUIRED: "sign_in.unknown",
  AUTH_EXPIRED: "sign_in.expired_token",
  RATE_LIMITED: "sign_in.too_often",
});

class SignInPanel {
  /** @type {Problem|null} */ #problem = null;
  #isMissing = false;
  #box = inputElement({ type: "password", id: "sign-in-token", name: "token", autocomplete: "off", spellcheck: "false" });
  #alone = inputElement({ type: "checkbox", id: "sign-in-alone" });
  #why = element("p", { id: "sign-in-why" });
  #failure = element("p", { id: "sign-in-failure", class: "field-error", role: "alert" });
  #button = saidElement("button", "sign_in.submit", { class: "main-action" });
  #dialog = this.#built();

  constructor() {
    document.body.append(this.#dialog);
    // Escape must not uncover a page that answers nothing; a browser lets it through the second time.
    this.#dialog.addEventListener("cancel", (event) => event.preventDefault());
    this.#dialog.addEventListener("close", () => this.#show());
    inEachLanguage(() => this.#say());
    session.watch(() => this.#show());
  }

  #built() {
    const form = element("form", { id: "sign-in-form", novalidate: true }, ...this.#fields());
    form.addEventListener("submit", (event) => this.#submit(event));
    const title = element("div", { class: "heading-row" }, saidElement("h2", "sign_in.title", { id: "sign-in-title" }));
    // Those of the page cannot be reached while this stands before it.
    const languages = document.querySelector(".languages")?.cloneNode(true);
    if (languages !== undefined) title.append(languages);
    const way = element("p", {}, saidElement("span", "sign_in.run"), " ", element("code", {}, COMMAND));
    const more = saidElement("p", "sign_in.run_more", { class: "muted" });
    const attributes = { id: "sign-in", class: "sign-in", "aria-labelledby": "sign-in-title" };
    const made = element("dialog", { ...attributes, "aria-describedby": "sign-in-why" });
    made.append(title, this.#why, way, more, form);
    return /** @type {HTMLDialogElement} */ (made);
  }

  #fields() {
    this.#box.setAttribute("aria-describedby", "sign-in-failure sign-in-note");
    return [
      saidElement("label", "sign_in.token", { for: "sign-in-token" }),
      this.#box,
      this.#failure,
      element("label", { class: "check" }, this.#alone, saidElement("span", "sign_in.alone")),
      saidElement("p", "sign_in.note", { id: "sign-in-note", class: "muted" }),
      this.#button,
    ];
  }

  /** @param {Event} event */
  async #submit(event) {
    event.preventDefault();
    const token = this.#box.value.trim();
    this.#isMissing = token === "";
    this.#problem = null;
    if (!this.#isMissing) await this.#try(token);
    this.#say();
    if (session.state === "out") this.#box.focus();
  }

  /** @param {string} token */
  async #try(token) {
    this.#button.toggleAttribute("disabled", true);
    try {
      await session.signIn(token, this.#alone.checked);
      this.#box.value = "";
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#problem = error;
      this.#box.select();
    } finally {
      this.#button.toggleAttribute("disabled", false);
    }
  }

  #show() {
    const isWanted = session.state === "out";
    if (isWanted && !this.#dialog.open) this.#open();
    if (!isWanted && this.#dialog.open) this.#close();
    this.#say();
  }

  #open() {
    this.#problem = null;
    this.#isMissing = false;
    // A question that stands before the page already would stand before this one's answer, too.
    for (const other of document.querySelectorAll("dialog[open]")) /** @type {HTMLDialogElement} */ (other).close();
    this.#dialog.showModal();
    this.#box.focus();
  }

  #close() {
    this.#box.value = "";
    this.#dialog.close();
  }

  #say() {
    this.#why.textContent = words(`why.${session.reason}`);
    this.#failure.textContent = this.#failureText();
    this.#box.setAttribute("aria-invalid", String(this.#failure.textContent !== ""));
  }

  #failureText() {
    if (this.#isMissing) return words("sign_in.missing");
    if (this.#problem === null) return "";
    const key = TOKEN_PROBLEMS[this.#problem.code];
    return key === undefined ? problemText(this.#problem) : words(key);
  }
}

/** Have one sign in wherever the server asks for it. Before `startLanguage`, which makes its buttons work. */
export function startSignIn() {
  return new SignInPanel();
}

/** @param {Record<string, string>} attributes */
function inputElement(attributes) {
  return /** @type {HTMLInputElement} */ (element("input", attributes));
}
