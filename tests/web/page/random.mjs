/**
 * Chance that is the same in every run.
 */

/** @param {number} seed from 1 @returns {(below: number) => number} whole numbers from 0 */
export function randomFrom(seed) {
  let state = seed * 7919;
  return (below) => {
    state = (state * 48271) % 2147483647;
    return state % below;
  };
}
