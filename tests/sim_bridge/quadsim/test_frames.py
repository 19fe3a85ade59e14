"""Sensor frames, and the far plane checked against the ground."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from quadfollow_core.codec import decode_depth
from quadfollow_core.errors import BadImage, BadMessage, QuadfollowError
from quadfollow_sim.quadsim.far_plane import FarPlaneCheck, implied_far_plane
from quadfollow_sim.quadsim.frames import parse_sensor_frame
from quadfollow_sim.quadsim.imitation.quad import Quad
from quadfollow_sim.quadsim.imitation.scene import ScriptedScene
from quadfollow_sim.quadsim.imitation.telemetry import depth_png, sensor_frame


def test_a_frame_is_read(frame: dict[str, str]) -> None:
    """Picture, intrinsics and poses arrive in our units."""
    got = parse_sensor_frame(frame)
    assert got.image.startswith(b"\xff\xd8\xff")
    lens = got.camera.intrinsics
    assert (round(lens.fx, 1), round(lens.fy, 1), lens.cx, lens.cy) == (221.7, 221.7, 128, 128)
    assert got.camera.pose is not None
    assert got.camera.pose.position == (0.0, 0.0, 2.89)
    np.testing.assert_allclose(got.camera.pose.rotation[:, 2], (math.cos(math.radians(30)), 0, -0.5), atol=1e-6)
    assert got.body.position == (0.0, 0.0, 3.0)


def test_depth_is_in_metres_and_the_sky_measures_nothing(frame: dict[str, str]) -> None:
    """The centre pixel lies on the ground at 2.89 / sin 30; the top row is sky."""
    depth = parse_sensor_frame(frame).depth
    assert depth is not None
    metres = depth.values * depth.scale
    assert abs(metres[128, 128] - 2.89 / 0.5) < 0.4
    assert (depth.values[0] >= depth.max_value).all()


def test_the_far_plane_scales_the_depth(frame: dict[str, str]) -> None:
    """Half as far, half as many metres."""
    near, far = (parse_sensor_frame(frame, far).depth for far in (50.0, 100.0))
    assert near is not None
    assert far is not None
    assert near.scale == far.scale / 2
    np.testing.assert_array_equal(near.values, far.values)


def test_a_frame_without_depth_is_one_without_depth(frame: dict[str, str]) -> None:
    """An empty depth picture is none."""
    assert parse_sensor_frame(frame | {"depth_image": ""}).depth is None


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"rgb_image": "%%%"}, BadMessage),
        ({"rgb_image": ""}, BadImage),
        ({"rgb_image": "aGVsbG8="}, BadImage),
        ({"rgb_image": 7}, BadMessage),
        ({"depth_image": 7}, BadMessage),
        ({"pose": "here"}, BadMessage),
        ({"gimbal_pose": None}, BadMessage),
        ({"depth_image": "aGVsbG8="}, BadImage),
    ],
)
def test_a_malformed_frame_is_named(frame: dict[str, str], change: dict[str, object], error: type[Exception]) -> None:
    """Each broken key is an error of our tree."""
    with pytest.raises(error):
        parse_sensor_frame(frame | change)


@pytest.mark.parametrize("key", ["pose", "gimbal_pose", "rgb_image"])
def test_a_missing_key_is_named(frame: dict[str, str], key: str) -> None:
    """The message says which key is missing."""
    del frame[key]
    with pytest.raises(BadMessage, match=key):
        parse_sensor_frame(frame)


@pytest.mark.parametrize("data", [None, [], "frame", 3])
def test_a_frame_is_an_object(data: object) -> None:
    """Anything but an object is refused."""
    with pytest.raises(QuadfollowError):
        parse_sensor_frame(data)


@pytest.mark.parametrize("truth", [50.0, 100.0, 500.0])
@pytest.mark.parametrize("height", [2.0, 4.5])
@pytest.mark.parametrize("pitch", [10, 30, 60])
def test_the_ground_tells_the_far_plane(truth: float, height: float, pitch: int) -> None:
    """Whatever the height and pitch, the true far plane comes out, unless too little is left of 8 bits."""
    quad = Quad(position=(0, 0, height), camera_pitch=math.radians(pitch))
    camera, picture = quad.camera(), ScriptedScene().render(quad.camera())
    values = decode_depth(depth_png(picture.depth, truth))
    implied = implied_far_plane(values, camera)
    if truth < 500:
        assert implied is not None
    assert implied is None or abs(math.log2(implied / truth)) < 0.2, f"{implied} for {truth}"


def check(truth: float, setting: float, frames: int = 8) -> str | None:
    """Show frames with one far plane to a check that was set to another."""
    quad, scene, checker = Quad(), ScriptedScene(), FarPlaneCheck(setting)
    for _ in range(frames):
        scene.advance(0.2)
        data = sensor_frame(scene.render(quad.camera()), quad.body(), quad.eye(), 0.0, far=truth)
        got = parse_sensor_frame(data, setting)
        assert got.depth is not None
        checker.add(got.depth.values, got.camera)
    return checker.verdict()


@pytest.mark.parametrize("setting", [50.0, 100.0])
def test_a_right_far_plane_raises_no_word(setting: float) -> None:
    """Nothing is said while all is well."""
    assert check(setting, setting) is None


def test_a_wrong_far_plane_is_told_with_the_right_one() -> None:
    """The message names the setting, its effect and the remedy, in either direction."""
    assert "Set the far plane to 100 m" in (check(100.0, 50.0) or "")
    assert "0.50 times its true distance" in (check(100.0, 50.0) or "")
    assert "Set the far plane to 50 m" in (check(50.0, 100.0) or "")


def test_no_verdict_without_enough_frames_or_ground() -> None:
    """A few frames, a view of the sky or noise prove nothing."""
    assert check(100.0, 50.0, frames=3) is None
    camera = replace(Quad(), camera_pitch=math.radians(-60)).camera()
    assert implied_far_plane(np.full((256, 256), 30, np.uint8), camera) is None
    noise = np.random.default_rng(0).integers(1, 255, (256, 256)).astype(np.uint8)
    assert implied_far_plane(noise, Quad().camera()) is None
