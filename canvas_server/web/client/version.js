/**
 * Versions: the ETag `W/"<seq>-<chain>"`, of which `seq` counts the operations that were applied.
 */

/** @param {string|null|undefined} version @returns {number} -1 when it is no version */
export function sequenceOf(version) {
  const match = /^W\/"(\d+)-/.exec(version ?? "");
  return match === null ? -1 : Number(match[1]);
}

/** The bare form `<seq>-<chain>`, that stands in ids and in queries. @param {string} version @returns {string} */
export function bareOf(version) {
  return version.replace(/^W\/"|"$/g, "");
}
