"""QuadSim's poses against values worked out by hand, and there and back."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quadfollow_core.errors import BadMessage
from quadfollow_sim.quadsim.imitation.telemetry import ENGLISH, FRENCH, GERMAN, SWISS, Culture, pose_text
from quadfollow_sim.quadsim.pose import Attitude, WrongCulture, parse_pose, wrap


def attitude(text: str) -> Attitude:
    """Read a pose as if it were the camera's."""
    return parse_pose(text, "gimbal_pose")


@pytest.mark.parametrize(
    ("angles", "forward", "right"),
    [
        # roll, pitch, yaw as printed; where the view axis and the picture's right side point in the world
        ("0.0000,0.0000,0.0000", (1, 0, 0), (0, -1, 0)),
        ("0.0000,0.0000,-270.0000", (0, 1, 0), (1, 0, 0)),  # Unity's e.y = 270 looks left: yaw +90
        ("0.0000,0.0000,-90.0000", (0, -1, 0), (-1, 0, 0)),
        ("0.0000,90.0000,0.0000", (0, 0, -1), (0, -1, 0)),  # straight down
        ("0.0000,350.0000,0.0000", (math.cos(math.radians(10)), 0, math.sin(math.radians(10))), (0, -1, 0)),  # 10 up
        ("0.0000,30.0000,-180.0000", (-math.cos(math.radians(30)), 0, -0.5), (0, 1, 0)),
        ("-270.0000,0.0000,0.0000", (1, 0, 0), (0, 0, -1)),  # rolled by +90: the right side hangs down
    ],
)
def test_angles_turn_the_camera_as_worked_out_by_hand(
    angles: str, forward: tuple[float, ...], right: tuple[float, ...]
) -> None:
    """Degrees in QuadSim's ranges become the rotation they stand for."""
    pose = attitude(f"1.0000,2.0000,3.0000,{angles}").camera_pose()
    assert pose.position == (1.0, 2.0, 3.0)
    np.testing.assert_allclose(pose.rotation[:, 2], forward, atol=1e-9)
    np.testing.assert_allclose(pose.rotation[:, 0], right, atol=1e-9)


def test_a_point_lands_where_trigonometry_puts_it() -> None:
    """From 3 m up, 30 degrees down and turned left by 90, the axis meets the ground at 3 / tan 30 along y."""
    pose = attitude("10.0000,20.0000,3.0000,0.0000,30.0000,-270.0000").camera_pose()
    np.testing.assert_allclose(
        pose.world_from_camera((0, 0, 6.0)), (10, 20 + 3 / math.tan(math.radians(30)), 0), atol=1e-9
    )


coordinates = st.floats(-99_999, 99_999)
angles = st.floats(-math.pi, math.pi)


@given(
    coordinates, coordinates, coordinates, angles, angles, angles, st.sampled_from([ENGLISH, SWISS, Culture(".", "")])
)
def test_poses_survive_there_and_back(
    x: float, y: float, z: float, roll: float, pitch: float, yaw: float, culture: Culture
) -> None:
    """What QuadSim prints, thousands separators and all, is read back to its four decimals."""
    sent = Attitude((x, y, z), roll, pitch, yaw)
    text = pose_text(sent, culture)
    printed = [float(part) for part in pose_text(sent, Culture(".", "")).split(",")]
    assert -360 <= printed[3] <= 0 <= printed[4] <= 360
    assert -360 <= printed[5] <= 0
    got = attitude(text)
    np.testing.assert_allclose(got.position, sent.position, atol=5.1e-5)
    for before, after in ((roll, got.roll), (pitch, got.pitch), (yaw, got.yaw)):
        assert -math.pi <= after < math.pi
        assert abs(wrap(after - before)) < math.radians(6e-5)


@given(coordinates, angles, st.sampled_from([GERMAN, FRENCH]))
def test_decimal_commas_are_refused_with_the_remedy(x: float, yaw: float, culture: Culture) -> None:
    """No comma-decimal pose passes as something else, and the message says what to do."""
    with pytest.raises(WrongCulture, match="LC_ALL=en_US"):
        attitude(pose_text(Attitude((x, -1.5, 3.0), 0.0, 0.5, yaw), culture))


def test_thousands_in_english_are_told_from_the_list_s_own_commas() -> None:
    """1,234.5 is one number."""
    assert attitude("-1,234.5000,2.0000,3.0000,0.0000,0.0000,0.0000").position == (-1234.5, 2.0, 3.0)


@pytest.mark.parametrize(
    "text", ["", "1,2,3", "1,2,3,4,5,6,7", "a,b,c,d,e,f", "NaN,0,0,0,0,0", "1e999,0,0,0,0,0", "5e7,0,0,0,0,0", 7, None]
)
def test_what_is_no_pose_is_refused(text: object) -> None:
    """Six finite numbers in a string, or an error that names the key."""
    with pytest.raises(BadMessage, match="gimbal_pose"):
        parse_pose(text, "gimbal_pose")


def test_a_long_text_is_refused_at_once() -> None:
    """Numbers that could be read in two ways are not tried in all of them: of these there would be 2 to the 1000th."""
    with pytest.raises(BadMessage):
        parse_pose("123,1234," * 1000 + "x", "pose")
