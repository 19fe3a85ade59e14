"""The seam keeps what a world knows, and says it in the wire's words."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from quadfollow_core.codec import encode_jpeg
from quadfollow_core.errors import BadInput
from quadfollow_core.geometry import Camera, Intrinsics, Pose
from quadfollow_core.locate import Depth
from quadfollow_core.request import parse_request
from quadfollow_sim.drawn import DrawnSource
from quadfollow_sim.world import FrameSource, Observation, ScriptedSource, known_fields

BLACK = np.zeros((4, 6, 3), dtype=np.uint8)


def test_every_world_is_a_frame_source() -> None:
    """The scripted and the drawn world have what the bridge asks for."""
    assert isinstance(ScriptedSource([]), FrameSource)
    assert isinstance(DrawnSource(0.1), FrameSource)


def test_a_scripted_world_shows_its_observations_in_order_and_passes_over_some() -> None:
    """Reading goes on in order, skipping leaves out, and the end is None."""
    source = ScriptedSource([Observation(BLACK, str(number)) for number in range(5)])
    names = [source.read(), source.read(2), source.read(), source.read()]
    assert [seen and seen.name for seen in names] == ["0", "3", "4", None]


def test_a_picture_is_captured_when_it_is_read() -> None:
    """A script made long ago is seen now."""
    source = ScriptedSource([Observation(BLACK, "old", captured=0.0)])
    before = time.monotonic()
    seen = source.read()
    assert seen is not None
    assert before <= seen.captured <= time.monotonic()


@pytest.mark.parametrize(
    ("image", "truth"),
    [
        (BLACK[:, :, 0], None),
        (BLACK, np.zeros((4, 6, 3), dtype=np.uint8)),
        (BLACK, np.zeros((4, 6), dtype=np.int64)),
    ],
)
def test_wrong_shapes_are_refused(image: np.ndarray, truth: np.ndarray | None) -> None:
    """An image that is not RGB and a mask that is not classes never enter the bridge."""
    with pytest.raises(BadInput):
        Observation(image, "x", truth=truth)


def test_jpeg_and_pixels_are_the_same_to_a_reader() -> None:
    """Either form of an image gives its pixels."""
    assert Observation(encode_jpeg(BLACK), "x").pixels().shape == BLACK.shape
    assert Observation(BLACK, "x").pixels() is BLACK


@pytest.mark.parametrize("values", [np.full((4, 6), 2500, np.uint16), np.full((4, 6), 2.5, np.float32)])
def test_camera_and_depth_arrive_as_they_left(values: np.ndarray) -> None:
    """What the wire's own parser reads is what the world knew."""
    camera = Camera(Intrinsics(200.0, 210.0, 3.0, 2.0, (0.1, 0.0, 0.0, 0.01)), Pose((1.0, 2.0, 3.0), (0, 0, 0, 1.0)))
    scale = 0.001 if values.dtype == np.uint16 else 1.0
    observation = Observation(encode_jpeg(BLACK), "x", camera=camera, depth=Depth(values, scale, 60_000.0))
    known = known_fields(observation)
    data = known.pop("depth")
    header = json.loads(json.dumps({"camera": known["camera"], "depth": known["depth_header"]}))
    request = parse_request(header, encode_jpeg(BLACK), data)
    assert request.camera == camera
    depth = request.decode_depth()
    assert depth is not None
    assert (depth.scale, depth.max_value) == (scale, 60_000.0)
    np.testing.assert_array_equal(depth.values, values)


def test_what_is_not_known_is_not_sent() -> None:
    """A bare picture has no camera and no depth."""
    assert known_fields(Observation(BLACK, "x")) == {}
