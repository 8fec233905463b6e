/**
 * The open canvas: its session, and everything on the page that follows it.
 */

import { ChangeSet, textDifference } from "../client/index.js";
import { Problem, closeCanvas, deleteCanvas, renameCanvas } from "./api.js";
import { clientOf, closeWhenSettled, settledOrClosed } from "./canvases.js";
import { Chronicle } from "./chronicle.js";
import { Contents } from "./contents.js";
import { Editor } from "./editor.js";
import { byId } from "./element.js";
import { endText } from "./endings.js";
import { EventLog } from "./eventlog.js";
import { Facts, knownOf } from "./facts.js";
import { Generation } from "./generation.js";
import { inEachLanguage, words, wordsFor } from "./language.js";
import { Permissions } from "./permissions.js";
import { Presence } from "./presence.js";
import { Preview } from "./preview.js";
import { problemText } from "./problems.js";
import { SavedAgo } from "./saved.js";
import { session } from "./session.js";
import { Sharing } from "./sharing.js";
import { showUnplaced } from "./unplaced.js";
import { Views } from "./views.js";

/** What is told of a canvas that changes what is known of it. */
const FACTS = /** @type {const} */ (["state", "saved", "checkpoint", "problem"]);

/**
 * @typedef {import("../client/session.js").CanvasSession} CanvasSession
 * @typedef {object} RoomObserver
 * @property {(ref: string, title: string) => void} titled
 * @property {() => void} deleted some canvas is gone: the list is out of date
 */

