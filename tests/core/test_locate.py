"""From mask to target: pixels, bearings, distances and world positions are those of the scene drawn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quadfollow_core.errors import BadGeometry, BadInput
from quadfollow_core.geometry import Camera, Intrinsics, Pose
from quadfollow_core.locate import TARGET_DEPTH, TARGET_HEIGHT, Depth, Rule, Segmentation, locate
from quadfollow_core.resize import PERSON, TARGET, plan_fit
from quadfollow_core.types import Blob, Sighting, Target

RULE = Rule()


def segmentation(
    boxes: list[tuple[int, int, int, int, int]], size: int = 256, frame: tuple[int, int] = (256, 256), p: int = 250
) -> Segmentation:
    """A mask of filled boxes ``(class, left, top, right, bottom)`` at the model's size."""
    classes = np.zeros((size, size), np.uint8)
    for kind, left, top, right, bottom in boxes:
        classes[top:bottom, left:right] = kind
    probability = np.where(classes == TARGET, p, 3).astype(np.uint8)
    return Segmentation(classes, probability, plan_fit(frame, (size, size))[0], frame)


def found(sighting: Sighting) -> Target:
    """The target of a sighting that must have one."""
    assert sighting.target is not None
    return sighting.target


def test_no_target_is_none() -> None:
    """An empty mask has no target, and people do not count as one."""
    assert locate(segmentation([]), RULE) == Sighting(None)
    sighting = locate(segmentation([(PERSON, 10, 10, 14, 30)]), RULE)
    assert sighting.target is None
    assert sighting.people[0].box == (10, 10, 14, 30)


def test_the_largest_blob_is_the_target() -> None:
    """Of two target blobs the larger one counts; its numbers are exact."""
    target = found(locate(segmentation([(TARGET, 5, 5, 8, 8), (TARGET, 100, 50, 110, 90)]), RULE))
    assert target.centroid == (105, 70)
    assert target.box == (100, 50, 110, 90)
    assert target.area == 400
    assert target.confidence == pytest.approx(250 / 255)


def test_people_are_looked_for_only_when_asked_for() -> None:
    """Without them the target is the same; its confidence is the mean over its own pixels, not over its box."""
    target, classes = np.zeros((64, 64), bool), np.zeros((64, 64), np.uint8)
    target[20:40, 30] = target[39, 30:40] = True  # an L, which fills a part of its box
    classes[target], classes[5:20, 5:10] = TARGET, PERSON
    seen = Segmentation(classes, np.where(target, 200, 50).astype(np.uint8), plan_fit((64, 64), (64, 64))[0], (64, 64))
    with_people, alone = locate(seen, Rule()), locate(seen, Rule(), people=False)
    assert (len(with_people.people), alone.people) == (1, ())
    assert found(with_people) == found(alone)
    assert found(alone).confidence == pytest.approx(200 / 255)


@pytest.mark.parametrize("area", range(4, 200, 3))
def test_a_sure_target_is_no_more_than_sure(area: int) -> None:
    """Whatever the number of its pixels, the mean of the highest probability is 1."""
    target = np.zeros((64, 64), np.uint8)
    target.reshape(-1)[:area] = TARGET
    seen = Segmentation(target, np.where(target, 255, 0).astype(np.uint8), plan_fit((64, 64), (64, 64))[0], (64, 64))
    assert found(locate(seen, RULE)).confidence == pytest.approx(1)


def test_smaller_blobs_are_candidates() -> None:
    """The other blobs that pass the rule are kept for the tracker, largest first, and stay out of the reply."""
    boxes = [(TARGET, 5, 5, 8, 8), (TARGET, 100, 50, 110, 90), (TARGET, 50, 50, 54, 55), (TARGET, 0, 0, 1, 1)]
    sighting = locate(segmentation(boxes), RULE, Camera(Intrinsics.from_fov(256, 256, 1.0)))
    assert [candidate.area for candidate in sighting.candidates] == [20, 9]
    assert all(candidate.azimuth is not None for candidate in sighting.candidates)
    assert set(sighting.as_dict()) == {"target", "people"}


@given(st.integers(0, 200), st.integers(0, 200), st.integers(1, 50), st.integers(2, 50), st.integers(0, 5))
def test_shifting_the_mask_shifts_the_centroid(left: int, top: int, width: int, height: int, step: int) -> None:
    """The centroid moves by exactly as much as the mask."""
    here = found(locate(segmentation([(TARGET, left, top, left + width, top + height)]), Rule(min_area=1)))
    box = (TARGET, left + step, top + step, left + step + width, top + step + height)
    there = found(locate(segmentation([box]), Rule(min_area=1)))
    if max(left + step + width, top + step + height) <= 256:
        assert np.subtract(there.centroid, here.centroid) == pytest.approx([step, step])


def test_pixels_are_those_of_the_frame_as_sent() -> None:
    """A blob in a 160-pixel mask of a 640 x 480 frame is reported in the frame's pixels, padding removed."""
    letterboxed = segmentation([(TARGET, 80, 80, 90, 100)], size=160, frame=(640, 480))
    target = found(locate(letterboxed, RULE))
    assert target.centroid == pytest.approx((340, 280))
    assert target.box == pytest.approx((320, 240, 360, 320))
    assert target.area == pytest.approx(40 * 80)


