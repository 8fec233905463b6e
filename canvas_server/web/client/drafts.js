/**
 * Keeps what is not acknowledged where a reload of the page, or its end, does not take it away.
 *
 * Rule: what was sent stands in a draft under the ids that it was sent with, before it is sent; so a draft may be older
 * than the truth, and nothing of it is ever applied twice. Each tab has a draft of its own. Where the browser can tell
 * that a tab is gone (Web Locks), the next one that opens the canvas takes over what it left.
 */

/** What has its answer sooner is not written down. */
const PAUSE_MS = 250;
const LENGTH_MAX = 1_000_000;
/** A page that is reloaded may hold its lock for a moment longer. */
const PATIENCE_MS = 1_000;
const TAB_KEY = "canvas-server:tab";

/**
 * @typedef {import("./changeset.js").Spot} Spot
 * @typedef {import("./operation.js").Operation} Operation
 * @typedef {{getItem: (key: string) => string|null, setItem: (key: string, value: string) => void,
 *   removeItem: (key: string) => void}} DraftStorage as `localStorage` is
 * @typedef {{spots: readonly Spot[], op: Operation|null, request: number}} DraftEdit `op` as it was sent; `request`: those
 *   of the same number were sent together
 * @typedef {{version: string, edits: DraftEdit[], isWhole: boolean}} DraftState `version` is that of the text that the
 *   edits stand on; `isWhole`: whether that is all that waits
 */

export class Draft {
  /** @type {string|null} where all drafts of this canvas and user are; null before `open` */ #place = null;
  /** @type {Promise<DraftState|null>|null} */ #opening = null;
  /** @type {ReturnType<typeof setTimeout>|null} */ #timer = null;
  /** @type {() => void} */ #release = () => {};
  #isStored = false;
  #isClosed = false;
  #storage;
  #tab;
  #now;

  /**
   * @param {DraftStorage} storage
   * @param {string} tab the same before and after a reload
   * @param {() => DraftState|null} now what waits; null: the text is not there yet
   */
  constructor(storage, tab, now) {
    this.#storage = storage;
    this.#tab = tab;
    this.#now = now;
  }

  /** @param {string} place @returns {Promise<DraftState|null>} what was left of this tab, or of one that is gone */
  open(place) {
    this.#opening ??= this.#open(place);
    return this.#opening;
  }

