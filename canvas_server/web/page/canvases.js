/**
 * How the page reaches canvases: by one client, with the credentials of its session.
 */

import { CanvasClient } from "../client/index.js";
import { CLIENT_ID } from "./api.js";
import { drafts } from "./remembered.js";
import { session } from "./session.js";

/** @typedef {import("../client/session.js").CanvasSession} CanvasSession */

/** One for the page: where its credentials are good no more, it waits for others. */
export function clientOf() {
  const user = () => session.me?.name ?? "";
  return new CanvasClient({ url: location.origin, clientId: CLIENT_ID, token: () => session.signedIn(), drafts, user });
}

/** What was written and not sent yet is sent first, also to one that is left. @param {CanvasSession} canvas */
export async function closeWhenSettled(canvas) {
  await settledOrClosed(canvas);
  canvas.close();
}

/** Wait until nothing waits to be sent, or nothing is sent any more. @param {Pick<CanvasSession, "settled">} canvas @returns {Promise<boolean>} false: it was closed */
export function settledOrClosed(canvas) {
  return canvas.settled().then(
    () => true,
    () => false,
  );
}