def test_bars_around_a_letterboxed_frame_hold_nobody() -> None:
    """What the network sees in the padding is no part of the frame: boxes end at its edge, and nobody stands beyond."""
    bars = [(TARGET, 80, 15, 90, 40), (PERSON, 10, 2, 20, 12)]
    sighting = locate(segmentation(bars, size=160, frame=(640, 480)), RULE)
    assert found(sighting).box == pytest.approx((320, 0, 360, 80))
    assert sighting.people == ()


def test_the_rule_decides() -> None:
    """A faint target needs a lower threshold; a small one needs a smaller least area."""
    faint = segmentation([(TARGET, 10, 10, 20, 20)], p=100)
    assert locate(faint, RULE).target is None
    assert locate(faint, Rule(threshold=90)).target is not None
    small = segmentation([(TARGET, 10, 10, 11, 13)])
    assert locate(small, RULE).target is None
    assert locate(small, Rule(min_area=3)).target is not None


@pytest.mark.parametrize("make", [lambda: Rule(0), lambda: Rule(256), lambda: Rule(128, 0)])
def test_nonsense_rules_are_refused(make: object) -> None:
    """A rule outside its range raises at construction."""
    with pytest.raises(BadInput):
        make()  # type: ignore[operator]


def scene(
    distance: float, pitch: float, across: float = 0.0, up: float = 3.0
) -> tuple[Segmentation, Camera, np.ndarray, Depth]:
    """A person standing ``distance`` east of a camera that is ``up`` metres high and looks down by ``pitch``."""
    camera = Camera(Intrinsics.from_fov(256, 256, math.radians(60)), Pose.from_rpy((0, 0, up), 0, pitch, 0))
    assert camera.pose is not None
    feet, front = np.array([distance, -across, 0.0]), np.array([TARGET_DEPTH / 2, 0.0, 0.0])
    edges = [
        camera.intrinsics.project(camera.pose.camera_from_world(feet + side * front + [0, 0, height]))
        for height in (0, TARGET_HEIGHT)
        for side in (-1, 1)
    ]
    middle, rows = round(edges[0][0]), [round(v) for _, v in edges]
    box = (TARGET, middle - 5, min(rows), middle + 5, max(rows))
    chest = camera.pose.camera_from_world(feet + [0, 0, TARGET_HEIGHT / 2])
    depth = Depth(np.full((256, 256), chest[2], np.float32), 1.0)
    return segmentation([box]), camera, feet + [0, 0, TARGET_HEIGHT / 2], depth


@pytest.mark.parametrize("distance", [4.0, 8.0])
@pytest.mark.parametrize("across", [-1.0, 0.0, 1.5])
def test_depth_and_pose_give_the_world_position(distance: float, across: float) -> None:
    """With depth the point lies where the person stands, to a few centimetres of pixel rounding."""
    mask, camera, chest, depth = scene(distance, 0.4, across)
    target = found(locate(mask, RULE, camera, depth))
    assert target.distance_source == "depth"
    assert target.world == pytest.approx(chest, abs=0.15)
    assert target.azimuth is not None
    assert np.sign(target.azimuth) == np.sign(across)


@pytest.mark.parametrize(
    ("distance", "up", "pitch"),
    [(4, 3, 0.3), (8, 3, 0.3), (12, 3, 0.3), (4, 8, 1.05), (3, 10, 1.2), (5, 0.8, 0), (8, -4, -0.5), (6, -6, -0.75)],
)
def test_without_depth_the_height_gives_the_range(distance: float, up: float, pitch: float) -> None:
    """The apparent height of a person, seen from above, level or below, estimates the range, and is marked so."""
    mask, camera, chest, _ = scene(distance, pitch, up=up)
    target = found(locate(mask, RULE, camera))
    assert target.distance_source == "height"
    assert target.world == pytest.approx(chest, abs=0.06 * math.hypot(distance, up))


@pytest.mark.parametrize(("box", "pitch"), [((121, 108, 135, 122), 90), ((121, 125, 135, 141), 85)])
def test_a_person_seen_from_above_has_no_height_estimate(box: tuple[int, int, int, int], pitch: float) -> None:
    """From 10 m straight up the box is one of shoulders, whose height would put her within 2 m of the camera."""
    pose = Pose.from_rpy((0, 0, 10), 0, math.radians(pitch), 0)
    target = found(locate(segmentation([(TARGET, *box)]), RULE, Camera(Intrinsics(222, 222, 128, 128), pose)))
    assert (target.distance, target.world) == (None, None)
    assert target.azimuth is not None


@pytest.mark.parametrize("pitch", [0, 30, 45])
def test_a_box_that_nobody_upright_fills_has_no_height_estimate(pitch: float) -> None:
    """A camera on its side sees a standing person lie, from above as well."""
    box = [(TARGET, 110, 118, 146, 130)]
    for roll, told in ((0, True), (80, False)):
        pose = Pose.from_rpy((0, 0, 1), math.radians(roll), math.radians(pitch), 0)
        target = found(locate(segmentation(box), RULE, Camera(Intrinsics(222, 222, 128, 128), pose)))
        assert (target.distance is not None) == told, roll


