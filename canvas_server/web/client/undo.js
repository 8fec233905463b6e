/**
 * Taking back some operations of a history, and leaving all others as they are.
 */

import { ChangeSet } from "./changeset.js";

/**
 * What takes the chosen operations back from the text as it is after all of them.
 *
 * @template {{changes: import("./changeset.js").Change[]}} Ack
 * @param {string} before the text before the first of them
 * @param {readonly Ack[]} acks a history without a gap, oldest first
 * @param {(ack: Ack) => boolean} isUndone
 * @returns {ChangeSet} on the text after the last of them
 */
export function undo(before, acks, isUndone) {
  const steps = [];
  let text = before;
  for (const ack of acks) {
    const set = ChangeSet.of(ack.changes);
    steps.push({ set, inverse: set.invert(text), goes: isUndone(ack) });
    text = set.apply(text);
  }
  let kept = ChangeSet.EMPTY;
  let undoing = ChangeSet.EMPTY;
  for (const { set, inverse, goes } of steps.reverse()) {
    if (goes) {
      undoing = undoing.compose(inverse.rebase(kept, { before: true }));
      kept = kept.rebase(inverse, { before: false });
    } else {
      kept = set.compose(kept);
    }
  }
  return undoing;
}
