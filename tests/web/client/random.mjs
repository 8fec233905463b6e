/** Chance that can be had again: numbers from a seed (Park and Miller's generator). */

export function randomOf(seed) {
  let state = (seed * 16807 + 7) % 2147483647 || 1;
  /** A whole number below `count`. */
  return (count) => {
    state = (state * 48271) % 2147483647;
    return state % count;
  };
}
