"""Both ends of a MAVLink connection over real UDP, on the clock of a world of paper."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.sim_bridge.walks import walk

from quadfollow_sim.mavlink.airspace import MavlinkAirspace
from quadfollow_sim.mavlink.autopilot import Autopilot
from quadfollow_sim.mavlink.dialect import PX4, Dialect
from quadfollow_sim.mavlink.imitation import COMPONENT, SYSTEM, ImitatedVehicle
from quadfollow_sim.mavlink.link import Link
from quadfollow_sim.paper import PaperSpace


@pytest.fixture(scope="session", autouse=True)
def _pymavlink() -> None:
    pytest.importorskip("pymavlink", reason="MAVLink needs the extra mavlink")


@dataclass
class Rig:
    """A world with a vehicle's end and ours."""

    world: Any
    vehicle: ImitatedVehicle
    autopilot: Autopilot
    ends: tuple[Link, Link]
    """The vehicle's and ours."""
    told: list[str] = field(default_factory=list)

    @property
    def airspace(self) -> MavlinkAirspace:
        """The world behind the link."""
        return MavlinkAirspace(self.world, self.autopilot, self.vehicle.advance)

    def go_on(self, seconds: float, *, vehicle: bool = True, autopilot: bool = True) -> None:
        """Let both ends live on in steps of 20 ms, or one end alone."""
        for _ in range(round(seconds / 0.02)):
            then = self.world.time + 0.02
            (self.vehicle if vehicle else self.world).advance(then)
            if autopilot:
                self.autopilot.pump(then)

    def take(self) -> None:
        """Have control."""
        self.go_on(0.5)
        self.autopilot.take()
        self.go_on(2.0)
        assert self.autopilot.control == "ours", self.told

    def words(self) -> str:
        """All that was told."""
        return "\n".join(self.told)


@pytest.fixture
def make_rig() -> Iterator[Callable[..., Rig]]:
    """Make rigs; all sockets are closed at the end."""
    with contextlib.ExitStack() as stack:

        def make(dialect: Dialect = PX4, *, world: Any = None, motors: bool = True, **camera: Any) -> Rig:
            ours = stack.enter_context(contextlib.closing(Link("udpin://127.0.0.1:0", 1, 191)))
            its = stack.enter_context(contextlib.closing(Link(f"udp://127.0.0.1:{ours.port}", SYSTEM, COMPONENT)))
            flown, told = world or PaperSpace(walk), list[str]()
            vehicle = ImitatedVehicle(flown, its, dialect, motors=motors)
            return Rig(flown, vehicle, Autopilot(ours, told.append, **camera), (its, ours), told)

        yield make


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    """A PX4 that hovers."""
    return make_rig()
