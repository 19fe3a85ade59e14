"""One frame from bytes to answer, without any socket."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from quadfollow_core.codec import decode_image, decode_rle, encode_png
from quadfollow_core.errors import BadGeometry, LimitExceeded, QuadfollowError
from quadfollow_core.geometry import LARGEST, SMALLEST_FOCAL
from quadfollow_core.overlay import TARGET_COLOUR
from quadfollow_core.request import Result, parse_request
from quadfollow_server.engine import OnnxSegmenter, load_model
from quadfollow_server.pipeline import process
from quadfollow_server.segmenter import ConstantSegmenter

CAMERA = {"fx": 100, "fy": 100, "cx": 64, "cy": 48}
LEVEL = {"position": [1, 2, 3], "quaternion": [-0.5, 0.5, -0.5, 0.5]}
"""A camera that looks along world x, upright, three metres up."""


@pytest.fixture(scope="module")
def segmenter(models: tuple[Path, Path]) -> OnnxSegmenter:
    """The colour model on the CPU."""
    return load_model(models[0], "cpu")


@pytest.fixture
def ask(segmenter: OnnxSegmenter, png: bytes) -> Callable[..., Result]:
    """Process the picture with any header."""

    def process_it(depth_data: bytes | None = None, *, overlay: bool = False, **header: Any) -> Result:
        request = parse_request(header, png, depth_data)
        return process(request, segmenter, max_pixels=1_000_000, overlay=overlay)

    return process_it


def test_positions_are_those_of_the_frame_as_sent(ask: Callable[..., Result]) -> None:
    """Centroid, box and area are in the frame's own pixels, whatever the model's size."""
    body = ask(id=7, captured_at=12.5, stream="front").body
    assert body["target"]["centroid"] == pytest.approx([50, 40])
    assert body["target"]["box"] == pytest.approx([40, 20, 60, 60])
    assert body["target"]["area"] == pytest.approx(800)
    assert body["target"]["confidence"] == 1
    assert [blob["box"] for blob in body["people"]] == [pytest.approx([90, 30, 100, 70])]
    assert body["frame"] == {"width": 128, "height": 96}
    assert (body["id"], body["captured_at"], body["stream"], body["model"]) == (7, 12.5, "front", "colours")


def test_no_target_is_null(segmenter: OnnxSegmenter) -> None:
    """A frame without a target answers null, and no people is an empty list."""
    request = parse_request({}, encode_png(np.zeros((96, 128, 3), dtype=np.uint8)))
    body = process(request, segmenter, max_pixels=1_000_000).body
    assert body["target"] is None
    assert body["people"] == []


def test_people_come_only_when_wanted(ask: Callable[..., Result]) -> None:
    """Without `people` in `want` the answer has no such key; a frame on its own has no track."""
    assert "people" not in ask(want=["target"]).body
    assert ask(want=["target", "people", "track"]).body.keys() == ask().body.keys()


def test_every_stage_is_timed(ask: Callable[..., Result]) -> None:
    """Each stage has its milliseconds, none below zero."""
    timings = ask().body["timings"]
    assert list(timings) == ["decode_ms", "resize_ms", "infer_ms", "locate_ms", "encode_ms"]
    assert all(value >= 0 for value in timings.values())


def test_a_request_can_tighten_the_rule(ask: Callable[..., Result]) -> None:
    """A smallest blob larger than the target leaves none."""
    assert ask(min_area=200).body["target"] is not None
    assert ask(min_area=201).body["target"] is None


def test_a_run_length_mask_is_at_the_models_size_with_its_transform(ask: Callable[..., Result]) -> None:
    """The runs fill the model's size, and the transform takes the frame's target to the mask's."""
    result = ask(want=["target", "mask:rle"])
    mask = result.body["mask"]
    classes = decode_rle(mask["runs"], mask["width"], mask["height"])
    assert (mask["encoding"], classes.shape, result.mask_png) == ("rle", (48, 64), None)
    transform, (u, v) = mask["mask_from_frame"], result.body["target"]["centroid"]
    column, row = transform["scale_u"] * u + transform["offset_u"], transform["scale_v"] * v + transform["offset_v"]
    assert classes[int(row), int(column)] == 2


def test_a_png_mask_holds_class_ids(ask: Callable[..., Result]) -> None:
    """The PNG beside the answer is grey and holds 0, 1 and 2."""
    result = ask(want=["target", "mask:png"])
    assert result.body["mask"]["encoding"] == "png"
    assert result.mask_png is not None
    assert set(np.unique(decode_image(result.mask_png))) == {0, 1, 2}


def test_only_one_mask_can_be_wanted(ask: Callable[..., Result]) -> None:
    """Both masks at once are refused instead of one being ignored."""
    with pytest.raises(QuadfollowError, match="not both"):
        ask(want=["mask:png", "mask:rle"])


def test_the_overlay_tints_the_target_in_the_frame_as_sent(
    ask: Callable[..., Result], picture: NDArray[np.uint8]
) -> None:
    """The overlay has the frame's size; the target's edge is its colour, what is nobody stays as it was."""
    result = ask(overlay=True)
    assert result.mask_png is not None
    drawn = decode_image(result.mask_png)
    assert drawn.shape == picture.shape
    assert tuple(drawn[20, 45]) == TARGET_COLOUR
    assert (drawn[50, 45] != picture[50, 45]).any()
    assert (drawn[90] == picture[90]).all()


