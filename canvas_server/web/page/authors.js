/**
 * Who wrote each stretch of a text, told by the changes that made it: no text is looked at.
 *
 * It begins with a text that nobody is known to have written. What is left of it can be resolved later by the
 * authors of that older text, so that a long history is read from its newest page backwards.
 *
 * Rule: the pieces are the text, in order and without a gap. Neighbours by one author in one sitting are one piece.
 */

/** A chunk that grows beyond this is cut in two: finding a place and making room both stay short walks. */
const CHUNK_PIECES_MAX = 128;
/** Who writes on after a longer pause begins another stretch. */
export const SITTING_MS = 5 * 60_000;

/**
 * @typedef {{from: number, to: number, insert: string}} Change
 * @typedef {{actor: string, kind: string, clientId: string|null, opId: string|null, timestamp: number,
 *   meta: Record<string, string>|null}} Writer opId: null for what is not sent yet; timestamp in ms
 * @typedef {{length: number, writer: Writer|null, source: number}} Piece without a writer it comes from the text
 *   before, where it began at `source`
 * @typedef {{pieces: Piece[], length: number}} Chunk
 * @typedef {{from: number, to: number, actor: string|null, kind: string, clientId: string|null, opId: string|null,
 *   timestamp: number|null, meta: Record<string, string>|null}} AuthorRange actor: null, kind: "unknown" where nothing
 *   is known
 */

/** @param {any} ack @returns {Writer} */
export function writerOf({ actor, kind, client_id: clientId = null, op_id: opId, timestamp, meta = null }) {
  return { actor, kind, clientId, opId, timestamp, meta };
}

export class Authors {
  /** @type {Chunk[]} never none */ #chunks;

  /** @param {number} length of the text before, in UTF-16 units */
  constructor(length) {
    this.#chunks = [chunkOf(length === 0 ? [] : [{ length, writer: null, source: 0 }])];
  }

  /** Of the text as it is now. */
  get length() {
    return this.#chunks.reduce((sum, { length }) => sum + length, 0);
  }

  /** Whether anything is left of the text before. */
  get isOpen() {
    return this.#chunks.some(({ pieces }) => pieces.some(isFromBefore));
  }

  /**
   * @param {Change[]} changes one after the other, each in the coordinates left by the one before
   * @param {Writer|null} writer null: nobody knows
   */
  apply(changes, writer) {
    for (const { from, to, insert } of changes) this.#splice(from, to, insert.length, writer);
  }

