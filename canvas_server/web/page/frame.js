/**
 * Drawing at most once per frame, however many events came in between. A hidden tab draws when it is shown again.
 */

/**
 * @param {() => void} draw
 * @returns {() => void} asks for one `draw` in the next frame
 */
export function oncePerFrame(draw) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      draw();
    });
  };
}
