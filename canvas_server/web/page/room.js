/**
 * The open canvas: its stream, and everything on the page that listens to it.
 */

import { CanvasClient } from "../client/index.js";
import { CLIENT_ID, Problem, closeCanvas, deleteCanvas, listenUrl, readCanvas, renameCanvas } from "./api.js";
import { Chronicle } from "./chronicle.js";
import { Composer } from "./composer.js";
import { LiveDocument, sequenceOf } from "./document.js";
import { byId } from "./element.js";
import { EventLog } from "./eventlog.js";
import { EventStream } from "./eventstream.js";
import { Facts } from "./facts.js";
import { Generation } from "./generation.js";
import { inEachLanguage, words, wordsFor } from "./language.js";
import { Permissions } from "./permissions.js";
import { Presence } from "./presence.js";
import { Preview } from "./preview.js";
import { problemText } from "./problems.js";
import { SavedAgo } from "./saved.js";
import { session } from "./session.js";
import { Sharing } from "./sharing.js";
import { TextView } from "./view.js";

/**
 * @typedef {object} RoomObserver
 * @property {(ref: string, title: string) => void} titled
 * @property {() => void} deleted some canvas is gone: the list is out of date
 */

export class Room {
  /** @type {string|null} */ #ref = null;
  /** @type {EventStream|null} */ #stream = null;
  #title = "";
  #isEnded = false;
  /** the right to it was taken away while it was open */ #isRevoked = false;
  #titleBox = /** @type {HTMLInputElement} */ (byId("title"));
  #dialog = /** @type {HTMLDialogElement} */ (byId("delete-dialog"));
  #document = this.#documentOf("");
  #view = new TextView(byId("text"), () => this.#document.text, isFollowing);
  #preview = new Preview();
  #facts = new Facts(() => this.#document);
  #composer = new Composer(() => this.#document.version);
  #presence = new Presence(byId("presence"), byId("presence-name"), () => this.#composer.section);
  #chronicle = new Chronicle(() => {});
  #client = new CanvasClient({ token: () => session.signedIn(), clientId: CLIENT_ID });
  #generation = new Generation((jobId) => this.#chronicle.undoJob(jobId));
  #permissions = new Permissions(() => this.#permit());
  #sharing = new Sharing((access) => this.#shared(access));
  #saved = new SavedAgo(byId("saved"));
  #log = new EventLog(byId("log"), byId("log-pause"), byId("log-heartbeats"));
  #observer;

