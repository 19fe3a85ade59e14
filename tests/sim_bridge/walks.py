"""How somebody walks over paper, and a flight that follows."""

from __future__ import annotations

import math
from typing import Any

from quadfollow_sim.airspace import Airspace
from quadfollow_sim.closed_loop import ClosedLoop
from quadfollow_sim.paper import PaperSpace
from quadfollow_sim.pilot import Pilot
from quadfollow_sim.sortie import Sortie, Step
from quadfollow_sim.world import Point

RATE = 20.0


def walk(seconds: float) -> Point:
    """A round of 6 m radius at 1.2 m/s that begins at the origin."""
    angle = 1.2 * seconds / 6.0
    return 6.0 * math.sin(angle), 6.0 * (1 - math.cos(angle)), 0.85


def fly(eyes: Any, seconds: float = 12.0, *, world: Any = None, order: str = "arm", **options: Any) -> Sortie:
    """A flight over paper."""
    pilot = Pilot(1 / RATE)
    pilot.order(order)  # type: ignore[arg-type]
    space: Airspace = PaperSpace(walk) if world is None else world
    return ClosedLoop(space, eyes, pilot, rate=RATE).fly(seconds, **options)


def moved(step: Step, start: Step) -> float:
    """Metres from the start."""
    return math.dist(step.position, start.position)
