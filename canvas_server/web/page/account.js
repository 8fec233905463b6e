/**
 * The menu that says who one is here and what one may do, and signs out.
 */

import { element } from "./element.js";
import { inEachLanguage, moment, saidElement, words, wordsFor } from "./language.js";
import { session } from "./session.js";

/** In the order in which they weigh. */
const RIGHTS = ["read", "write", "create", "generate", "manage", "admin", "unmetered"];

class AccountMenu {
  #name = element("span", { class: "account-name" });
  #facts = element("div", {});
  #menu = this.#built();

  /** @param {HTMLElement} slot */
  constructor(slot) {
    slot.append(this.#menu);
    document.addEventListener("click", (event) => this.#closeUnlessIn(event.target));
    this.#menu.addEventListener("keydown", (event) => event.key === "Escape" && this.#leave());
    this.#menu.addEventListener("focusout", (event) => this.#closeUnlessIn(event.relatedTarget ?? this.#menu));
    inEachLanguage(() => this.#show());
    session.watch(() => this.#show());
  }

  #built() {
    const out = saidElement("button", "account.sign_out", { type: "button", id: "sign-out" });
    out.addEventListener("click", () => session.signOut());
    const opener = element("summary", { id: "account-summary" }, this.#name);
    const panel = element("div", { class: "account-panel" }, this.#facts, out);
    return /** @type {HTMLDetailsElement} */ (element("details", { id: "account", class: "account" }, opener, panel));
  }

  #show() {
    const { me, state } = session;
    const isShown = me !== null && state === "in";
    this.#menu.hidden = !isShown;
    if (!isShown) this.#menu.open = false;
    if (!isShown) return;
    this.#name.textContent = me.name;
    this.#name.title = words("account.as", { name: me.name });
    this.#facts.replaceChildren(...factsOf(me));
  }

  /** @param {EventTarget|null} target */
  #closeUnlessIn(target) {
    if (!this.#menu.contains(/** @type {Node|null} */ (target))) this.#menu.open = false;
  }

  #leave() {
    if (!this.#menu.open) return;
    this.#menu.open = false;
    this.#menu.querySelector("summary")?.focus();
  }
}

/** @param {HTMLElement} slot where the menu goes */
export function startAccount(slot) {
  return new AccountMenu(slot);
}

/** @param {import("./session.js").Me} me */
function factsOf({ name, rights, canvases, expires_unix_ms: expiresUnixMs }) {
  const sorted = [...rights].sort((one, other) => RIGHTS.indexOf(one) - RIGHTS.indexOf(other));
  const allowed = sorted.map((right) => element("li", {}, wordsFor("right", right)));
  return [
    element("p", { class: "account-who" }, words("account.as", { name })),
    element("p", { class: "muted" }, words("account.may")),
    element("ul", { class: "rights" }, ...allowed),
    ...(canvases === null ? [] : [element("p", {}, words("account.only", { canvases: canvases.join(", ") }))]),
    ...(rights.includes("admin") ? [element("p", {}, saidElement("a", "account.server", { href: "/admin" }))] : []),
    ...(expiresUnixMs === null ? [] : [element("p", { class: "muted" }, untilText(expiresUnixMs))]),
  ];
}

/** @param {number} expiresUnixMs */
function untilText(expiresUnixMs) {
  return words("account.until", { moment: moment(expiresUnixMs) });
}
