"""Where a mission flies: the world and its steersman, ready but not armed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from quadfollow_core.errors import BadInput
from quadfollow_sim.airspace import Airspace
from quadfollow_sim.craft import Steersman
from quadfollow_sim.pilot import Pilot, Plan
from quadfollow_sim.plans import require_positive
from quadfollow_sim.safety import SafetyRule

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class QuadSimPlan:
    """How QuadSim is waited for, and how its pictures are read."""

    listen: str = "127.0.0.1:4567"
    """Address and port; QuadSim knows no other port, and looks at its own machine only."""
    far: float = 100.0
    """Its far plane, metres."""
    ground: float | None = 0.0
    """Height of the ground, metres, against which the far plane is checked; None for no check."""
    patience: float = 300.0
    """Seconds that its first picture is waited for."""

    def __post_init__(self) -> None:
        require_positive(self, "far", "patience")
        self.address()

    def address(self) -> tuple[str, int]:
        """Host and port.

        Raises:
            BadInput: they are not.
        """
        host, _, port = self.listen.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65535:
            raise BadInput(f"--listen takes HOST:PORT such as 127.0.0.1:4567, got {self.listen!r}")
        return host, int(port)


@dataclass(frozen=True, slots=True)
class Venue:
    """A world, who steers in it, what it is called, and what it has to say at the end."""

    world: Airspace
    steersman: Steersman
    title: str
    told: Callable[[], dict[str, Any]] = dict


def open_city(
    preset: str, seed: int, outfit: str, *, rate: float, with_depth: bool, stack: contextlib.ExitStack
) -> Venue:
    """The embedded city with the pilot that keeps to its fence.

    Raises:
        Unavailable: no city can be drawn on this machine.
    """
    from quadfollow_sim.city.airspace import FENCE, CityAirspace
    from quadfollow_sim.city.city import City

    city = City(preset, seed, outfit=outfit)
    world = stack.enter_context(contextlib.closing(CityAirspace(city, with_depth=with_depth)))
    pilot = Pilot(1 / rate, Plan(safety=SafetyRule(fence=FENCE)), world.surroundings)
    return Venue(world, pilot, f"{preset}, seed {seed}")


def open_quadsim(plan: QuadSimPlan, *, rate: float, with_depth: bool, stack: contextlib.ExitStack, tell: Tell) -> Venue:
    """QuadSim, as soon as it connects, and the guide that points where to follow.

    Raises:
        Unavailable: the port is taken, or aiohttp is not installed.
    """
    from quadfollow_sim.quadsim.guide import Guide
    from quadfollow_sim.quadsim.space import QuadSimSpace
    from quadfollow_sim.quadsim.world import QuadSimWorld

    host, port = plan.address()
    world = stack.enter_context(QuadSimWorld(host, port, far=plan.far, ground=plan.ground, tell=tell))
    tell(f"waiting {plan.patience:g} s for QuadSim at {world.address}: start it, it connects by itself (Ctrl-C ends)")

    def told() -> dict[str, Any]:
        counts = world.counts
        return {"notices": world.notices, "connected": counts.clients, "malformed": counts.malformed}

    space = QuadSimSpace(world, with_depth=with_depth, patience=plan.patience)
    return Venue(space, Guide(1 / rate), "QuadSim", told)
