"""A simulator's truth is shown and published, and no answer depends on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import zmq
from numpy.typing import NDArray

from quadfollow_core import wire
from quadfollow_core.codec import encode_png
from quadfollow_server.running import RunningServer

CAMERA = {"fx": 100, "fy": 100, "cx": 64, "cy": 48, "pose": {"position": [0, 0, 1], "rpy": [0, 0, 0]}}
DEPTH = {"encoding": "raw-f32", "scale": 1, "width": 128, "height": 96}
TRUTHS = (None, {"target": [5.1, 0.7, 1.4]}, {"target": [-80.0, 900.0, 12.0]})
Dealers = Callable[..., Any]


@pytest.fixture(scope="module")
def walk(picture: NDArray[np.uint8]) -> list[bytes]:
    """A target that wanders to the right, is away for some frames, and comes back."""
    frames = [np.roll(picture, 2 * number, axis=1) for number in range(12)]
    frames[7:9] = [np.full_like(picture, 110)] * 2
    return [encode_png(frame) for frame in frames]


def answers(client: Any, walk: list[bytes], truth: dict[str, Any] | None) -> list[dict[str, Any]]:
    """What is answered to the walk, without what is measured by a clock."""
    depth = np.full((96, 128), 5, dtype="<f4").tobytes()
    more = {"camera": CAMERA, "depth": DEPTH, "depth_data": depth, "want": ["target", "people", "track"]}
    found = [
        client.ask(n, data=data, stream="walk", captured_at=n / 20, truth=truth, **more) for n, data in enumerate(walk)
    ]
    return [{key: value for key, value in body.items() if key not in ("timings", "held_ms")} for body in found]


def test_no_answer_depends_on_the_truth(server: RunningServer, dealer: Dealers, walk: list[bytes]) -> None:
    """Right, wrong or absent, the target and the track are the same, frame by frame; and the truth is not repeated."""
    first, *others = [answers(dealer(server.address), walk, truth) for truth in TRUTHS]
    assert {body["track"]["state"] for body in first} >= {"searching", "following", "coasting"}
    assert first[6]["track"]["space"] == "world"
    assert all(other == first for other in others)
    assert "truth" not in first[0]


def test_the_truth_is_published(server: RunningServer, dealer: Dealers) -> None:
    """A subscriber gets it as it was sent, and only where it was sent."""
    with zmq.Context() as context, context.socket(zmq.SUB) as sub:
        sub.linger, sub.rcvtimeo = 0, 30_000
        sub.subscribe(wire.topic("true"))
        sub.connect(server.pub_address)
        client = dealer(server.address)
        client.ask("probe", stream="true")
        while not sub.poll(5):  # until the subscription has arrived
            client.ask("probe", stream="true")
        client.ask("told", stream="true", truth={"target": [1, 2.5, 3]})
        bodies = []
        while not bodies or bodies[-1]["id"] != "told":
            bodies.append(wire.decode_publication(sub.recv_multipart())[1])
        assert bodies[-1]["truth"] == {"target": [1.0, 2.5, 3.0]}
        assert "truth" not in bodies[0]


@pytest.mark.parametrize("wrong", [7, {}, {"target": [1, 2]}, {"target": [1, 2, "3"]}, {"target": None}])
def test_a_truth_that_makes_no_sense_is_refused(server: RunningServer, dealer: Dealers, wrong: object) -> None:
    """Like any other key that is there and wrong."""
    assert dealer(server.address).ask(1, truth=wrong)["code"] in ("bad-message", "bad-geometry")
