/**
 * The client of canvas-server: live Markdown canvases that people and agents edit together.
 */

export { ChangeSet, textDifference } from "./changeset.js";
export { CanvasClient, openCanvas } from "./client.js";
export { crc32 } from "./crc32.js";
export { Problem } from "./problem.js";
export { Replica } from "./replica.js";
export { CanvasSession } from "./session.js";
export { EventStreamParser } from "./sse.js";
export { undo } from "./undo.js";
