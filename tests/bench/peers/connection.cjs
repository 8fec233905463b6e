/**
 * A client's connection to a server of shared documents, on a bare socket: frames are walked, not unpacked, so that
 * hundreds of listeners cost this process little. Speaks the protocol of y-websocket, and Hocuspocus's, which puts the
 * name of the document before each message and wants a token first.
 */

const { connect } = require("node:net");
const encoding = require("lib0/encoding");

const SYNC = 0;
const AUTH = 2;
const SYNC_REPLY = 4;
const STEP_1 = 0;
const STEP_2 = 1;
const UPDATE = 2;
const BINARY_FRAME = 0x82;
const MASKED = 0x80;

/** Stands before the number of an edit in its text: servers may join updates, so that frames are not edits. */
const MARK = Buffer.from("~~");
const DIGITS = 8;

/** Bytes of an empty document's state vector. */
const NOTHING = new Uint8Array([0]);

class Connection {
  /**
   * @param {{kind: string, port: number}} server
   * @param {string} room
   */
  constructor(server, room) {
    this.name = server.kind === "hocuspocus" ? encoded((to) => encoding.writeVarString(to, room)) : new Uint8Array();
    /** Messages with updates. */
    this.updates = 0;
    /** Edits: the number of the last one, from 1. */
    this.edits = 0;
    /** Called after each piece of the stream that had edits, with how many. @type {((count: number) => void)|null} */
    this.onEdits = null;
    this.held = Buffer.alloc(0);
    this.socket = connect(server.port, "127.0.0.1");
    this.socket.setNoDelay(true);
    this.joined = new Promise((resolve, reject) => {
      this.join = resolve;
      this.socket.on("error", reject);
      this.socket.on("close", () => reject(new Error("the server closed the connection")));
    });
    this.socket.once("data", (data) => this.begin(data));
    const upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13";
    const key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==";
    this.socket.write(`GET /${room} HTTP/1.1\r\nHost: 127.0.0.1\r\n${upgrade}\r\n${key}\r\n\r\n`);
  }

  /** @param {Uint8Array} update @returns {Buffer} the frame that tells it */
  frame(update) {
    return frame(this.message(SYNC, UPDATE, update));
  }

  /** @param {Buffer[]} frames */
  send(frames) {
    this.socket.write(frames.length === 1 ? frames[0] : Buffer.concat(frames));
  }

  close() {
    this.joined.catch(() => {});
    this.socket.destroy();
  }

  /** @private */
  begin(data) {
    const end = data.indexOf("\r\n\r\n");
    if (!data.subarray(0, 12).equals(Buffer.from("HTTP/1.1 101")) || end < 0) {
      throw new Error(`no WebSocket: ${data}`);
    }
    this.socket.on("data", (more) => this.walk(more));
    if (this.name.length) {
      this.send([frame(this.message(AUTH, 0, encoded((to) => encoding.writeVarString(to, "")), true))]);
    }
    this.send([frame(this.message(SYNC, STEP_1, NOTHING))]);
    this.walk(data.subarray(end + 4));
  }

  /** @private Walks the frames of a piece of the stream; keeps the last one if it is not whole. */
  walk(piece) {
    const data = this.held.length ? Buffer.concat([this.held, piece]) : piece;
    const before = this.edits;
    let at = 0;
    while (at + 2 <= data.length) {
      let length = data[at + 1];
      let start = at + 2;
      if (length === 126) {
        if (start + 2 > data.length) break;
        length = data.readUInt16BE(start);
        start += 2;
      } else if (length === 127) {
        if (start + 8 > data.length) break;
        length = Number(data.readBigUInt64BE(start));
        start += 8;
      }
      if (start + length > data.length) break;
      if (data[at] === BINARY_FRAME) this.take(data, start + this.name.length, start + length);
      at = start + length;
    }
    this.held = data.subarray(at);
    if (this.edits > before && this.onEdits) this.onEdits(this.edits - before);
  }

  /** @private */
  take(data, at, end) {
    if (data[at] !== SYNC && data[at] !== SYNC_REPLY) return;
    if (data[at + 1] === STEP_2) this.join();
    if (data[at + 1] !== UPDATE) return;
    this.updates += 1;
    const message = data.subarray(at, end);
    const place = message.lastIndexOf(MARK);
    if (place >= 0) this.edits = Number(message.latin1Slice(place + MARK.length, place + MARK.length + DIGITS));
  }

  /** @private */
  message(type, step, bytes, bare = false) {
    return encoded((to) => {
      encoding.writeUint8Array(to, this.name);
      encoding.writeVarUint(to, type);
      encoding.writeVarUint(to, step);
      if (bare) encoding.writeUint8Array(to, bytes);
      else encoding.writeVarUint8Array(to, bytes);
    });
  }
}

function encoded(write) {
  const to = encoding.createEncoder();
  write(to);
  return encoding.toUint8Array(to);
}

/** A client must mask what it sends; by zeros, which leave it as it is. */
function frame(message) {
  const size = message.length;
  const head = size < 126 ? Buffer.alloc(6) : size < 65536 ? Buffer.alloc(8) : Buffer.alloc(14);
  head[0] = BINARY_FRAME;
  if (size < 126) head[1] = MASKED | size;
  else if (size < 65536) {
    head[1] = MASKED | 126;
    head.writeUInt16BE(size, 2);
  } else {
    head[1] = MASKED | 127;
    head.writeBigUInt64BE(BigInt(size), 2);
  }
  return Buffer.concat([head, message]);
}

/** @param {number} number @returns {string} the twenty characters of an edit */
function numbered(number) {
  return `the words ${MARK}${String(number).padStart(DIGITS, "0")}`;
}

module.exports = { Connection, numbered };
