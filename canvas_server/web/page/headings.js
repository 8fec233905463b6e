/**
 * The headings of a Markdown text, as a table of contents shows them: lines with `#`, and lines that are underlined, outside
 * fenced code.
 */

const LINE = /[^\n]*/y;
const FENCE = /^ {0,3}(`{3,}|~{3,})(.*)$/;
const HASHES = /^ {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$/;
const UNDERLINE = /^ {0,3}(=+|-+)[ \t]*$/;
/** Lines that begin something else than a paragraph, which alone can be underlined. */
const NO_PARAGRAPH = /^(?:[ \t]*$| {4}|\t| {0,3}(?:>|[-+*][ \t]|\d{1,9}[.)][ \t]|<|\|))/;

/** @typedef {{title: string, level: number, from: number}} Heading `from`: where its line begins */

/** @param {string} text @returns {Heading[]} in order */
export function headingsOf(text) {
  /** @type {Heading[]} */ const found = [];
  /** @type {string|null} what ends the code we are in */ let fence = null;
  /** @type {{from: number, line: string}|null} the line before, if it can be underlined */ let before = null;
  for (let from = 0; from <= text.length; ) {
    LINE.lastIndex = from;
    const line = (LINE.exec(text)?.[0] ?? "").replace(/\r$/, "");
    const next = nextLine(text, from);
    const isInCode = fence !== null;
    fence = fenceAfter(fence, line);
    /** @type {Heading|null} */ const heading = isInCode || fence !== null ? null : headingIn(line, from, before);
    if (heading !== null) found.push(heading);
    before = isInCode || fence !== null || heading !== null || NO_PARAGRAPH.test(line) ? null : { from, line };
    from = next;
  }
  return found;
}

/** @param {Heading[]} headings @param {number} position @returns {number} the index of the one it stands under; -1: none */
export function headingAt(headings, position) {
  return headings.findLastIndex(({ from }) => from <= position);
}

/** @param {string} text @param {number} from */
function nextLine(text, from) {
  const end = text.indexOf("\n", from);
  return end === -1 ? text.length + 1 : end + 1;
}

/** @param {string|null} fence @param {string} line @returns {string|null} */
function fenceAfter(fence, line) {
  const [, marks, rest] = FENCE.exec(line) ?? [];
  if (marks === undefined) return fence;
  if (fence === null) return marks[0] === "`" && rest.includes("`") ? null : marks;
  return marks[0] === fence[0] && marks.length >= fence.length && rest.trim() === "" ? null : fence;
}

/** @param {string} line @param {number} from @param {{from: number, line: string}|null} before @returns {Heading|null} */
function headingIn(line, from, before) {
  const [, hashes, title = ""] = HASHES.exec(line) ?? [];
  if (hashes !== undefined) return { title: title.trim(), level: hashes.length, from };
  const [, underline] = before === null ? [] : (UNDERLINE.exec(line) ?? []);
  if (underline === undefined || before === null) return null;
  return { title: before.line.trim(), level: underline[0] === "=" ? 1 : 2, from: before.from };
}
