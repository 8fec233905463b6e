/**
 * The cursors and selections of others, drawn over the text and not into it: lines break as they would without, and a
 * screen reader reads the text alone.
 */

import { EditorSelection, RectangleMarker, StateEffect, StateField, ViewPlugin, layer } from "./codemirror.js";
import { arrived } from "./editor_marks.js";

/** So long after each move a name stands at the cursor; then a spot is enough. */
const NAMED_MS = 5000;
/** Above the first line there is no room for a name. */
const NAME_HEIGHT_PX = 20;

/** @typedef {import("./editor.js").Peer & {movedAtMs: number}} Shown */

/** @type {any} with a `Peer` */
export const putPeer = StateEffect.define();
/** @type {any} with an id */
export const removePeer = StateEffect.define();
const namesExpired = StateEffect.define();

const shown = StateField.define({
  create: () => new Map(),
  update: (/** @type {Map<string, Shown>} */ peers, /** @type {any} */ transaction) => {
    const told = transaction.effects.filter((/** @type {any} */ effect) => effect.is(putPeer) || effect.is(removePeer));
    if (!transaction.docChanged && told.length === 0) return peers;
    // What the reader writes at somebody's cursor does not push it; what came was mostly written there by them.
    const side = transaction.annotation(arrived) === undefined ? -1 : 1;
    const moved = new Map([...peers].map(([id, peer]) => [id, carried(peer, transaction.changes, side)]));
    for (const effect of told) {
      if (effect.is(removePeer)) moved.delete(effect.value);
      else moved.set(effect.value.id, placed(effect.value, moved.get(effect.value.id), transaction.newDoc.length));
    }
    return moved;
  },
});

const selections = layer({
  above: false,
  class: "cm-peer-selections",
  update: isOther,
  markers: (/** @type {any} */ view) =>
    peersIn(view)
      .filter(({ anchor, head }) => anchor !== head)
      .flatMap(({ anchor, head, look }) =>
        RectangleMarker.forRange(view, `cm-peer-selection ${look}`, EditorSelection.range(anchor, head)),
      ),
});

const cursors = layer({
  above: true,
  class: "cm-peer-cursors",
  update: isOther,
  markers: (/** @type {any} */ view) => {
    const nowMs = performance.now();
    return peersIn(view).flatMap((peer) =>
      RectangleMarker.forRange(view, "", EditorSelection.cursor(peer.head)).map(
        (/** @type {any} */ place) => new PeerCursor(place, peer, nowMs - peer.movedAtMs < NAMED_MS),
      ),
    );
  },
});

/** Shortens names to spots when their time is over. */
const shortening = ViewPlugin.define((/** @type {any} */ view) => {
  /** @type {ReturnType<typeof setTimeout>|undefined} */ let timer;
  return {
    update: (/** @type {any} */ update) => {
      if (!hasEffect(update, putPeer)) return;
      clearTimeout(timer);
      timer = setTimeout(() => view.dispatch({ effects: namesExpired.of(null) }), NAMED_MS);
    },
    destroy: () => clearTimeout(timer),
  };
});

export const peerCursors = [shown, selections, cursors, shortening];

class PeerCursor extends RectangleMarker {
  /** @param {any} place @param {Shown} peer @param {boolean} isNamed */
  constructor(place, { look, name }, isNamed) {
    const side = place.top < NAME_HEIGHT_PX ? " cm-peer-low" : "";
    super(`cm-peer-cursor ${look}${side}${isNamed ? " cm-peer-named" : ""}`, place.left, place.top, null, place.height);
    this.name = name;
  }

  draw() {
    const cursor = super.draw();
    const label = document.createElement("span");
    label.className = "cm-peer-name";
    label.textContent = this.name;
    cursor.append(label);
    return cursor;
  }

  /** @param {HTMLElement} cursor @param {any} before */
  update(cursor, before) {
    if (!(before instanceof PeerCursor) || before.name !== this.name) return false;
    /** @type {any} */ const { className } = this;
    cursor.className = className;
    return super.update(cursor, /** @type {any} */ ({ className }));
  }

  /** @param {any} other */
  eq(other) {
    return super.eq(other) && other.name === this.name;
  }
}

/** @param {any} view @returns {Shown[]} */
function peersIn(view) {
  return [...view.state.field(shown).values()];
}

/** @param {any} update */
function isOther(update) {
  const { startState, state, viewportChanged } = update;
  return viewportChanged || hasEffect(update, namesExpired) || startState.field(shown) !== state.field(shown);
}

/** @param {any} update @param {any} type */
function hasEffect({ transactions }, type) {
  const effects = transactions.flatMap((/** @type {any} */ transaction) => transaction.effects);
  return effects.some((/** @type {any} */ effect) => effect.is(type));
}

/** @param {Shown} peer @param {any} changes @param {-1|1} side @returns {Shown} */
function carried(peer, changes, side) {
  return { ...peer, anchor: changes.mapPos(peer.anchor, side), head: changes.mapPos(peer.head, side) };
}

/** @param {import("./editor.js").Peer} peer @param {Shown|undefined} before @param {number} length @returns {Shown} */
function placed(peer, before, length) {
  const [anchor, head] = [Math.min(peer.anchor, length), Math.min(peer.head, length)];
  const hasMoved = before === undefined || before.head !== head || before.anchor !== anchor || before.name !== peer.name;
  return { ...peer, anchor, head, movedAtMs: hasMoved ? performance.now() : before.movedAtMs };
}
