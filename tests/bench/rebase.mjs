/**
 * What another author's edit costs a replica that has many of its own pending, at as many places: prints µs as JSON,
 * beside what it costs to write as many places down again.
 */

import { Replica } from "../../canvas_server/web/client/index.js";

const [pending, seconds] = process.argv.slice(2).map(Number);
const LINE = "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labo\n";
const version = (seq) => `W/"${seq}-${seq.toString(16).padStart(16, "0")}"`;

const content = LINE.repeat(pending);
const replica = new Replica({ version: version(0), content }, () => "never-sent");
for (let place = 0; place < pending; place += 1) {
  replica.edit([{ from: place * (LINE.length + 1), to: place * (LINE.length + 1), insert: "x" }]);
}

let seq = 0;
const ack = () => {
  const from = ((seq * 7919) % pending) * LINE.length + 5;
  const event = {
    type: "ack",
    op_id: `other-${seq}`,
    base_version: version(seq),
    server_version: version(seq + 1),
    changes: [{ from, to: from + 1, insert: "y" }],
  };
  if (replica.receive(event).outcome !== "applied") throw new Error("not applied");
  seq += 1;
};

let places = Array.from({ length: pending }, (_, place) => ({ from: place * 100, to: place * 100, insert: "x" }));
const copy = () => {
  places = places.map(({ from, to, insert }) => ({ from: from + 1, to: to + 1, insert }));
};

/** @param {() => void} act */
function costUs(act) {
  const endMs = performance.now() + seconds * 1000;
  let least = Infinity;
  while (performance.now() < endMs) {
    const beganMs = performance.now();
    for (let turn = 0; turn < 20; turn += 1) act();
    least = Math.min(least, (performance.now() - beganMs) / 20);
  }
  return least * 1000;
}

console.log(JSON.stringify({ copy: costUs(copy), ack: costUs(ack) }));
