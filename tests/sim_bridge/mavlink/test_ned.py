"""Frames: where our axes and angles lie in MAVLink's."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quadfollow_sim.mavlink.ned import swap_axes, swap_heading

NUMBERS = st.floats(-1e6, 1e6)


@pytest.mark.parametrize(
    ("ours", "its"), [((1, 0, 0), (0, 1, 0)), ((0, 1, 0), (1, 0, 0)), ((0, 0, 1), (0, 0, -1))], ids=["x", "y", "z"]
)
def test_axes(ours: tuple[float, ...], its: tuple[float, ...]) -> None:
    """East is its second axis, north its first, up its third with a minus."""
    assert swap_axes(ours) == pytest.approx(its)  # type: ignore[arg-type]


@pytest.mark.parametrize(("ours", "its"), [(0, 90), (90, 0), (180, -90), (-90, 180), (45, 45)])
def test_headings(ours: float, its: float) -> None:
    """Looking east is 90 degrees to it, north 0."""
    off = swap_heading(math.radians(ours)) - math.radians(its)
    assert math.remainder(off, math.tau) == pytest.approx(0, abs=1e-12)


@given(NUMBERS, NUMBERS, NUMBERS)
def test_both_ways_are_one(x: float, y: float, z: float) -> None:
    """What goes out comes back."""
    assert swap_axes(swap_axes((x, y, z))) == (x, y, z)
    assert math.remainder(swap_heading(swap_heading(x)) - x, math.tau) == pytest.approx(0, abs=1e-6)


@given(st.floats(-math.pi, math.pi), st.floats(0.1, 10))
def test_a_heading_is_the_direction_of_its_velocity(yaw: float, speed: float) -> None:
    """Flying ahead in our frame is flying ahead in its frame."""
    north, east, _ = swap_axes((speed * math.cos(yaw), speed * math.sin(yaw), 0.0))
    assert math.remainder(math.atan2(east, north) - swap_heading(yaw), math.tau) == pytest.approx(0, abs=1e-9)
