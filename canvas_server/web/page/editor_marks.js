/**
 * Stretches of the editor's text that are marked: what just arrived, and who wrote what.
 */

import { Annotation, Decoration, EditorView, StateEffect, StateField, ViewPlugin } from "./codemirror.js";

const FRESH_MS = 2000;
const LOOK_MS = 500;
/** Beyond this much at once the reader sees anyway that everything is new. */
const FRESH_MAX = 200;

/** Of a transaction that brings what was done elsewhere: when it came, in Unix ms. */
export const arrived = Annotation.define();

/** @type {any} the newest time that is not fresh any more */
const faded = StateEffect.define();

/** @type {any} with `AuthorRange[]` in the order of the text; none takes the colours away */
export const setAuthorRanges = StateEffect.define();

const fresh = StateField.define({
  create: () => Decoration.none,
  update: (/** @type {any} */ lit, /** @type {any} */ transaction) => {
    let kept = lit.map(transaction.changes);
    for (const effect of transaction.effects) {
      if (effect.is(faded)) kept = newerThan(kept, effect.value);
    }
    const atMs = transaction.annotation(arrived);
    if (atMs === undefined || kept.size >= FRESH_MAX) return kept;
    return kept.update({ add: insertedIn(transaction.changes, Decoration.mark({ class: "cm-fresh", atMs })) });
  },
  provide: (/** @type {any} */ field) => EditorView.decorations.from(field),
});

/** Takes the light away after a while. */
const fading = ViewPlugin.define((/** @type {any} */ view) => {
  /** @type {ReturnType<typeof setTimeout>|null} */ let timer = null;
  const look = () => {
    timer = null;
    view.dispatch({ effects: faded.of(Date.now() - FRESH_MS) });
  };
  return {
    update: () => {
      if (timer === null && view.state.field(fresh).size > 0) timer = setTimeout(look, LOOK_MS);
    },
    destroy: () => clearTimeout(timer ?? undefined),
  };
});

const authors = StateField.define({
  create: () => Decoration.none,
  update: (/** @type {any} */ coloured, /** @type {any} */ transaction) => {
    let kept = coloured.map(transaction.changes);
    for (const effect of transaction.effects) {
      if (effect.is(setAuthorRanges)) kept = colours(effect.value, transaction.newDoc.length);
    }
    return kept;
  },
  provide: (/** @type {any} */ field) => EditorView.decorations.from(field),
});

export const marks = [authors, fresh, fading];

/** @param {any} lit @param {number} timeMs */
function newerThan(lit, timeMs) {
  /** @type {(from: number, to: number, mark: any) => boolean} */
  const filter = (_from, _to, mark) => mark.spec.atMs > timeMs;
  return lit.update({ filter });
}

/** @param {any} changes @param {any} mark */
function insertedIn(changes, mark) {
  /** @type {any[]} */ const added = [];
  /** @type {(fromA: number, toA: number, fromB: number, toB: number) => void} */
  const add = (_fromA, _toA, from, to) => {
    if (to > from) added.push(mark.range(from, to));
  };
  changes.iterChanges(add);
  return added;
}

/** @param {import("./editor.js").AuthorRange[]} ranges @param {number} length of the text, which they may be older than */
function colours(ranges, length) {
  const shown = ranges
    .filter(({ from, to }) => from < Math.min(to, length))
    .map(({ from, to, look, title }) =>
      Decoration.mark({ class: `author ${look}`, attributes: { title } }).range(from, Math.min(to, length)),
    );
  return Decoration.set(shown);
}
