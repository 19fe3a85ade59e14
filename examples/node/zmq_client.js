// Stream pictures to a server over ZeroMQ from Node: `npm install`, then `node zmq_client.js ADDRESS PICTURE.jpg …`.
// One credit: the next picture leaves when the last one's fate is known, so no answer is ever old.

import { readFile } from "node:fs/promises";
import { Dealer } from "zeromq";

const [address, ...paths] = process.argv.slice(2);
if (paths.length === 0) refuse("an address and a picture are needed");
const pictures = await Promise.all(paths.map((path) => readFile(path))).catch((error) => refuse(error.message));
const server = new Dealer({ linger: 0, receiveTimeout: 10_000, ipv6: address.includes("[") });
server.connect(address);

for (const [id, picture] of pictures.entries()) {
  const header = { id, stream: "node", captured_at: Date.now() / 1000, want: ["target", "people", "track"] };
  await server.send(["qf1", JSON.stringify(header), picture]);
  const [magic, body] = await server.receive();
  if (magic.toString() !== "qf1") throw new Error(`${address} speaks another protocol`);
  const { type, target, track } = JSON.parse(body);
  console.log(JSON.stringify({ id, type, target, state: track?.state }));
}
server.close();

function refuse(why) {
  console.error(`usage: node zmq_client.js tcp://127.0.0.1:5555 PICTURE.jpg ...\n${why}`);
  process.exit(2);
}
