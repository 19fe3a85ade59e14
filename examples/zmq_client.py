"""Stream pictures to a server over ZeroMQ, one at a time: ``zmq_client.py ADDRESS PICTURE.jpg …``. Needs pyzmq."""

import argparse
import json
import sys
import time
from pathlib import Path

import zmq

parser = argparse.ArgumentParser()
parser.add_argument("address", help="such as tcp://127.0.0.1:5555")
parser.add_argument("picture", type=Path, nargs="+")
asked = parser.parse_args()
try:
    pictures = [path.read_bytes() for path in asked.picture]
except OSError as error:
    parser.error(str(error))
with zmq.Context() as context, context.socket(zmq.DEALER) as server:
    server.linger, server.ipv6 = 0, "[" in asked.address
    server.connect(asked.address)
    for number, picture in enumerate(pictures):
        header = {"id": number, "stream": "example", "captured_at": time.time(), "want": ["target", "track"]}
        server.send_multipart([b"qf1", json.dumps(header).encode(), picture])
        if not server.poll(10_000):
            sys.exit(f"no answer from {asked.address}")
        _, body, *_ = server.recv_multipart()
        answer = json.loads(body)
        print(json.dumps({"id": answer["id"], "type": answer["type"], "target": answer.get("target")}))
