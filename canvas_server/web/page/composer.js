/**
 * The box to write in. The typed text leaves it only when the stream has told that it is in the canvas.
 */

import { byId, element } from "./element.js";
import { inEachLanguage, words } from "./language.js";
import { undoing, writing } from "./operation.js";
import { SENT, endOf, refusalOf } from "./outcome.js";
import { Outbox } from "./outbox.js";
import { SectionChoice } from "./sections.js";

/**
 * @typedef {import("./operation.js").Operation} Operation
 * @typedef {import("./operation.js").Place} Place
 * @typedef {import("./outcome.js").Outcome} Outcome
 */

export class Composer {
  /** @type {Outbox|null} null: no canvas is open to write in */ #outbox = null;
  /** @type {Outcome|null} */ #outcome = null;
  /** @type {Operation|null} the last one sent */ #last = null;
  #form = /** @type {HTMLFormElement} */ (byId("composer"));
  #box = /** @type {HTMLTextAreaElement} */ (byId("write-text"));
  #place = /** @type {HTMLSelectElement} */ (byId("write-place"));
  #blankLine = /** @type {HTMLInputElement} */ (byId("write-blank-line"));
  #subsections = /** @type {HTMLInputElement} */ (byId("write-subsections"));
  #sections = new SectionChoice(byId("write-section"), () => this.#needsSection());
  #version;

  /** @param {() => string|null} version the one this page shows */
  constructor(version) {
    this.#version = version;
    this.#form.addEventListener("submit", (event) => this.#submit(event));
    this.#box.addEventListener("keydown", (event) => this.#sendOnCtrlEnter(event));
    this.#place.addEventListener("change", () => this.#placeChanged());
    byId("write-undo").addEventListener("click", () => this.#undo());
    byId("write-retry").addEventListener("click", () => this.#retry());
    inEachLanguage(() => this.#show());
  }

  /** The heading id one is writing to; null at the end of the canvas. */
  get section() {
    return this.#needsSection() ? this.#sections.chosen || null : null;
  }

  /** @param {string} ref */
  open(ref) {
    this.#outbox = new Outbox(ref, {
      sent: (op) => this.#become(SENT, op),
      ended: (op, event) => this.#ended(op, event),
      refused: (op, problem, isOver) => this.#become(refusalOf(problem, isOver), op),
    });
    this.#sections.open(ref);
    this.#placeChanged();
    this.#become(null, null);
  }

  /** Writing is over: the canvas is closed, deleted or out of reach. The typed text stays. */
  close() {
    this.#outbox = null;
    this.#sections.open(null);
    this.#show();
  }

  /** @param {any} event of the stream, in its order */
  receive(event) {
    this.#outbox?.receive(event);
    if (event.type === "ack" || event.type === "snapshot") this.#sections.refresh();
    if (event.type === "snapshot" || (event.type === "start" && event.resumed)) this.#outbox?.resend();
  }

  /** @param {Event} event */
  #submit(event) {
    event.preventDefault();
    this.#write();
  }

  /** @param {KeyboardEvent} event */
  #sendOnCtrlEnter(event) {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    this.#form.requestSubmit();
  }

  /** @param {string} [opId] */
  #write(opId) {
    if (this.#isBusy() || this.#box.value === "" || !this.#form.reportValidity()) return;
    this.#outbox?.send(writing(this.#choice(), this.#version(), opId));
  }

  #undo() {
    const undone = this.#outbox?.lastApplied ?? null;
    if (undone !== null && !this.#isBusy()) this.#outbox?.send(undoing(undone, this.#version()));
  }

  #retry() {
    if (this.#outcome?.retry === "unchanged") this.#outbox?.resend();
    else this.#write(this.#last?.op_id);
  }

  #choice() {
    return {
      place: /** @type {Place} */ (this.#place.value),
      headingId: this.#sections.chosen,
      content: this.#box.value,
      blankLine: this.#blankLine.checked,
      subsections: this.#subsections.checked,
    };
  }

  /** @param {Operation} op @param {any} event */
  #ended(op, event) {
    if (event.type === "ack") this.#clearIfUnchanged(op);
    else this.#giveBack(op);
    this.#become(endOf(op.action === "revert", event), op);
  }

  /** @param {Operation} op */
  #clearIfUnchanged(op) {
    if (this.#box.value === op.content) this.#box.value = "";
  }

  /** An op that a crashed server forgot may conflict long after its text left the box. @param {Operation} op */
  #giveBack(op) {
    const content = op.content ?? "";
    if (!this.#box.value.includes(content)) this.#box.value = [this.#box.value, content].filter(Boolean).join("\n\n");
  }

  /** @param {Outcome|null} outcome @param {Operation|null} op */
  #become(outcome, op) {
    this.#outcome = outcome;
    this.#last = op;
    this.#show();
  }

  #placeChanged() {
    this.#sections.refresh();
    this.#show();
  }

  #needsSection() {
    return this.#place.value !== "end";
  }

  #isBusy() {
    return this.#outcome?.tone === "busy";
  }

  #show() {
    byId("write-section-choice").hidden = !this.#needsSection();
    byId("write-section").toggleAttribute("disabled", !this.#needsSection());
    byId("write-controls").toggleAttribute("disabled", this.#outbox === null);
    byId("write-send").toggleAttribute("disabled", this.#isBusy());
    byId("write-undo").toggleAttribute("disabled", this.#isBusy() || this.#outbox?.lastApplied == null);
    this.#showOutcome(this.#outcome);
  }

  /** @param {Outcome|null} outcome */
  #showOutcome(outcome) {
    byId("outcome").dataset.tone = outcome?.tone ?? "";
    byId("outcome-text").textContent = outcome === null ? "" : words(outcome.key, outcome.values);
    byId("outcome-hint").textContent = outcome?.hint ?? "";
    byId("outcome-candidates").replaceChildren(...(outcome?.candidates ?? []).map((text) => element("li", {}, text)));
    const retry = byId("write-retry");
    retry.hidden = (outcome?.retry ?? null) === null;
    retry.textContent = words(outcome?.retry === "unchanged" ? "write.send_again" : "write.retry");
  }
}
