"""A world's vehicle put behind MAVLink as `fly --autopilot mavlink` does it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from quadfollow_core.errors import BadInput
from quadfollow_sim.closed_loop import ClosedLoop
from quadfollow_sim.eyes import LocalEyes
from quadfollow_sim.mavlink.dialect import ARDUPILOT, PX4, Dialect
from quadfollow_sim.mavlink.imitated import behind_mavlink
from quadfollow_sim.measures import measure_sortie
from quadfollow_sim.mission import MissionPlan, carry_out_mission, city_is_missing
from quadfollow_sim.orders.door import OrdersDoor
from quadfollow_sim.paper import PaperSpace
from quadfollow_sim.pilot import Pilot
from quadfollow_sim.world import Point

RATE = 20.0


def walk(seconds: float) -> Point:
    """Away from the vehicle at 1 m/s."""
    return seconds, 0.0, 0.85


@pytest.mark.parametrize("dialect", [PX4, ARDUPILOT], ids=lambda dialect: dialect.name)
def test_it_follows_and_is_handed_back(dialect: Dialect) -> None:
    """By setpoints alone, of the length asked for though taking control took time; then the vehicle holds by itself."""
    told: list[str] = []
    world = PaperSpace(walk)
    with behind_mavlink(world, told.append, dialect) as space:
        pilot = Pilot(1 / RATE)
        pilot.order("arm")
        begun = space.time
        sortie = ClosedLoop(space, LocalEyes("truth"), pilot, rate=RATE).fly(8.0)
    assert begun > 0
    assert len(sortie.steps) == 8 * RATE
    assert measure_sortie(sortie)["in_view"] > 0.97
    assert sortie.steps[-1].position[0] > sortie.steps[0].position[0] + 3
    assert f"{dialect.name} vehicle" in told[0]
    assert "handed back" in told[-1]
    world.advance(world.time + 2.0)
    assert math.hypot(*world.own.velocity) < 0.1


def test_a_flight_that_fails_hands_the_vehicle_back() -> None:
    """Whatever was raised."""
    told: list[str] = []
    with pytest.raises(RuntimeError), behind_mavlink(PaperSpace(walk), told.append):
        raise RuntimeError("the flight")
    assert "handed back" in told[-1]


def test_an_order_to_hold_reaches_it() -> None:
    """A hold is setpoints of standing still."""

    class Holding(OrdersDoor):
        """Gives its own order once."""

        def attend(self, craft: Any, timeout: float = 0.0, *, late: bool = False) -> None:
            """Hold from 3 s on."""
            if craft.status()["time"] > 5.0 and craft.mode == "armed":
                craft.order("hold")

    with behind_mavlink(PaperSpace(walk), lambda _: None) as space, Holding("tcp://127.0.0.1:*") as door:
        pilot = Pilot(1 / RATE)
        pilot.order("arm")
        sortie = ClosedLoop(space, LocalEyes("truth"), pilot, rate=RATE, door=door).fly(9.0)
    assert max(step.speed for step in sortie.steps) > 0.5
    assert sortie.steps[-1].braking == "holding"
    assert sortie.steps[-1].speed < 0.1


def test_the_citys_quadrotor_is_flown_by_setpoints(tmp_path: Path) -> None:
    """The mission of `fly --autopilot mavlink`."""
    if missing := city_is_missing():
        pytest.skip(str(missing))
    plan = MissionPlan(eyes="truth", seed=1, seconds=6.0, autopilot="mavlink", out=tmp_path, video=False)
    report = carry_out_mission(plan)
    (flight,) = report["flights"]
    assert json.loads((tmp_path / "report.json").read_text())["plan"]["autopilot"] == "mavlink"
    assert flight["in_view"] > 0.95, flight
    assert flight["position_error_m"] < 0.06  # 0.12 where the camera is not
    assert flight["collisions"] == 0


def test_no_such_autopilot() -> None:
    """Named."""
    with pytest.raises(BadInput, match="mavlink"):
        MissionPlan(autopilot="betaflight")  # type: ignore[arg-type]
