/**
 * Reading an event stream by hand, where `EventSource` will not do: bytes in pieces, events out (HTML standard,
 * section 9.2.6).
 */

/** A line ends with CR LF, LF or CR; a CR at the end of a piece may have its LF in the next. */
const LINE = /([^\r\n]*)(\r\n|\n|\r(?!$))/y;

/** @typedef {{id: string, data: string}} StreamedEvent `id` is that of the newest event that had one */

export class EventStreamParser {
  #rest = "";
  #id = "";
  /** @type {string[]} */ #data = [];
  /** @type {number|null} how long the server asked to wait before coming back */ retryMs = null;

  /**
   * @param {string} piece decoded text without its byte order mark, cut anywhere
   * @returns {StreamedEvent[]} the events that are whole now
   */
  push(piece) {
    this.#rest += piece;
    const events = [];
    let end = 0;
    LINE.lastIndex = 0;
    for (let found = LINE.exec(this.#rest); found !== null; found = LINE.exec(this.#rest)) {
      end = LINE.lastIndex;
      const event = this.#line(found[1]);
      if (event !== null) events.push(event);
    }
    this.#rest = this.#rest.slice(end);
    return events;
  }

  /** @param {string} line @returns {StreamedEvent|null} the event that an empty line ends */
  #line(line) {
    if (line === "") return this.#ended();
    const [, field, value] = /^([^:]*)(?:: ?(.*))?$/.exec(line) ?? [];
    if (field === "data") this.#data.push(value ?? "");
    if (field === "retry" && /^\d+$/.test(value ?? "")) this.retryMs = Number(value);
    if (field === "id" && !value?.includes("\0")) this.#id = value ?? "";
    return null;
  }

  #ended() {
    if (this.#data.length === 0) return null;
    const event = { id: this.#id, data: this.#data.join("\n") };
    this.#data = [];
    return event;
  }
}
