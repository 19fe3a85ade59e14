"""Cameras and poses: projection and un-projection are inverse, axes point where the conventions say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quadfollow_core.errors import BadGeometry
from quadfollow_core.geometry import Intrinsics, Pose, bearing, quaternion_from_matrix

angle = st.floats(-math.pi, math.pi)
metre = st.floats(-100, 100)
LENS = (-0.2, 0.05, 0.001, -0.002, 0.01)


@given(st.floats(-8, 8), st.floats(-8, 8), st.floats(10, 60))
def test_unproject_inverts_project(x: float, y: float, z: float) -> None:
    """The ray through a point's pixel passes through the point."""
    camera = Intrinsics.from_fov(256, 256, math.radians(60))
    assert camera.unproject(*camera.project((x, y, z))) * z == pytest.approx([x, y, z], abs=1e-9)


@given(st.floats(-4, 4), st.floats(-4, 4), st.floats(10, 60))
def test_unproject_inverts_project_through_a_lens(x: float, y: float, z: float) -> None:
    """The same holds with lens distortion, to the solver's precision."""
    camera = Intrinsics(220, 220, 128, 128, LENS)
    assert camera.unproject(*camera.project((x, y, z))) * z == pytest.approx([x, y, z], abs=2e-3)


def test_distortion_moves_the_pixel() -> None:
    """A lens changes where an off-centre point appears, so the test above cannot pass by ignoring it."""
    point = (3, 2, 10)
    straight = Intrinsics(220, 220, 128, 128).project(point)
    bent = Intrinsics(220, 220, 128, 128, LENS).project(point)
    assert np.hypot(straight[0] - bent[0], straight[1] - bent[1]) > 1


def test_quadsims_camera() -> None:
    """A vertical field of view of 60 degrees at 256 pixels is a focal length of 221.7 pixels."""
    assert Intrinsics.from_fov(256, 256, math.radians(60)).fx == pytest.approx(221.7, abs=0.05)


@given(st.floats(0.2, 2.5), st.floats(0.05, 0.5))
def test_a_wider_view_means_a_larger_angle(fov: float, step: float) -> None:
    """The same pixel lies at a larger bearing in a camera with a wider field of view."""
    narrow = bearing(Intrinsics.from_fov(256, 256, fov).unproject(200, 60))
    wide = bearing(Intrinsics.from_fov(256, 256, fov + step).unproject(200, 60))
    assert wide[0] > narrow[0] > 0
    assert wide[1] > narrow[1] > 0


@given(metre, metre, metre, angle, angle, angle, metre, metre, metre)
def test_poses_are_rigid(
    px: float, py: float, pz: float, roll: float, pitch: float, yaw: float, x: float, y: float, z: float
) -> None:
    """Taking a point to the world and back changes nothing, and distances are kept."""
    pose = Pose.from_rpy((px, py, pz), roll, pitch, yaw)
    world = pose.world_from_camera((x, y, z))
    assert pose.camera_from_world(world) == pytest.approx([x, y, z], abs=1e-6)
    assert np.linalg.norm(world - [px, py, pz]) == pytest.approx(math.hypot(x, y, z), abs=1e-6)


@pytest.mark.parametrize(
    ("rpy", "looks_at"),
    [
        ((0, 0, 0), (1, 0, 0)),  # level, east
        ((0, 0, math.pi / 2), (0, 1, 0)),  # counter-clockwise: north
        ((0, math.pi / 2, 0), (0, 0, -1)),  # positive pitch looks down
        ((1.0, 0, 0), (1, 0, 0)),  # roll keeps the axis
    ],
)
def test_the_optical_axis_points_where_the_angles_say(
    rpy: tuple[float, float, float], looks_at: tuple[float, float, float]
) -> None:
    """Roll, pitch and yaw follow QuadSim's conventions."""
    assert Pose.from_rpy((0, 0, 0), *rpy).world_from_camera((0, 0, 1)) == pytest.approx(looks_at, abs=1e-9)


def test_right_and_down_of_a_level_camera() -> None:
    """A camera that looks east has south on its right and the ground below."""
    pose = Pose.from_rpy((0, 0, 10), 0, 0, 0)
    assert pose.world_from_camera((1, 0, 0)) == pytest.approx([0, -1, 10])
    assert pose.world_from_camera((0, 1, 0)) == pytest.approx([0, 0, 9])


@given(angle, angle, angle)
def test_quaternions_and_matrices_are_inverse(roll: float, pitch: float, yaw: float) -> None:
    """A pose's quaternion rebuilds its matrix at every angle."""
    pose = Pose.from_rpy((0, 0, 0), roll, pitch, yaw)
    again = Pose((0, 0, 0), quaternion_from_matrix(pose.rotation))
    assert again.rotation == pytest.approx(pose.rotation, abs=1e-9)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Intrinsics(0, 1, 1, 1),
        lambda: Intrinsics(float("nan"), 1, 1, 1),
        lambda: Intrinsics(1, 1, 1, 1, (0.1, 0.2, 0.3)),
        lambda: Pose((0, 0, float("nan")), (0, 0, 0, 1)),
        lambda: Pose((0, 0, 0), (0, 0, 0, 2)),
        lambda: Pose((0, 0), (0, 0, 0, 1)),
        lambda: Pose.from_rpy((0, 0, 0), float("inf"), 0, 0),
        lambda: Intrinsics(1, 1, 1, 1).project((0, 0, -1)),
    ],
)
def test_nonsense_is_refused(make: object) -> None:
    """Values that make no camera or pose raise BadGeometry at construction."""
    with pytest.raises(BadGeometry):
        make()  # type: ignore[operator]


def test_a_wide_lens_is_inverted_to_its_edge() -> None:
    """Every pixel that some ray ends in is found again, to a thousandth of a pixel, over a view of 100 degrees."""
    camera = Intrinsics(250, 250, 320, 240, (-0.25, 0.06, 0.0, 0.0, -0.006))
    for azimuth in np.linspace(-50, 50, 21):
        u, v = camera.project((math.tan(math.radians(azimuth)), 0.5, 1.0))
        assert camera.project(camera.unproject(u, v)) == pytest.approx((u, v), abs=1e-3)


def test_a_pixel_that_no_ray_ends_in_has_none() -> None:
    """Where a lens's polynomial turns back, its inverse is refused instead of made up."""
    camera = Intrinsics(520, 520, 640, 360, (-0.33, 0.12, 0.0003, -0.0002, -0.02))
    assert np.isfinite(camera.unproject(700, 360)).all()
    with pytest.raises(BadGeometry, match="no inverse"):
        camera.unproject(1160, 90)
