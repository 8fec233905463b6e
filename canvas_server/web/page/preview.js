/**
 * The canvas as it reads, in a frame without scripts and without our origin.
 *
 * Rule: this is the one place where a string becomes markup. It comes from the server, which let nothing through that
 * runs or fetches; a policy of its own forbids both in the frame; the browser runs no script there; and what did run
 * would be of no origin at all. Nobody can look into such a frame, not even this page: so the frame is as tall as what it
 * shows, and the pane around it scrolls and keeps its place.
 */

import { Problem, readPreview } from "./api.js";
import { byId, element, say } from "./element.js";
import { inEachLanguage, words } from "./language.js";
import { heightOf } from "./measure.js";
import { problemText } from "./problems.js";
import { colorScheme, onThemeChange } from "./theme.js";

const READ_EVERY_MS = 700;
const SANDBOX = "allow-popups allow-popups-to-escape-sandbox";
const TOO_LARGE = 413;
/** Of the frame: what its style follows. */
const SCHEME = 'content="light dark"';

/** What all frames begin with, the same for all: the policy and the style, as the server made them. */
let frameStart = "";

/** The browser takes markup from this policy only, and the policy makes nothing but whole frames. */
const frames = globalThis.trustedTypes?.createPolicy("preview", { createHTML: framed });

export class Preview {
  /** @type {string|null} */ #ref = null;
  #isShown = false;
  #isWanted = false;
  #isReading = false;
  #html = "";
  /** @type {HTMLElement|null} */ #frame = null;
  /** @type {HTMLElement|null} loading, not shown yet */ #coming = null;
  /** @type {() => string} */ #status = () => "";
  #pane = byId("preview");

  constructor() {
    onThemeChange(() => this.#again());
    document.addEventListener("visibilitychange", () => this.changed());
    new ResizeObserver(() => this.#fit()).observe(this.#pane);
    inEachLanguage(() => this.#say());
  }

  /** @param {string} ref */
  open(ref) {
    this.#ref = ref;
    this.#clear();
    this.#isWanted = true;
    this.#readSoon();
  }

  close() {
    this.#ref = null;
    this.#clear();
  }

  /** The text may be another now. */
  changed() {
    this.#isWanted = true;
    this.#readSoon();
  }

  /** @param {boolean} isShown */
  show(isShown) {
    this.#isShown = isShown;
    this.#readSoon();
  }

  get #mayRead() {
    return this.#ref !== null && this.#isShown && !document.hidden;
  }

  async #readSoon() {
    if (this.#isReading || !this.#mayRead || !this.#isWanted) return;
    this.#isReading = true;
    try {
      while (this.#isWanted && this.#mayRead) {
        this.#isWanted = false;
        await this.#read(/** @type {string} */ (this.#ref));
        await new Promise((resolve) => setTimeout(resolve, READ_EVERY_MS));
      }
    } finally {
      this.#isReading = false;
    }
  }

  /** @param {string} ref */
  async #read(ref) {
    try {
      if (frameStart === "") frameStart = await readFrameStart();
      const { html } = await readPreview(ref);
      if (ref !== this.#ref) return;
      this.#tell(() => (html === "" ? words("room.empty") : ""));
      this.#draw(html);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (ref !== this.#ref) return;
      this.#clear();
      this.#tell(() => (error.status === TOO_LARGE ? words("preview.too_large") : problemText(error)));
    }
  }

  /** The frame that is there stays until the new one is drawn, so that nothing flickers. @param {string} html */
  #draw(html) {
    if (html === this.#html) return;
    this.#html = html;
    this.#coming?.remove();
    const coming = element("iframe", { class: "coming", sandbox: SANDBOX, title: words("preview.label"), "data-title": "preview.label" });
    coming.setAttribute("height", String(heightOf(html, this.#pane)));
    const frame = /** @type {HTMLIFrameElement} */ (coming);
    frame.srcdoc = /** @type {string} */ (frames === undefined ? framed(html) : frames.createHTML(html));
    frame.addEventListener("load", () => this.#swap(coming), { once: true });
    this.#coming = coming;
    this.#pane.append(coming);
  }

  /** @param {HTMLElement} coming */
  #swap(coming) {
    if (coming !== this.#coming) return;
    this.#frame?.remove();
    this.#frame = coming;
    this.#coming = null;
    coming.classList.remove("coming");
  }

  /** The same, in other colours. */
  #again() {
    const html = this.#html;
    this.#html = "";
    if (html !== "") this.#draw(html);
  }

  /** The pane may have another width now. */
  #fit() {
    if (this.#html !== "") this.#frame?.setAttribute("height", String(heightOf(this.#html, this.#pane)));
  }

  #clear() {
    this.#html = "";
    this.#coming?.remove();
    this.#frame?.remove();
    this.#coming = this.#frame = null;
    this.#tell(() => "");
  }

  /** @param {() => string} status */
  #tell(status) {
    this.#status = status;
    this.#say();
  }

  #say() {
    say(byId("preview-status"), this.#status());
  }
}

/** @param {string} html as the server rendered it @returns {string} */
function framed(html) {
  return frameStart.replace(SCHEME, `content="${colorScheme()}"`) + html;
}

/** @returns {Promise<string>} */
async function readFrameStart() {
  try {
    const answer = await fetch("/page/preview.html");
    if (answer.ok) return await answer.text();
    throw new TypeError(answer.statusText);
  } catch (error) {
    throw new Problem({ status: 0, code: "UNREACHABLE", detail: String(error) });
  }
}