  /**
   * Say who wrote the text before. What is unknown there is looked for in the text before that one from now on.
   *
   * @param {Authors} older of the text that this one began with
   */
  resolve(older) {
    const resolved = [...joined(foundPieces(this.#pieces(), [...older.#pieces()]))];
    this.#chunks = [];
    for (let start = 0; start < resolved.length; start += CHUNK_PIECES_MAX / 2) {
      this.#chunks.push(chunkOf(resolved.slice(start, start + CHUNK_PIECES_MAX / 2)));
    }
    if (this.#chunks.length === 0) this.#chunks.push(chunkOf([]));
  }

  /** @returns {AuthorRange[]} the whole text, in order */
  ranges() {
    const ranges = [];
    let from = 0;
    for (const { length, writer } of joined(this.#pieces(), areOneUnknown)) {
      ranges.push({ from, to: from + length, ...(writer ?? UNKNOWN) });
      from += length;
    }
    return ranges;
  }

  *#pieces() {
    for (const { pieces } of this.#chunks) yield* pieces;
  }

  /** @param {number} from @param {number} to @param {number} inserted @param {Writer|null} writer */
  #splice(from, to, inserted, writer) {
    const index = this.#chunkAt(from);
    const chunk = this.#chunks[index.chunk];
    const place = cutPieces(chunk, index.offset);
    this.#remove(index.chunk, place, to - from);
    if (inserted > 0) put(chunk, place, { length: inserted, writer, source: Number.NaN });
    mend(chunk, place + 1);
    mend(chunk, place);
    this.#tidy(index.chunk);
  }

  /** @param {number} at @returns {{chunk: number, offset: number}} the first chunk that reaches there */
  #chunkAt(at) {
    let [chunk, offset] = [0, at];
    while (offset > this.#chunks[chunk].length) {
      offset -= this.#chunks[chunk].length;
      chunk += 1;
      if (chunk === this.#chunks.length) throw new RangeError(`${at} lies outside the text`);
    }
    return { chunk, offset };
  }

  /** @param {number} index of a chunk @param {number} place in it @param {number} count of units */
  #remove(index, place, count) {
    let left = removeFrom(this.#chunks[index], place, count);
    while (left > 0) {
      const next = this.#chunks[index + 1];
      if (next === undefined) throw new RangeError("the change reaches beyond the text");
      left = removeFrom(next, 0, left);
      if (next.pieces.length === 0) this.#chunks.splice(index + 1, 1);
    }
  }

  /** @param {number} index of a chunk that has changed */
  #tidy(index) {
    const { pieces } = this.#chunks[index];
    if (pieces.length === 0 && this.#chunks.length > 1) this.#chunks.splice(index, 1);
    if (pieces.length <= CHUNK_PIECES_MAX) return;
    const half = pieces.length >> 1;
    this.#chunks.splice(index, 1, chunkOf(pieces.slice(0, half)), chunkOf(pieces.slice(half)));
  }
}

const UNKNOWN = Object.freeze({
  actor: null,
  kind: "unknown",
  clientId: null,
  opId: null,
  timestamp: null,
  meta: null,
});

/** @param {Piece[]} pieces @returns {Chunk} */
function chunkOf(pieces) {
  return { pieces, length: pieces.reduce((sum, { length }) => sum + length, 0) };
}

/** @param {Chunk} chunk @param {number} offset @returns {number} the index of the piece that now begins there */
function cutPieces({ pieces }, offset) {
  let index = 0;
  while (index < pieces.length && offset >= pieces[index].length) {
    offset -= pieces[index].length;
    index += 1;
  }
  if (offset === 0) return index;
  const piece = pieces[index];
  const rest = { length: piece.length - offset, writer: piece.writer, source: piece.source + offset };
  pieces.splice(index, 1, { ...piece, length: offset }, rest);
  return index + 1;
}

/** @param {Chunk} chunk @param {number} place @param {number} count @returns {number} how much is left to remove */
function removeFrom(chunk, place, count) {
  const { pieces } = chunk;
  let [end, left] = [place, count];
  while (end < pieces.length && left >= pieces[end].length) {
    left -= pieces[end].length;
    end += 1;
  }
  if (end < pieces.length && left > 0) {
    const { length, writer, source } = pieces[end];
    pieces[end] = { length: length - left, writer, source: source + left };
    left = 0;
  }
  pieces.splice(place, end - place);
  chunk.length -= count - left;
  return left;
}

/** @param {Chunk} chunk @param {number} place @param {Piece} piece */
function put(chunk, place, piece) {
  chunk.pieces.splice(place, 0, piece);
  chunk.length += piece.length;
}

/** @param {Chunk} chunk @param {number} place where a piece may be one with the piece before it */
function mend({ pieces }, place) {
  const [before, after] = [pieces[place - 1], pieces[place]];
  if (before === undefined || after === undefined || !areOne(before, after)) return;
  pieces.splice(place - 1, 2, together(before, after));
}

/**
 * @param {Iterable<Piece>} pieces
 * @param {(before: Piece, after: Piece) => boolean} [areJoined]
 */
function* joined(pieces, areJoined = areOne) {
  /** @type {Piece|null} */ let last = null;
  for (const piece of pieces) {
    if (last !== null && areJoined(last, piece)) {
      last = together(last, piece);
    } else {
      if (last !== null) yield last;
      last = piece;
    }
  }
  if (last !== null) yield last;
}

/** @param {Piece} piece */
function isFromBefore({ writer, source }) {
  return writer === null && !Number.isNaN(source);
}

/** @param {Piece} before @param {Piece} after @returns {boolean} one wrote both in one sitting, or neither is new */
function areOne({ writer, source, length }, after) {
  if (writer === null || after.writer === null) return writer === after.writer && source + length === after.source;
  if (writer === after.writer) return true;
  const { actor, kind, clientId, timestamp } = after.writer;
  const isSame = writer.actor === actor && writer.kind === kind && writer.clientId === clientId;
  return isSame && Math.abs(writer.timestamp - timestamp) <= SITTING_MS;
}

/** @param {Piece} before @param {Piece} after */
function areOneUnknown(before, after) {
  return areOne(before, after) || (before.writer === null && after.writer === null);
}

/** @param {Piece} before @param {Piece} after @returns {Piece} of the one who wrote last */
function together(before, after) {
  return { length: before.length + after.length, writer: lastOf(before.writer, after.writer), source: before.source };
}

/** The first operation of a job alone may say what it is of. @param {Writer|null} before @param {Writer|null} after */
function lastOf(before, after) {
  if (before === null || after === null) return null;
  const [older, last] = before.timestamp > after.timestamp ? [after, before] : [before, after];
  return last.meta === null && older.meta !== null ? { ...last, meta: older.meta } : last;
}

/**
 * What is left of the text before stands in its old order: both are walked through once.
 *
 * @param {Iterable<Piece>} pieces
 * @param {Piece[]} older
 */
function* foundPieces(pieces, older) {
  let [index, start] = [0, 0];
  for (const piece of pieces) {
    if (!isFromBefore(piece)) {
      yield piece;
      continue;
    }
    const end = piece.source + piece.length;
    for (let at = piece.source; at < end; ) {
      while (start + older[index].length <= at) {
        start += older[index].length;
        index += 1;
      }
      const { length, writer, source } = older[index];
      const upTo = Math.min(end, start + length);
      yield { length: upTo - at, writer, source: source + (at - start) };
      at = upTo;
    }
  }
}
