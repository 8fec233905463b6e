/** Uses `useCanvasStreamOps` in a real React: what it shows first, once loaded, and after it wrote. */

import { createElement } from "react";
import * as React from "react";
import { act, create } from "react-test-renderer";

import { hookOf } from "../../../canvas_server/web/client/hook.js";

globalThis.IS_REACT_ACT_ENVIRONMENT = true;
const [url, ref] = process.argv.slice(-2);
const useCanvasStreamOps = hookOf(React);
const shown = [];
let canvas;

function View() {
  canvas = useCanvasStreamOps(ref, { url });
  shown.push(canvas.text);
  return createElement("p", null, canvas.text);
}

const until = (holds) =>
  act(async () => {
    while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
  });

let root;
await act(async () => {
  root = create(createElement(View));
});
const first = shown[0];
await until(() => canvas.isConnected && canvas.state === "live");
const loaded = root.toJSON().children.join("");
await act(async () => canvas.edit([{ from: 5, to: 5, insert: "!" }]));
const written = root.toJSON().children.join("");
const position = { mode: "end" };
const { type } = await act(() =>
  canvas.sendOp({ action: "insert", target: { type: "position", position }, content: "?" }),
);
await until(() => canvas.text === "Hello!?");
await act(async () => root.unmount());
let closed = false;
try {
  canvas.edit([]);
} catch {
  closed = true;
}
console.log(JSON.stringify({ first, loaded, written, event: type, closed }));
