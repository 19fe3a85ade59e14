"""Endpoints, worlds and waiting for the tests of the QuadSim bridge."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.sim_bridge.unhurried import PATIENCE, StallFreeClock

from quadfollow_sim.quadsim.endpoint import Endpoint
from quadfollow_sim.quadsim.imitation import client
from quadfollow_sim.quadsim.imitation.quad import Quad
from quadfollow_sim.quadsim.imitation.scene import ScriptedScene
from quadfollow_sim.quadsim.imitation.telemetry import sensor_frame
from quadfollow_sim.quadsim.world import QuadSimWorld

Eventually = Callable[..., None]


@pytest.fixture
def eventually() -> Eventually:
    """Wait until something holds, with patience."""

    def wait(holds: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < end, f"not within {PATIENCE} s"
            time.sleep(0.01)

    return wait


@pytest.fixture
def start_endpoint() -> Iterator[Callable[..., Endpoint]]:
    """Start endpoints at free ports, by default with patience for a second client; all are closed at the end."""
    with contextlib.ExitStack() as stack:

        def start(**options: Any) -> Endpoint:
            one = Endpoint(**{"port": 0, "patience": PATIENCE} | options)
            one.start()
            stack.callback(one.close)
            return one

        yield start


@pytest.fixture
def endpoint(start_endpoint: Callable[..., Endpoint]) -> Endpoint:
    """An endpoint at a free port."""
    return start_endpoint()


@pytest.fixture(autouse=True)
def _no_stalls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stall of the machine is no silence to the imitation, and moves neither its hero nor its quadcopter."""
    monkeypatch.setattr(client, "time", StallFreeClock())


@pytest.fixture
def world() -> Iterator[QuadSimWorld]:
    """A world at a free port."""
    with QuadSimWorld(port=0) as one:
        yield one


@pytest.fixture
def frame() -> dict[str, str]:
    """A sensor frame of the plain scene, from 3 m up, looking 30 degrees down along x."""
    quad = Quad()
    picture = ScriptedScene().render(quad.camera())
    return sensor_frame(picture, quad.body(), quad.eye(), 1508362462.25, far=100.0)
