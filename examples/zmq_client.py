"""Stream pictures to a server over ZeroMQ, one at a time: ``zmq_client.py ADDRESS PICTURE.jpg …``. Needs pyzmq."""

import json
import sys
import time
from pathlib import Path

import zmq

address, *pictures = sys.argv[1:]
with zmq.Context() as context, context.socket(zmq.DEALER) as server:
    server.linger = 0
    server.connect(address)
    for number, picture in enumerate(pictures):
        header = {"id": number, "stream": "example", "captured_at": time.time(), "want": ["target", "track"]}
        server.send_multipart([b"qf1", json.dumps(header).encode(), Path(picture).read_bytes()])
        if not server.poll(10_000):
            sys.exit(f"no answer from {address}")
        _, body, *_ = server.recv_multipart()
        answer = json.loads(body)
        print(json.dumps({"id": answer["id"], "type": answer["type"], "target": answer.get("target")}))
