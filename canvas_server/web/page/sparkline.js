/**
 * A line without numbers: how something went, newest on the right. The number stands beside it, in words.
 */

const WIDTH = 240;
const HEIGHT = 48;
const PAD = 3;

/**
 * @param {[number, number][]} points when (rising), and how much (0 or more)
 * @param {number} span_s the time that the whole width stands for
 * @returns {{line: string, area: string, last: [number, number]}|null} null if there is nothing to draw
 */
export function lineOf(points, span_s) {
  const newest = points.at(-1);
  if (newest === undefined) return null;
  const top = Math.max(...points.map(([, value]) => value));
  const places = points.map(([at, value]) => [
    round(WIDTH - PAD - ((newest[0] - at) / span_s) * (WIDTH - 2 * PAD)),
    round(HEIGHT - PAD - (top > 0 ? (value / top) * (HEIGHT - 2 * PAD) : 0)),
  ]);
  const line = places.map((place) => place.join(",")).join(" ");
  const [first, last] = [places[0], /** @type {[number, number]} */ (places.at(-1))];
  return { line, area: `${first[0]},${HEIGHT} ${line} ${last[0]},${HEIGHT}`, last };
}

/** A picture that is drawn anew with `draw`; the HTML has its shapes. */
export class Sparkline {
  /** @type {SVGElement} */ element;

  /** @param {HTMLTemplateElement} template of one `svg` */
  constructor(template) {
    this.element = /** @type {SVGElement} */ (template.content.firstElementChild?.cloneNode(true));
  }

  /** @param {[number, number][]} points @param {number} span_s */
  draw(points, span_s) {
    const drawn = lineOf(points, span_s);
    this.element.toggleAttribute("data-empty", drawn === null);
    if (drawn === null) return;
    const [x, y] = drawn.last;
    this.#shape(".spark-line", drawn.line);
    this.#shape(".spark-area", drawn.area);
    // A line that goes nowhere, with a round end, is a dot that the stretching of the picture leaves round.
    this.#shape(".spark-dot", `${x},${y} ${x},${y}`);
  }

  /** @param {string} selector @param {string} points */
  #shape(selector, points) {
    this.element.querySelector(selector)?.setAttribute("points", points);
  }
}

/** @param {number} number */
function round(number) {
  return Math.round(number * 10) / 10;
}
