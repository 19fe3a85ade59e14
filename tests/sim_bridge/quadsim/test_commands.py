"""What is said to QuadSim, down to its signs."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quadfollow_core.errors import BadInput
from quadfollow_sim.quadsim import commands
from quadfollow_sim.quadsim.commands import FOR_EVER, Box
from quadfollow_sim.quadsim.imitation.client import _marker as unity_marker
from quadfollow_sim.quadsim.imitation.telemetry import pose_text
from quadfollow_sim.quadsim.pose import Attitude


def test_points_go_out_as_they_are() -> None:
    """The target's place is in QuadSim's world frame already, which is ours."""
    assert commands.object_detected((1.0, -2.123456, 0.00001)) == commands.Command(
        "object_detected", {"coords": [1.0, -2.1235, 0.0]}
    )
    assert commands.object_lost() == commands.Command("object_lost", {})


def test_a_marker_s_angles_are_degrees_of_the_opposite_sign() -> None:
    """All three signs turn round; places and sizes stay."""
    box = Box(Attitude((1.0, 2.0, 3.0), math.radians(10), math.radians(20), math.radians(30)), seconds=FOR_EVER)
    command = commands.create_box_marker(7, box)
    assert command.name == "create_box_marker"
    assert command.data == {
        "id": 7,
        "pose": [1.0, 2.0, 3.0, -10.0, -20.0, -30.0],
        "dimensions": [0.7, 0.7, 2.0],
        "color": [0.0, 0.0, 1.0, 0.1],
        "duration": -1.0,
    }


angles = st.floats(-3.1, 3.1)


@given(angles, angles, angles)
def test_a_marker_stands_in_unity_as_the_body_it_was_made_from(roll: float, pitch: float, yaw: float) -> None:
    """QuadSim's own rules take a marker's pose to the Unity angles from which it would print the same attitude."""
    attitude = Attitude((1.0, 2.0, 3.0), roll, pitch, yaw)
    marker = unity_marker(commands.create_box_marker(1, Box(attitude)).data)
    e_x, e_y, e_z = marker["euler"]
    printed = [float(part) for part in pose_text(attitude).split(",")][3:]
    for ours, unity in zip(printed, (-e_z, e_x, -e_y), strict=True):
        assert abs(math.remainder(ours - unity, 360)) < 1e-3
    assert marker["place"] == (-2.0, 3.0, 1.0)


@given(st.floats(-1e6, 1e6))
def test_numbers_have_a_point_and_no_exponent(value: float) -> None:
    """QuadSim's JSON reader need not know 1e-05."""
    text = json.dumps(commands.object_detected((value, 0.0, -0.0)).data)
    assert "e" not in text.removeprefix('{"coords"').lower()
    assert "-0.0]" not in text


def test_a_marker_is_deleted_by_its_id() -> None:
    """There is no id for all markers."""
    assert commands.delete_marker(3) == commands.Command("delete_marker", {"id": 3})
    with pytest.raises(BadInput, match="0 or above"):
        commands.delete_marker(-1)


@pytest.mark.parametrize(
    "change", [{"size": (0.0, 1.0, 1.0)}, {"colour": (0.0, 0.0, 2.0, 1.0)}, {"seconds": 0.0}, {"seconds": -2.0}]
)
def test_a_box_that_makes_no_sense_is_refused(change: dict[str, object]) -> None:
    """QuadSim would pass over it in silence."""
    with pytest.raises(BadInput):
        Box(Attitude((0.0, 0.0, 0.0), 0.0, 0.0, 0.0), **change)  # type: ignore[arg-type]


def test_a_point_is_finite() -> None:
    """A target at infinity is none."""
    with pytest.raises(BadInput, match="finite"):
        commands.object_detected((math.inf, 0.0, 0.0))
