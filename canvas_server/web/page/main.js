/**
 * The page: which canvas is open stands in its address (`#/c/<ref>`), so that a reload keeps it.
 */

import { byId } from "./element.js";
import { inEachLanguage, startLanguage, words } from "./language.js";
import { CanvasList } from "./list.js";
import { Room } from "./room.js";

const ROUTE = /^#\/c\/([A-Za-z0-9][A-Za-z0-9._-]{0,127})$/;

startLanguage();
const list = new CanvasList((ref) => location.assign(`#/c/${ref}`));
const room = new Room({ titled, deleted: () => list.refresh() });
addEventListener("hashchange", followAddress);
byId("skip").addEventListener("click", skipToMain);
inEachLanguage(() => titlePage());
list.refresh();
followAddress();

function followAddress() {
  const ref = ROUTE.exec(location.hash)?.[1] ?? null;
  document.body.dataset.view = ref === null ? "list" : "canvas";
  byId("welcome").hidden = ref !== null;
  byId("room").hidden = ref === null;
  byId("side").hidden = ref === null;
  list.mark(ref);
  if (ref === null) room.leave();
  else room.open(ref);
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
