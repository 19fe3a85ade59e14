"""The closed loop with MAVLink in between: it follows as it does without."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from quadfollow_core.errors import Unavailable
from quadfollow_sim.closed_loop import ClosedLoop
from quadfollow_sim.eyes import LocalEyes
from quadfollow_sim.measures import distance_between, measure_sortie
from quadfollow_sim.pilot import Pilot
from quadfollow_sim.sortie import Sortie

RATE = 20.0


def fly(rig: Any, seconds: float = 12.0) -> Sortie:
    """A flight with a perfect mask."""
    pilot = Pilot(1 / RATE, surroundings=rig.world.surroundings)
    pilot.order("arm")
    return ClosedLoop(rig.airspace, LocalEyes("truth"), pilot, rate=RATE).fly(seconds)


def test_the_target_is_followed_through_the_link(rig: Any) -> None:
    """Pose from telemetry, commands as setpoints: in view throughout and placed within 15 cm."""
    rig.go_on(0.5)
    rig.autopilot.take()
    sortie = fly(rig)
    measures = measure_sortie(sortie)
    assert measures["in_view"] > 0.98, measures
    assert measures["position_error_m"] < 0.15, measures
    assert all(2.0 < (distance_between(step) or 0.0) < 4.2 for step in sortie.steps[120:])


def test_a_vehicle_not_taken_stays_where_it_is(rig: Any) -> None:
    """The same flight without an order to take it."""
    rig.go_on(0.5)
    sortie = fly(rig, 6.0)
    assert math.dist(sortie.steps[0].position, sortie.steps[-1].position) < 0.01


def test_she_is_followed_through_the_city(make_rig: Callable[..., Any]) -> None:
    """With rotors, wind, houses and other people, the pose by telemetry of 32 bits and 50 Hz."""
    from quadfollow_sim.city.airspace import CityAirspace
    from quadfollow_sim.city.city import City

    try:
        world = CityAirspace(City("street", 1))
    except Unavailable as error:
        pytest.skip(str(error))
    rig = make_rig(world=world)
    rig.go_on(0.5)
    rig.autopilot.take()
    sortie = fly(rig)
    world.close()
    measures = measure_sortie(sortie)
    assert measures["in_view"] > 0.97, measures
    assert measures["position_error_m"] < 0.25, measures
    assert measures["collisions"] == 0
    assert sum(step.speed > 0.5 for step in sortie.steps) > 100
