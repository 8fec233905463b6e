/**
 * The canvases of this server, newest first, a page at a time; and the form that makes a new one.
 */

import { Problem, createCanvas, listCanvases } from "./api.js";
import { byId, element } from "./element.js";
import { inEachLanguage, moment, words } from "./language.js";
import { problemText } from "./problems.js";
import { session } from "./session.js";

/** A name that the server chose tells a reader nothing. */
const GIVEN = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** @typedef {import("./api.js").Listed} Listed */

export class CanvasList {
  /** @type {Listed[]} */ #canvases = [];
  /** @type {string|null} where the last page ended; null: there is no more */ #cursor = null;
  /** @type {string|null} the open one */ #current = null;
  /** @type {Problem|null} */ #problem = null;
  #isLoaded = false;
  #title = /** @type {HTMLInputElement} */ (byId("create-title"));
  #name = /** @type {HTMLInputElement} */ (byId("create-ref"));
  #open;

  /** @param {(ref: string) => void} open one that was just made */
  constructor(open) {
    this.#open = open;
    byId("create").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#create(this.#title.value.trim(), this.#name.value.trim());
    });
    byId("first-example").addEventListener("click", () => this.#create(words("first.title"), "", words("first.text")));
    byId("list-refresh").addEventListener("click", () => this.refresh());
    byId("list-more").addEventListener("click", () => this.#more());
    inEachLanguage(() => this.#show());
    session.watch(() => this.#personChanged());
  }

  /** Nothing of it stays on the page. */
  clear() {
    this.#canvases = [];
    this.#cursor = null;
    this.#isLoaded = false;
    this.#show();
  }

  /** Read the list anew, from its first page. */
  refresh() {
    return this.#attempt(async () => {
      const page = await listCanvases(null);
      this.#take([], page);
    });
  }

  /** @param {string|null} ref the open canvas */
  mark(ref) {
    this.#current = ref;
    this.#show();
    // What others made meanwhile is seen when one looks for it.
    if (this.#isLoaded && !this.#canvases.some((canvas) => canvas.ref === ref)) this.refresh();
  }

  /** @param {string} ref @returns {string|undefined} */
  titleOf(ref) {
    return this.#canvases.find((canvas) => canvas.ref === ref)?.title;
  }

  /** @param {string} ref @param {string} title told by the stream */
  retitle(ref, title) {
    this.#canvases = this.#canvases.map((canvas) => (canvas.ref === ref ? { ...canvas, title } : canvas));
    this.#show();
  }

  #personChanged() {
    byId("create").hidden = !session.may("create");
    if (!this.#isLoaded && (session.state === "in" || session.state === "open")) this.refresh();
  }

  #more() {
    return this.#attempt(async () => this.#take(this.#canvases, await listCanvases(this.#cursor)));
  }

  /** @param {Listed[]} before @param {import("./api.js").Page} page */
  #take(before, page) {
    this.#canvases = [...before, ...page.canvases];
    this.#cursor = page.next_cursor;
    this.#isLoaded = true;
  }

  /** @param {string} title @param {string} name @param {string} [content] */
  #create(title, name, content) {
    return this.#attempt(async () => {
      const { ref } = await createCanvas(title, name, content);
      this.#title.value = "";
      this.#name.value = "";
      this.#open(ref);
      this.#take([], await listCanvases(null));
    });
  }

  /** @param {() => Promise<void>} act */
  async #attempt(act) {
    this.#problem = null;
    try {
      await act();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#problem = error;
    }
    this.#show();
  }

  #show() {
    byId("list").replaceChildren(...this.#canvases.map((canvas) => this.#line(canvas)));
    byId("list-more").hidden = this.#cursor === null;
    byId("first").hidden = !this.#isLoaded || this.#canvases.length > 0 || !session.may("create");
    byId("list-status").textContent = this.#status();
    byId("list-status").dataset.tone = this.#problem === null ? "" : "bad";
  }

  #status() {
    if (this.#problem !== null) return problemText(this.#problem);
    return this.#isLoaded && this.#canvases.length === 0 ? words("list.empty") : "";
  }

  /** @param {Listed} canvas */
  #line({ ref, title, updated_unix_ms: updatedUnixMs }) {
    const name = element("span", { class: "name", title: title || ref }, title || ref);
    const when = moment(updatedUnixMs);
    const facts = element("span", { class: "muted" }, title && GIVEN.test(ref) ? when : `${ref} · ${when}`);
    const link = element("a", { href: `#/c/${ref}` }, name, facts);
    if (ref === this.#current) link.setAttribute("aria-current", "page");
    return element("li", {}, link);
  }
}
