/**
 * CRC-32 (IEEE 802.3, as in zlib and gzip) of a text's UTF-8 bytes: what a heartbeat carries.
 */

const POLYNOMIAL_REFLECTED = 0xedb88320;
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => remainderOf(byte));

/**
 * The checksum of a text as an unsigned 32-bit number.
 *
 * @param {string} text
 * @returns {number}
 */
export function crc32(text) {
  let remainder = 0xffffffff;
  for (const byte of new TextEncoder().encode(text)) {
    remainder = TABLE[(remainder ^ byte) & 0xff] ^ (remainder >>> 8);
  }
  return (remainder ^ 0xffffffff) >>> 0;
}

/** @param {number} byte */
function remainderOf(byte) {
  let remainder = byte;
  for (let bit = 0; bit < 8; bit += 1) {
    remainder = remainder & 1 ? (remainder >>> 1) ^ POLYNOMIAL_REFLECTED : remainder >>> 1;
  }
  return remainder;
}
