"""Our server with a network that costs nothing, so that only the server's own work is left."""

from __future__ import annotations

import signal

import click
import numpy as np

from quadfollow_server.segmenter import ConstantSegmenter
from quadfollow_server.serve import Server, run
from quadfollow_server.settings import Settings


def null_network(size: int = 256) -> ConstantSegmenter:
    """A fake that sees a target of 20 x 40 pixels in every frame."""
    classes = np.zeros((size, size), np.uint8)
    classes[100:140, 120:140] = 2
    return ConstantSegmenter(classes, name="null")


@click.command()
@click.option("--port", type=int, required=True)
@click.option("--zmq-port", type=int, required=True)
@click.option("--pub-port", type=int, required=True)
def main(port: int, zmq_port: int, pub_port: int) -> None:
    """Serve until SIGTERM."""
    network = null_network()
    server = Server(Settings(port=port, zmq_port=zmq_port, pub_port=pub_port), lambda _: [network])
    run(server, {signal.SIGTERM: server.stop})


if __name__ == "__main__":
    main()
