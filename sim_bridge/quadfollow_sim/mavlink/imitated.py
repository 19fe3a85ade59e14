"""A world's own vehicle behind MAVLink: the imitation flies it, our end leads it, over UDP of this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from quadfollow_core.errors import Unavailable
from quadfollow_sim.airspace import Airspace
from quadfollow_sim.mavlink.airspace import STEP, MavlinkAirspace
from quadfollow_sim.mavlink.autopilot import Autopilot, Tell
from quadfollow_sim.mavlink.dialect import PX4, Dialect
from quadfollow_sim.mavlink.imitation import COMPONENT, SYSTEM, ImitatedVehicle
from quadfollow_sim.mavlink.link import Link
from quadfollow_sim.world import Point

COMPANION = 191
"""Our MAVLink component, an onboard computer."""
PATIENCE = 10.0
"""Seconds of the world's clock for connecting, taking and handing back."""


@contextlib.contextmanager
def behind_mavlink(
    world: Airspace, tell: Tell, dialect: Dialect = PX4, *, mount: Point = (0.0, 0.0, 0.0)
) -> Iterator[MavlinkAirspace]:
    """Fly a world's vehicle, which hovers, by setpoints; within, control is ours, and afterwards it is handed back.

    ``mount`` is where its camera is in the body; see :class:`Autopilot`.

    Raises:
        Unavailable: pymavlink is missing, or the vehicle did not let itself be taken.
    """
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(contextlib.closing(Link("udpin://127.0.0.1:0", SYSTEM, COMPANION)))
        its = stack.enter_context(contextlib.closing(Link(f"udp://127.0.0.1:{ours.port}", SYSTEM, COMPONENT)))
        vehicle = ImitatedVehicle(world, its, dialect, motors=True)
        autopilot = Autopilot(ours, tell, mount=mount)
        space = MavlinkAirspace(world, autopilot, vehicle.advance)
        _go_on(space, lambda: autopilot.connected)
        autopilot.take()
        _go_on(space, lambda: autopilot.control == "ours")
        try:
            yield space
        finally:
            autopilot.release()
            _go_on(space, lambda: autopilot.control == "none")


def _go_on(space: MavlinkAirspace, until: Callable[[], bool]) -> None:
    end = space.time + PATIENCE
    while not until():
        if space.time > end:
            raise Unavailable("the vehicle behind MAVLink does not answer as it should, see what it said")
        space.advance(space.time + STEP)
