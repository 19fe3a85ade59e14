"""Endpoints, worlds and waiting for the tests of the QuadSim bridge."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from quadfollow_sim.quadsim.endpoint import Endpoint
from quadfollow_sim.quadsim.imitation.quad import Quad
from quadfollow_sim.quadsim.imitation.scene import ScriptedScene
from quadfollow_sim.quadsim.imitation.telemetry import sensor_frame
from quadfollow_sim.quadsim.world import QuadSimWorld

Eventually = Callable[..., None]


@pytest.fixture
def eventually() -> Eventually:
    """Wait until something holds, at most some seconds."""

    def wait(holds: Callable[[], object], seconds: float = 5.0) -> None:
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, f"not within {seconds} s"
            time.sleep(0.01)

    return wait


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """An endpoint at a free port."""
    one = Endpoint(port=0, patience=0.1)
    one.start()
    yield one
    one.close()


@pytest.fixture
def world() -> Iterator[QuadSimWorld]:
    """A world at a free port that gives up after 5 s."""
    with QuadSimWorld(port=0, patience=5.0) as one:
        yield one


@pytest.fixture
def frame() -> dict[str, str]:
    """A sensor frame of the plain scene, from 3 m up, looking 30 degrees down along x."""
    quad = Quad()
    picture = ScriptedScene().render(quad.camera())
    return sensor_frame(picture, quad.body(), quad.eye(), 1508362462.25, far=100.0)
