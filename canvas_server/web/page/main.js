/**
 * The page: which canvas is open stands in its address (`#/c/<ref>`), so that a reload keeps it.
 */

import { startAccount } from "./account.js";
import { byId } from "./element.js";
import { inEachLanguage, startLanguage, words } from "./language.js";
import { CanvasList } from "./list.js";
import { Room } from "./room.js";
import { session } from "./session.js";
import { startSignIn } from "./signin.js";
import { startTheme } from "./theme.js";

const ROUTE = /^#\/c\/([A-Za-z0-9][A-Za-z0-9._-]{0,127})$/;

session.start();
startSignIn();
startLanguage();
startAccount(byId("account-slot"));
startTheme(byId("theme"));
const list = new CanvasList((ref) => {
  room.writeIn(ref);
  location.assign(`#/c/${ref}`);
});
const room = new Room({ titled, deleted: () => list.refresh() });
addEventListener("hashchange", followAddress);
byId("skip").addEventListener("click", skipToMain);
inEachLanguage(() => titlePage());
followAddress();
let isSignedOut = false;
session.watch(followSession);

/** Whoever signs out leaves the canvas, and finds it again; whoever must sign in again has never left. */
function followSession() {
  const wasSignedOut = isSignedOut;
  isSignedOut = session.state === "out" && session.reason === "signed_out";
  if (isSignedOut && !wasSignedOut) {
    room.leave();
    list.clear();
  }
  if (wasSignedOut && (session.state === "in" || session.state === "open")) followAddress();
}

function followAddress() {
  const ref = ROUTE.exec(location.hash)?.[1] ?? null;
  document.body.dataset.view = ref === null ? "list" : "canvas";
  byId("welcome").hidden = ref !== null;
  byId("room").hidden = ref === null;
  byId("side").hidden = ref === null;
  list.mark(ref);
  if (ref === null) room.leave();
  else room.open(ref, list.titleOf(ref));
  titlePage();
}

/** @param {string} ref @param {string} title */
function titled(ref, title) {
  list.retitle(ref, title);
  titlePage();
}

function titlePage() {
  const title = byId("room").hidden ? "" : byId("room-title").textContent;
  document.title = title ? `${title} – ${words("page.name")}` : words("page.name");
}

/** The skip link must not change the address: it says which canvas is open. @param {Event} event */
function skipToMain(event) {
  event.preventDefault();
  byId("main").focus();
}