def test_a_tall_frame_is_letterboxed(segmenter: OnnxSegmenter) -> None:
    """A frame taller than the model is found in its own pixels all the same."""
    frame = np.zeros((480, 100, 3), dtype=np.uint8)
    frame[200:240, 30:70] = (255, 0, 0)
    body = process(parse_request({}, encode_png(frame)), segmenter, max_pixels=1_000_000).body
    assert body["target"]["centroid"] == pytest.approx([50, 220], abs=5)


def test_bearing_needs_a_camera(ask: Callable[..., Result]) -> None:
    """With intrinsics the target left of and above the centre has an angle left and up."""
    target = ask(camera=CAMERA).body["target"]
    assert target["azimuth"] == pytest.approx(math.atan2(-14, 100), abs=1e-3)
    assert target["elevation"] > 0
    assert target["distance_source"] == "height"
    assert target["world"] is None


def test_depth_and_pose_give_the_world_position(ask: Callable[..., Result]) -> None:
    """Ten metres along the axis of a camera that looks along x, the target is ten metres further along x."""
    depth = np.full((96, 128), 1000, dtype="<u2").tobytes()
    header = {"encoding": "raw-u16", "scale": 0.01, "width": 128, "height": 96}
    target = ask(depth, camera=CAMERA | {"pose": LEVEL}, depth=header).body["target"]
    assert target["distance_source"] == "depth"
    assert target["world"] == pytest.approx([11, 2 + 1.4, 3 + 0.8], abs=1e-3)


def test_more_pixels_than_allowed_are_refused(segmenter: OnnxSegmenter, png: bytes) -> None:
    """The limit on pixels is the server's."""
    with pytest.raises(LimitExceeded, match="max_pixels"):
        process(parse_request({}, png), segmenter, max_pixels=128 * 96 - 1)


def test_a_camera_that_sends_the_target_to_infinity_is_refused(ask: Callable[..., Result]) -> None:
    """Finite numbers that lead nowhere are bad geometry, not an answer that JSON cannot carry."""
    depth = np.full((96, 128), 65000, dtype="<u2").tobytes()
    header = {"encoding": "raw-u16", "scale": 1e306, "width": 128, "height": 96}
    with pytest.raises(BadGeometry):
        ask(depth, camera=CAMERA | {"pose": LEVEL}, depth=header)


numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70)
above_zero = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
coordinates = st.floats(-LARGEST, LARGEST)
angles = st.floats(-7, 7)


def camera_of(
    focal: st.SearchStrategy[float], number: st.SearchStrategy[float], coefficient: st.SearchStrategy[float]
) -> st.SearchStrategy[dict[str, Any]]:
    """A camera's description in such numbers, some with a pose and distortion."""
    pose = {"position": st.lists(number, min_size=3, max_size=3), "rpy": st.lists(angles, min_size=3, max_size=3)}
    return st.fixed_dictionaries(
        {"fx": focal, "fy": focal, "cx": number, "cy": number},
        optional={
            "pose": st.fixed_dictionaries(pose),
            "distortion": st.lists(coefficient, min_size=4, max_size=5),
        },
    )


cameras = camera_of(st.floats(SMALLEST_FOCAL, LARGEST), coordinates, st.floats(-1, 1)) | camera_of(
    above_zero, numbers, numbers
)
scales = above_zero | st.floats(0, LARGEST, exclude_min=True)
depths = st.fixed_dictionaries({"scale": scales}, optional={"max_value": above_zero})


def test_whatever_the_camera_says_the_answer_is_json_or_a_deliberate_error() -> None:
    """No finite numbers in camera, pose and depth end in anything but an answer or an error of ours."""
    placed = 0

    @hypothesis_settings(max_examples=200)
    @given(camera=cameras, depth=depths, value=st.integers(0, 65535))
    def ask_about(camera: dict[str, Any], depth: dict[str, Any], value: int) -> None:
        nonlocal placed
        mask = np.zeros((12, 16), dtype=np.uint8)
        mask[3:7, 4:8] = 2
        header = {"encoding": "raw-rgb8", "width": 16, "height": 12, "camera": camera}
        header["depth"] = {"encoding": "raw-u16", "width": 16, "height": 12} | depth
        try:
            request = parse_request(header, bytes(16 * 12 * 3), np.full((12, 16), value, dtype="<u2").tobytes())
            body = process(request, ConstantSegmenter(mask), max_pixels=1000).body
        except QuadfollowError:
            return
        json.dumps(body, allow_nan=False)
        placed += body["target"]["world"] is not None

    ask_about()
    assert placed > 0


@hypothesis_settings(deadline=None)
@given(width=st.integers(1, 700), height=st.integers(1, 700), filling=st.integers(0, 255))
def test_frames_of_any_size_are_answered(width: int, height: int, filling: int) -> None:
    """From one pixel to a thin strip, every frame has an answer whose target lies where the mask says."""
    mask = np.full((12, 16), 2, dtype=np.uint8)
    request = parse_request(
        {"encoding": "raw-rgb8", "width": width, "height": height}, bytes([filling]) * (width * height * 3)
    )
    target = process(request, ConstantSegmenter(mask), max_pixels=700 * 700).body["target"]
    assert target["centroid"] == pytest.approx([width / 2, height / 2], abs=max(width, height) / 8)