def test_a_person_cut_by_the_frame_has_no_height_estimate() -> None:
    """When the frame's edge cuts the person, the height says nothing about the range."""
    camera = Camera(Intrinsics.from_fov(256, 256, 1.0))
    target = found(locate(segmentation([(TARGET, 100, 200, 120, 256)]), RULE, camera))
    assert target.distance is None
    assert target.azimuth is not None


def test_without_a_camera_there_is_no_bearing() -> None:
    """Bearing, distance and world position stay empty when no intrinsics were given."""
    target = found(locate(segmentation([(TARGET, 100, 100, 120, 150)]), RULE))
    assert (target.azimuth, target.distance, target.world) == (None, None, None)


def test_depth_that_measured_nothing_falls_back_to_the_height() -> None:
    """Zeros, sky and infinities are no measurement."""
    mask, camera, _, _ = scene(6, 0.3)
    for value in (0.0, 100.0, float("inf"), float("nan")):
        depth = Depth(np.full((64, 64), value, np.float32), 1.0, max_value=100.0)
        assert found(locate(mask, RULE, camera, depth)).distance_source == "height"


def test_depth_of_another_resolution_is_read_at_the_right_place() -> None:
    """A depth picture of half the size is sampled at the target, not elsewhere."""
    mask, camera, _, _ = scene(6, 0.3)
    values = np.full((128, 128), 50.0, np.float32)
    left, top, right, bottom = (int(edge) // 2 for edge in found(locate(mask, RULE)).box)
    values[top : bottom + 1, left : right + 1] = 5.0
    target = found(locate(mask, RULE, camera, Depth(values, 1.0)))
    assert target.distance == pytest.approx(5, abs=1)


def test_depth_must_make_sense() -> None:
    """A depth of the wrong shape or scale raises at construction."""
    with pytest.raises(BadGeometry):
        Depth(np.zeros((2, 2, 3)), 1.0)
    with pytest.raises(BadGeometry):
        Depth(np.zeros((2, 2)), 0.0)


def test_a_sighting_survives_json() -> None:
    """What the client reads is what the server found."""
    mask, camera, _, depth = scene(6, 0.3)
    sighting = locate(mask, RULE, camera, depth)
    again = Sighting.from_dict(sighting.as_dict() | {"unknown": 1})
    assert found(again).world == pytest.approx(found(sighting).world, abs=1e-4)
    assert Sighting.from_dict({"target": None}) == Sighting(None)


@pytest.mark.parametrize(
    "field",
    [
        {"centroid": [1]},
        {"centroid": ["1", "2"]},
        {"centroid": None},
        {"centroid": [float("nan"), 1]},
        {"box": ["a", "a", "b", "b"]},
        {"area": float("inf")},
        {"area": 10**400},
        {"azimuth": "0.1"},
        {"world": [1, 2]},
        {"distance_source": "radar"},
    ],
    ids=lambda field: str(field)[:40],
)
def test_what_is_no_sighting_is_refused_where_it_is_read(field: dict[str, object]) -> None:
    """And not where somebody flies by it."""
    target = {"centroid": [1, 2], "box": [0, 0, 2, 3], "area": 5, "confidence": 0.9}
    assert found(Sighting.from_dict({"target": target})).centroid == (1, 2), "control"
    with pytest.raises(BadInput, match="not a sighting"):
        Sighting.from_dict({"target": target | field})


def test_a_body_that_says_nothing_of_a_target_is_no_sighting_of_nobody() -> None:
    """Somebody else's JSON must not look like a frame without a target."""
    with pytest.raises(BadInput, match="target"):
        Sighting.from_dict({"people": []})


def test_blobs_are_checked() -> None:
    """A blob without extent cannot be made."""
    with pytest.raises(BadInput):
        Blob((1, 1), (2, 2, 2, 3), 1)
    with pytest.raises(BadInput):
        Target((1, 1), (0, 0, 2, 3), 1, confidence=2)


def test_depth_of_other_proportions_is_refused() -> None:
    """Unregistered depth would be read at the wrong place; what differs by rounding alone is taken."""
    mask, camera, _, _ = scene(6, 0.3)
    locate(mask, RULE, camera, Depth(np.full((127, 128), 5.0, np.float32), 1.0))
    with pytest.raises(BadGeometry, match="register"):
        locate(mask, RULE, camera, Depth(np.full((72, 128), 5.0, np.float32), 1.0))


def test_where_the_lens_model_does_not_hold_there_is_no_bearing() -> None:
    """The target is there all the same, in pixels."""
    camera = Camera(Intrinsics(104, 104, 128, 72, (-0.33, 0.12, 0.0003, -0.0002, -0.02)))
    target = found(locate(segmentation([(TARGET, 228, 10, 236, 26)]), RULE, camera))
    assert target.area > 0
    assert (target.azimuth, target.distance) == (None, None)
    middle = found(locate(segmentation([(TARGET, 120, 64, 136, 80)]), RULE, camera))
    assert middle.azimuth is not None