  /** Something else waits, or nothing any more. */
  changed() {
    const now = this.#now();
    if (this.#place === null || this.#isClosed || now === null) return;
    if (now.edits.length === 0) this.#write();
    else this.#timer ??= setTimeout(() => this.#write(), PAUSE_MS);
  }

  /** Something is about to be sent: what is written down must know of it. */
  sending() {
    if (this.#isStored) this.#write();
  }

  /** Write down at once what waits. @returns {boolean} whether all of it is kept */
  keep() {
    const now = this.#now();
    if (now === null || (now.edits.length === 0 && now.isWhole)) return true;
    return this.#place !== null && !this.#isClosed && this.#write();
  }

  /** What still waits stays for whoever opens the canvas next. */
  close() {
    this.keep();
    clearTimeout(this.#timer ?? undefined);
    this.#isClosed = true;
    this.#release();
  }

  /** @param {string} place */
  async #open(place) {
    if (!(await this.#claim(`${place}:${this.#tab}`))) this.#tab = `${this.#tab}-${crypto.randomUUID()}`;
    if (this.#isClosed) return null;
    const own = read(this.#storage, `${place}:${this.#tab}`);
    const found = own ?? (await this.#inherit(place));
    this.#isStored = found !== null;
    this.#place = place;
    return found;
  }

  /** Hold the lock of a tab that lives. @param {string} name @returns {Promise<boolean>} false: another holds it */
  async #claim(name) {
    const locks = tabLocks();
    if (locks === undefined) return true;
    const held = new Promise((resolve) => (this.#release = () => resolve(undefined)));
    return new Promise((resolve) => {
      const options = { signal: AbortSignal.timeout(PATIENCE_MS) };
      locks.request(name, options, () => (resolve(true), held)).catch(() => resolve(false));
    });
  }

  /** Take the draft of a tab that is gone. @param {string} place @returns {Promise<DraftState|null>} */
  async #inherit(place) {
    const locks = tabLocks();
    if (locks === undefined) return null;
    for (const tab of tabsOf(this.#storage, place)) {
      const key = `${place}:${tab}`;
      const found = await locks.request(key, { ifAvailable: true }, (lock) => {
        const draft = lock === null ? null : read(this.#storage, key);
        if (draft !== null && !this.#put(place, JSON.stringify(draft))) return null;
        if (lock !== null) forget(this.#storage, place, tab);
        return draft;
      });
      if (found !== null) return found;
    }
    return null;
  }

  /** @returns {boolean} whether all that waits is kept */
  #write() {
    clearTimeout(this.#timer ?? undefined);
    this.#timer = null;
    const place = /** @type {string} */ (this.#place);
    const draft = this.#now();
    if (draft === null) return true;
    const isEmpty = draft.edits.length === 0;
    const isStored = !isEmpty && this.#put(place, JSON.stringify(draft));
    // One that is older knows other ids than those under which it is sent from now on.
    if (!isStored && this.#isStored) forget(this.#storage, place, this.#tab);
    this.#isStored = isStored;
    return draft.isWhole && (isStored || isEmpty);
  }

  /** @param {string} place @param {string} value @returns {boolean} */
  #put(place, value) {
    if (value.length > LENGTH_MAX) return false;
    try {
      const tabs = tabsOf(this.#storage, place);
      this.#storage.setItem(`${place}:${this.#tab}`, value);
      if (!tabs.includes(this.#tab)) this.#storage.setItem(place, JSON.stringify([...tabs, this.#tab]));
      return true;
    } catch {
      return false;
    }
  }
}

/** @type {string|null} */
let ownName = null;

/**
 * The name is put down only while the page is away: a copy of a tab that lives is another tab.
 *
 * @param {string} clientId
 * @returns {string} names this tab, also after it is reloaded
 */
export function tabName(clientId) {
  const { document, addEventListener } = globalThis;
  if (document === undefined) return clientId;
  if (ownName === null) {
    ownName = takeName() ?? clientId;
    addEventListener("pagehide", () => putName(ownName ?? clientId));
    addEventListener("pageshow", () => takeName());
  }
  return ownName;
}

/** @returns {string|null} */
function takeName() {
  try {
    const name = sessionStorage.getItem(TAB_KEY);
    sessionStorage.removeItem(TAB_KEY);
    return name;
  } catch {
    return null;
  }
}

/** @param {string} name */
function putName(name) {
  try {
    sessionStorage.setItem(TAB_KEY, name);
  } catch {
    // Without storage of its own a tab has another name when it is reloaded.
  }
}

/** @returns {LockManager|undefined} by which tabs tell that they live */
function tabLocks() {
  return globalThis.document === undefined ? undefined : globalThis.navigator?.locks;
}

/** @param {DraftStorage} storage @param {string} place @returns {string[]} the tabs that may have drafts there */
function tabsOf(storage, place) {
  const tabs = parsed(storage, place);
  return Array.isArray(tabs) ? tabs : [];
}

/** @param {DraftStorage} storage @param {string} key @returns {DraftState|null} */
function read(storage, key) {
  const draft = parsed(storage, key);
  return typeof draft?.version === "string" && Array.isArray(draft.edits) ? draft : null;
}

/** @param {DraftStorage} storage @param {string} key @returns {any} null: nothing that can be read */
function parsed(storage, key) {
  try {
    return JSON.parse(storage.getItem(key) ?? "null");
  } catch {
    return null;
  }
}

/** @param {DraftStorage} storage @param {string} place @param {string} tab */
function forget(storage, place, tab) {
  try {
    storage.removeItem(`${place}:${tab}`);
    const others = tabsOf(storage, place).filter((each) => each !== tab);
    if (others.length === 0) storage.removeItem(place);
    else storage.setItem(place, JSON.stringify(others));
  } catch {
    // Storage that may not be used kept nothing.
  }
}
