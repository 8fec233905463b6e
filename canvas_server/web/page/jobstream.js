/**
 * One job's event stream, kept open until its last event.
 *
 * Rule: closing it stops nothing but the reading. Only a cancel stops a job.
 */

import { EventStream } from "./eventstream.js";

const LAST_EVENTS = ["complete", "error"];

/**
 * @typedef {object} JobStreamObserver
 * @property {(event: any) => void} event each event once, in order
 * @property {(isOpen: boolean) => void} connection
 * @property {(problem: import("./api.js").Problem) => void} gone the server says there is no such job, or no right to it
 */

export class JobStream {
  #stream;
  #observer;

  /** @param {string} url @param {JobStreamObserver} observer */
  constructor(url, observer) {
    this.#observer = observer;
    this.#stream = new EventStream(url, {
      event: (event) => this.#tell(event),
      state: (state) => state !== "closed" && observer.connection(state !== "reconnecting"),
      gone: (problem) => observer.gone(problem),
    });
  }

  /** Read from the beginning. */
  open() {
    this.#stream.open();
  }

  close() {
    this.#stream.close();
  }

  /** @param {any} event */
  #tell(event) {
    if (LAST_EVENTS.includes(event.type)) this.close();
    if (event.type !== "bye") this.#observer.event(event);
  }
}
