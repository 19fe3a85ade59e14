"""The least that can stand between a client and the network: one loop on one thread, for one client at a time.

It reads a frame, decodes it, runs the session and sends where the target is. It checks nothing, serves nobody else
meanwhile and tells nobody anything: what an answer costs here, it costs any server on this machine.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import httptools
import zmq

from quadfollow_core import wire
from quadfollow_core.codec import decode_image
from quadfollow_core.request import Result
from quadfollow_core.resize import fit_frame
from quadfollow_server.engine import load_model

Answer = Callable[[Any], dict[str, Any]]
"""A JPEG's bytes to what is said of it."""


def over_zmq(port: int, answer: Answer) -> None:
    """Answer what comes to a ROUTER."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.bind(f"tcp://127.0.0.1:{port}")
        while True:
            client, _, header, image = router.recv_multipart()
            asked = json.loads(header)
            body = {key: asked[key] for key in ("id", "stream", "captured_at")} | answer(image)
            router.send_multipart([client, *wire.encode_reply(Result({"type": "result"} | body))])


def over_http(port: int, answer: Answer) -> None:
    """Answer POST requests, one connection after the other."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                _Conversation(connection, answer).hold()


class _Conversation:
    """One HTTP connection; httptools calls it with what it reads."""

    def __init__(self, connection: socket.socket, answer: Answer) -> None:
        self._connection = connection
        self._answer = answer
        self._parser = httptools.HttpRequestParser(self)
        self._body: list[bytes] = []

    def hold(self) -> None:
        """Answer until the client hangs up."""
        for data in iter(lambda: self._connection.recv(1 << 20), b""):
            self._parser.feed_data(data)

    def on_body(self, data: bytes) -> None:
        """Keep a piece of the picture."""
        self._body.append(data)

    def on_message_complete(self) -> None:
        """Answer."""
        image, self._body = b"".join(self._body), []
        body = json.dumps(self._answer(image)).encode()
        self._connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


DOORS = {"zmq": over_zmq, "http": over_http}


@click.command()
@click.argument("door", type=click.Choice(list(DOORS)))
@click.option("--port", type=int, required=True)
@click.option("--model", type=click.Path(path_type=Path), required=True)
@click.option("--device", required=True)
@click.option("--variant", required=True)
def main(door: str, port: int, model: Path, device: str, variant: str) -> None:
    """Serve until it is ended."""
    segmenter = load_model(model, device, variant=variant)

    def answer(jpeg: bytes) -> dict[str, Any]:
        image, _ = fit_frame(decode_image(jpeg), segmenter.contract.size)
        _, probability = segmenter.segment(image)
        rows, columns = (probability >= segmenter.contract.rule.threshold).nonzero()
        return {"target": [columns.mean(), rows.mean()] if len(rows) else None}

    DOORS[door](port, answer)


if __name__ == "__main__":
    main()