export class Room {
  /** @type {string|null} */ #ref = null;
  /** @type {CanvasSession|null} */ #canvas = null;
  /** @type {(() => void)[]} */ #unfollow = [];
  /** @type {ChangeSet|null} what the editor tells just now */ #own = null;
  #title = "";
  /** @type {string|null} the canvas that its reader is to write in as soon as it is shown */ #isToWrite = null;
  #isEnded = false;
  #isLoaded = false;
  #isAtText = false;
  /** the right to it was taken away while it was open */ #isRevoked = false;
  #titleBox = /** @type {HTMLInputElement} */ (byId("title"));
  #dialog = /** @type {HTMLDialogElement} */ (byId("delete-dialog"));
  #client = clientOf();
  #editor = new Editor(byId("text"), {
    edited: (changes) => this.#edited(changes),
    moved: (isOwn) => this.#moved(isOwn),
  });
  #contents = new Contents(
    byId("contents"),
    () => this.#editor.text,
    () => this.#editor.selection.head,
    (position) => this.#editor.reveal(position),
    () => this.#sectionsChanged(),
  );
  #preview = new Preview();
  #facts = new Facts(
    () => knownOf(this.#canvas),
    () => this.#canvas?.retry(),
  );
  #presence = new Presence(byId("presence"), byId("presence-name"), {
    place: () => this.#place(),
    say: (told) => this.#canvas?.setPresence(told),
    put: (peer) => this.#editor.putPeer(peer),
    removed: (id) => this.#editor.removePeer(id),
  });
  #chronicle = new Chronicle({
    colour: (ranges) => this.#editor.setAuthors(ranges),
    write: (changes) => this.#editor.write(changes),
  });
  #generation = new Generation(
    () => this.#editor.selection.head,
    (jobId) => this.#chronicle.undoJob(jobId),
  );
  #permissions = new Permissions(() => this.#permit());
  #sharing = new Sharing((access) => this.#shared(access));
  #saved = new SavedAgo(byId("saved"));
  #log = new EventLog(byId("log"), byId("log-pause"), byId("log-heartbeats"));
  #observer;

  /** @param {RoomObserver} observer */
  constructor(observer) {
    this.#observer = observer;
    new Views((isPreviewShown) => this.#preview.show(isPreviewShown));
    inEachLanguage(() => this.#permit());
    session.watch(() => this.#permit());
    byId("text").addEventListener("focusin", () => (this.#isAtText = true));
    addEventListener("beforeunload", (event) => {
      if (this.#canvas?.keepDraft() === false) event.preventDefault();
    });
    addEventListener("offline", () => this.#facts.refresh());
    addEventListener("online", () => {
      this.#facts.refresh();
      this.#canvas?.retry();
    });
    byId("title-form").addEventListener("submit", (event) => this.#rename(event));
    byId("close").addEventListener("click", () => this.#close());
    byId("reopen").addEventListener("click", () => this.#reopen());
    byId("delete").addEventListener("click", () => this.#askToDelete());
    byId("share").addEventListener("click", () => this.#attempt((ref) => this.#sharing.open(ref)));
    byId("delete-no").addEventListener("click", () => this.#dialog.close());
    byId("delete-yes").addEventListener("click", () => this.#delete());
  }

  /** The editor, for whoever shows more in it. */
  get editor() {
    return this.#editor;
  }

  /** The session of the open canvas; null: none is open, or it is still being read. */
  get canvas() {
    return this.#canvas;
  }

  /** Have the cursor in the text when it is opened. @param {string} ref that was just made */
  writeIn(ref) {
    this.#isToWrite = ref;
  }

  /** @param {string} ref @param {string} [title] as far as it is known */
  open(ref, title = ref) {
    this.leave();
    this.#ref = ref;
    this.#entitle(title);
    this.#preview.open(ref);
    this.#setEnded(false);
    this.#follow(this.#client.session(ref));
    this.#begin(ref);
  }

  leave() {
    this.#isLoaded = false;
    this.#isAtText = false;
    this.#stop();
    for (const off of this.#unfollow) off();
    this.#unfollow = [];
    const canvas = this.#canvas;
    this.#canvas = null;
    if (canvas !== null) closeWhenSettled(canvas);
    this.#chronicle.close();
    this.#permissions.open(null);
    this.#ref = null;
    this.#entitle("");
    this.#editor.close();
    this.#contents.changed();
    this.#preview.close();
    this.#facts.forget();
    this.#saved.forget();
    this.#log.clear();
  }

  /** @param {string} ref */
  #begin(ref) {
    this.#presence.open(ref);
    this.#generation.open(ref);
    this.#permissions.open(ref);
    this.#facts.refresh();
  }

  #stop() {
    this.#presence.close();
    this.#generation.close();
    this.#facts.refresh();
  }

  /** An end may come before the text: then that is told, and there is nothing to show. @param {CanvasSession} canvas */
  #follow(canvas) {
    this.#canvas = canvas;
    this.#unfollow = [
      canvas.on("change", (change) => this.#changed(change)),
      canvas.on("event", (event) => this.#take(event)),
      canvas.on("title", (title) => this.#entitle(title)),
      canvas.on("presence", (event) => this.#presence.receive(/** @type {any} */ (event))),
      canvas.on("unauthorized", ({ code }) => this.#refused(code)),
      canvas.on("draft", ({ text }) => showUnplaced(text)),
      canvas.on("ended", (why) => this.#ended(why)),
      ...FACTS.map((type) => canvas.on(type, () => this.#facts.refresh())),
    ];
    canvas.ready.then(
      () => this.#canvas === canvas && this.#show(canvas),
      () => {},
    );
  }

  /** @param {string} code */
  #refused(code) {
    session.refused(session.token, new Problem({ status: 401, code, detail: "" }));
  }

  /** @param {CanvasSession} canvas whose text is known */
  #show(canvas) {
    this.#isLoaded = true;
    this.#editor.open(canvas.text);
    this.#chronicle.open(canvas.ref, canvas);
    this.#entitle(canvas.title);
    this.#permit();
    this.#contents.changed();
    this.#preview.changed();
    this.#facts.refresh();
    this.#presence.announce();
    if (this.#isToWrite === canvas.ref) this.#editor.focus();
    this.#isToWrite = null;
  }

  /** @param {import("./editor.js").Change[]} changes */
  #edited(changes) {
    this.#own = ChangeSet.of(changes);
    this.#canvas?.edit(changes);
    this.#own = null;
    this.#textChanged();
  }

  /** @param {{changes: import("./editor.js").Change[], origin: string}} change */
  #changed({ changes, origin }) {
    const isOwn = origin === "local" && this.#own !== null;
    if (!isOwn) this.#editor.apply(changes, origin === "remote" && isFollowing());
    else if (!this.#own?.equals(ChangeSet.of(changes))) this.#mend();
    this.#textChanged();
  }

  /** What no canvas can hold, NUL or half a character, is other text there. */
  #mend() {
    const difference = textDifference(this.#editor.text, this.#canvas?.text ?? "");
    this.#editor.apply(difference.changes, false);
  }

  #textChanged() {
    this.#contents.changed();
    this.#preview.changed();
    this.#facts.refresh();
  }

  /** The server tells them by what it has. */
  async #sectionsChanged() {
    const canvas = this.#canvas;
    if (!this.#isLoaded || canvas === null) return;
    await settledOrClosed(canvas);
    if (this.#canvas === canvas) this.#generation.sectionsChanged();
  }

  /** @param {boolean} isOwn */
  #moved(isOwn) {
    this.#contents.changed();
    this.#presence.moved(isOwn);
  }

  /** Whoever has not touched the text is nowhere in it. */
  #place() {
    if (!this.#isAtText) return { cursor: null, selection: null, section: null };
    const { anchor, head } = this.#editor.selection;
    const selection = anchor === head ? null : { from: Math.min(anchor, head), to: Math.max(anchor, head) };
    return { cursor: head, selection, section: this.#contents.section };
  }

  /** @param {any} event as the server told it */
  #take(event) {
    this.#log.add(event.type, JSON.stringify(event));
    this.#generation.receive(event);
    this.#facts.refresh();
    switch (event.type) {
      case "start":
        return this.#started();
      case "checkpoint":
        return this.#facts.checkpoint(event.failed === true);
      case "saved":
        return this.#saved.receive(event);
      case "bye":
        this.#isRevoked = event.reason === "revoked";
        return this.#facts.notice(() => wordsFor("bye", event.reason));
      case "reset":
        return this.#facts.notice(() => wordsFor("reset", event.reason));
    }
  }

  #started() {
    this.#isRevoked = false;
    this.#permissions.refresh();
    this.#facts.notice(() => "");
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
      this.#facts.mention(() => words("renamed"));
    });
  }

  /** Whatever was written goes first. */
  #close() {
    return this.#attempt(async (ref) => {
      if (this.#canvas?.isConnected && this.#canvas.problem === null) await settledOrClosed(this.#canvas);
      await closeCanvas(ref);
    });
  }

  /** The same canvas again, with what was not sent yet. */
  #reopen() {
    if (this.#ref === null) return;
    if (!this.#isLoaded) {
      this.open(this.#ref);
      return;
    }
    this.#setEnded(false);
    this.#facts.notice(() => "");
    this.#canvas?.retry();
    this.#begin(this.#ref);
  }

  #askToDelete() {
    byId("delete-what").textContent = words("delete.what", { title: this.#title });
    this.#dialog.showModal();
  }

  #delete() {
    this.#dialog.close();
    return this.#attempt(async (ref) => {
      await deleteCanvas(ref);
    });
  }

  /** Nothing comes any more. The text stays readable. @param {any} why an event of the server, or a problem */
  #ended(why) {
    const isDeleted = why.type === "deleted";
    this.#stop();
    this.#setEnded(true);
    byId("reopen").hidden = isDeleted || why.status === 404;
    this.#facts.notice(() => endText(why, this.#isRevoked));
    if (isDeleted) this.#observer.deleted();
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
      byId(id).hidden = !isAllowed || (this.#isEnded && !this.#isLoaded);
      byId(id).toggleAttribute("disabled", this.#isEnded);
    }
    const isWritable = canWrite && !this.#isEnded && this.#isLoaded;
    this.#editor.setReadOnly(!isWritable);
    this.#chronicle.permit(isWritable);
    byId("read-only").hidden = canWrite;
    byId("read-only").textContent = words(session.may("write") ? "room.read_only" : "room.reader");
    this.#generation.permit(canGenerate, canWrite);
  }

  /** @param {import("./api.js").Access} access */
  #shared(access) {
    this.#permissions.take(access);
    this.#facts.mention(() => words("share.done"));
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