  /** @param {RoomObserver} observer */
  constructor(observer) {
    this.#observer = observer;
    inEachLanguage(() => this.#permit());
    session.watch(() => this.#permit());
    byId("title-form").addEventListener("submit", (event) => this.#rename(event));
    byId("close").addEventListener("click", () => this.#close());
    byId("reopen").addEventListener("click", () => this.open(this.#ref ?? ""));
    byId("delete").addEventListener("click", () => this.#askToDelete());
    byId("share").addEventListener("click", () => this.#attempt((ref) => this.#sharing.open(ref)));
    byId("delete-no").addEventListener("click", () => this.#dialog.close());
    byId("delete-yes").addEventListener("click", () => this.#delete());
    byId("write-place").addEventListener("change", () => this.#presence.announce());
    byId("write-section").addEventListener("change", () => this.#presence.announce());
  }

  /** @param {string} ref */
  open(ref) {
    this.leave();
    this.#ref = ref;
    this.#document = this.#documentOf(ref);
    this.#view.replaced();
    this.#entitle(ref);
    this.#preview.open(ref);
    this.#composer.open(ref);
    this.#presence.open(ref);
    this.#generation.open(ref);
    this.#permissions.open(ref);
    const canvas = this.#client.session(ref);
    canvas.ready.then(() => this.#ref === ref && this.#chronicle.open(ref, canvas));
    this.#isRevoked = false;
    this.#setEnded(false);
    this.#stream = this.#streamOf(ref);
    this.#stream.open();
  }

  leave() {
    this.#presence.takeBack();
    this.#endStream();
    this.#permissions.open(null);
    this.#ref = null;
    this.#document = this.#documentOf("");
    this.#view.replaced();
    this.#preview.close();
    this.#facts.forget();
    this.#saved.forget();
    this.#log.clear();
  }

  /** @param {string} ref */
  #documentOf(ref) {
    return new LiveDocument((url) => readCanvas(ref, url), {
      replaced: () => this.#textReplaced(),
      changed: (changes) => this.#textChanged(changes),
      reading: (reason) => this.#facts.notice(() => words(`reading.${reason}`)),
      failed: () => this.#facts.notice(() => words("reading.failed")),
    });
  }

  /** @param {string} ref */
  #streamOf(ref) {
    return new EventStream(listenUrl(ref), {
      event: (event, raw) => this.#take(event, raw),
      state: (state) => this.#facts.connection(state),
      gone: (problem) => this.#end(() => (this.#isRevoked ? words("room.withdrawn") : problemText(problem))),
    });
  }

  #textReplaced() {
    this.#facts.notice(() => "");
    this.#view.replaced();
    this.#preview.changed();
  }

  /** @param {import("./document.js").Change[]} changes */
  #textChanged(changes) {
    this.#view.changed(changes);
    this.#preview.changed();
  }

  /** @param {any} event @param {string} raw */
  #take(event, raw) {
    this.#log.add(event.type, raw);
    this.#document.receive(event);
    this.#composer.receive(event);
    this.#generation.receive(event);
    this.#facts.refresh();
    this.#takeAboutCanvas(event);
  }

  /** @param {any} event */
  #takeAboutCanvas(event) {
    switch (event.type) {
      case "start":
        return this.#started(event);
      case "snapshot":
      case "title":
        return this.#entitle(event.title);
      case "checkpoint":
        return event.failed ? this.#facts.checkpointFailed() : this.#facts.checkpoint(event.server_version);
      case "saved":
        return this.#saved.receive(event);
      case "presence":
        return this.#presence.receive(event);
      case "reset":
      case "bye":
        this.#isRevoked = event.reason === "revoked";
        return this.#facts.notice(() => wordsFor(event.type, event.reason));
      case "closed":
        return this.#end(() => words("closed", { seq: sequenceOf(event.server_version) }));
      case "deleted":
        return this.#wasDeleted();
    }
  }

  /** @param {any} start */
  #started(start) {
    this.#isRevoked = false;
    this.#permissions.refresh();
    this.#facts.notice(() => "");
    this.#facts.checkpoint(start.checkpoint_version);
    this.#presence.announce();
  }

  /** @param {string} title */
  #entitle(title) {
    this.#title = title;
    if (document.activeElement !== this.#titleBox) this.#titleBox.value = title;
    byId("room-title").textContent = title;
    if (this.#ref !== null) this.#observer.titled(this.#ref, title);
  }

  /** @param {Event} event */
  #rename(event) {
    event.preventDefault();
    this.#titleBox.blur();
    return this.#attempt(async (ref) => {
      await renameCanvas(ref, this.#titleBox.value.trim());
      this.#facts.notice(() => words("renamed"));
    });
  }

  #close() {
    return this.#attempt(async (ref) => {
      const { version } = await closeCanvas(ref);
      this.#end(() => words("closed", { seq: sequenceOf(version) }));
    });
  }

  #askToDelete() {
    byId("delete-what").textContent = words("delete.what", { title: this.#title });
    this.#dialog.showModal();
  }

  #delete() {
    this.#dialog.close();
    return this.#attempt(async (ref) => {
      await deleteCanvas(ref);
      this.#wasDeleted();
    });
  }

  #wasDeleted() {
    this.#end(() => words("deleted"));
    this.#observer.deleted();
  }

  /** Nothing comes any more. The text stays readable. @param {() => string} why */
  #end(why) {
    this.#endStream();
    this.#setEnded(true);
    this.#facts.notice(why);
  }

  #endStream() {
    this.#stream?.close();
    this.#stream = null;
    this.#composer.close();
    this.#presence.close();
    this.#generation.close();
  }

  /** @param {boolean} isEnded */
  #setEnded(isEnded) {
    this.#isEnded = isEnded;
    byId("reopen").hidden = !isEnded;
    this.#permit();
  }

  /** What one may not do is not offered. */
  #permit() {
    const { canWrite, canKeep, canOwn, canShare, canGenerate } = this.#permissions;
    this.#titleBox.readOnly = !canKeep;
    for (const [id, isAllowed] of /** @type {[string, boolean][]} */ ([
      ["rename", canKeep],
      ["close", canKeep],
      ["delete", canOwn],
      ["share", canShare],
    ])) {
      byId(id).hidden = !isAllowed;
      byId(id).toggleAttribute("disabled", this.#isEnded);
    }
    byId("composer").hidden = !canWrite;
    byId("read-only").hidden = canWrite;
    byId("read-only").textContent = words(session.may("write") ? "room.read_only" : "room.reader");
    this.#generation.permit(canGenerate, canWrite);
    this.#chronicle.permit(canWrite);
  }

  /** @param {import("./api.js").Access} access */
  #shared(access) {
    this.#permissions.take(access);
    this.#facts.notice(() => words("share.done"));
  }

  /** @param {(ref: string) => Promise<void>} act */
  async #attempt(act) {
    if (this.#ref === null) return;
    try {
      await act(this.#ref);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (error.status === 403) this.#permissions.refresh();
      this.#facts.notice(() => problemText(error));
    }
  }
}

function isFollowing() {
  return /** @type {HTMLInputElement} */ (byId("follow")).checked;
}
