/**
 * Makes the hook `useCanvasStreamOps` of a React: the text of a canvas, live, and what it takes to change it.
 */

import { CanvasClient } from "./client.js";

/** So many of the server's newest events are kept. */
const EVENTS_MAX = 100;

/**
 * @typedef {import("./changeset.js").Change} Change
 * @typedef {import("./session.js").CanvasSession} CanvasSession
 * @typedef {import("./session.js").ServerEvent} ServerEvent
 *
 * @typedef {object} View
 * @property {string} text
 * @property {boolean} isConnected
 * @property {import("./session.js").SessionState} state
 * @property {import("./session.js").Trouble|null} problem
 * @property {readonly ServerEvent[]} events the newest ones, oldest first
 *
 * @typedef {object} Actions
 * @property {(changes: readonly Change[]) => void} edit
 * @property {(op: Record<string, any>) => Promise<ServerEvent>} sendOp
 * @property {(ops: readonly Record<string, any>[]) => Promise<ServerEvent[]>} sendBatch
 *
 * @typedef {object} HookMaker what is needed of React
 * @property {<T>(make: () => T, dependencies: readonly unknown[]) => T} useMemo
 * @property {<T>(subscribe: (changed: () => void) => () => void, snapshot: () => T, serverSnapshot: () => T) => T} useSyncExternalStore
 *
 * @typedef {import("./client.js").ClientOptions & {client?: CanvasClient}} HookOptions `client`: one that is there
 *   already, best of all one for the whole application; else the hook makes one of the first options it is given
 */

/** @type {View} */
const NOTHING = { text: "", isConnected: false, state: "loading", problem: null, events: [] };

/** @param {HookMaker} React @returns {(ref: string, options?: HookOptions) => View & Actions} */
export function hookOf(React) {
  return (ref, options = {}) => {
    const { client, url } = options;
    const watched = React.useMemo(() => new WatchedCanvas(ref, options), [ref, client, url]);
    const view = React.useSyncExternalStore(watched.subscribe, watched.view, () => NOTHING);
    return React.useMemo(() => ({ ...view, ...watched.actions }), [view, watched]);
  };
}

/** Opens a canvas while somebody watches it, and shows it as values that change only when it does. */
class WatchedCanvas {
  /** @type {CanvasSession|null} */ #session = null;
  /** @type {Set<() => void>} */ #watchers = new Set();
  /** @type {View} */ #view = NOTHING;
  /** @type {() => void} */ #close = () => {};
  #ref;
  #options;

  /** @param {string} ref @param {HookOptions} options */
  constructor(ref, options) {
    this.#ref = ref;
    this.#options = options;
  }

  /** @param {() => void} changed @returns {() => void} */
  subscribe = (changed) => {
    this.#watchers.add(changed);
    if (this.#watchers.size === 1) this.#open();
    return () => {
      this.#watchers.delete(changed);
      if (this.#watchers.size === 0) this.#close();
    };
  };

  view = () => this.#view;

  /** @type {Actions} */
  actions = {
    edit: (changes) => this.#opened.edit(changes),
    sendOp: (op) => this.#opened.sendOp(op),
    sendBatch: (ops) => this.#opened.sendBatch(ops),
  };

  get #opened() {
    if (this.#session === null) throw new Error("the canvas is not open");
    return this.#session;
  }

  #open() {
    const { client: given, ...options } = this.#options;
    const client = given ?? new CanvasClient(options);
    const session = client.session(this.#ref);
    this.#session = session;
    const refresh = () => this.#show({});
    const offs = [
      ...["change", "state", "problem"].map((type) => session.on(/** @type {"state"} */ (type), refresh)),
      session.on("event", (event) => this.#show({ events: [...this.#view.events, event].slice(-EVENTS_MAX) })),
    ];
    session.ready.then(refresh, refresh);
    this.#close = () => {
      for (const off of offs) off();
      session.close();
      if (given === undefined) client.close();
      this.#session = null;
    };
  }

  /** @param {Partial<View>} news */
  #show(news) {
    if (this.#session === null) return;
    const { text, isConnected, state, problem } = this.#session;
    this.#view = { ...this.#view, ...news, text, isConnected, state, problem };
    for (const changed of [...this.#watchers]) changed();
  }
}
