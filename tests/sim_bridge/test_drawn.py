"""The drawn street is what it says: the same every time, true to its masks, depth and poses, and of few pieces."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from quadfollow_core.codec import decode_image
from quadfollow_core.errors import BadInput
from quadfollow_core.geometry import BODY_FROM_OPTICAL
from quadfollow_core.resize import BACKGROUND, PERSON, TARGET
from quadfollow_sim.drawn import Drawing, DrawnSource, DrawnStreet
from quadfollow_sim.walk import LENGTH, SIZE, camera_at
from quadfollow_sim.world import Observation

STEP = 0.5


@pytest.fixture(scope="module")
def street() -> DrawnStreet:
    """The street of the demo."""
    return DrawnStreet()


@pytest.fixture(scope="module")
def walk(street: DrawnStreet) -> list[Drawing]:
    """A walk through it, twice a second."""
    return [street.draw(seconds) for seconds in np.arange(0, LENGTH, STEP)]


def depths(drawing: Drawing) -> NDArray[np.generic]:
    """The raw depth picture, in millimetres."""
    assert drawing.depth is not None
    return drawing.depth.values


def target_pixel(drawing: Drawing) -> tuple[float, float] | None:
    """Where core's geometry sees the middle of the target's body; None outside the picture."""
    assert drawing.camera.pose is not None
    point = drawing.camera.pose.camera_from_world(drawing.target)
    if point[2] <= 0:
        return None
    u, v = drawing.camera.intrinsics.project(point)
    return (u, v) if 0 <= u < SIZE and 0 <= v < SIZE else None


def test_a_seed_draws_the_same_frames_every_time() -> None:
    """Two clips of one seed are equal to the byte; another seed draws another street."""
    first, again, other = (DrawnSource(0.2, seed=seed) for seed in (3, 3, 4))
    frames = [[seen.image for seen in iter(source.read, None)] for source in (first, again, other)]
    assert len(frames[0]) == 4
    assert frames[0] == frames[1]
    assert frames[0] != frames[2]


def test_skipping_shows_what_comes_later() -> None:
    """The frame after three skipped ones is the fifth."""
    skipping, reading = DrawnSource(1.0), DrawnSource(1.0)
    skipping.read()
    later = skipping.read(3)
    all_of_it = list(iter(reading.read, None))
    assert isinstance(later, Observation)
    assert (later.name, later.image) == (all_of_it[4].name, all_of_it[4].image)


def test_the_clip_ends_when_its_time_is_over() -> None:
    """Seconds times rate frames, then None, however much is skipped."""
    assert len(list(iter(DrawnSource(0.5, rate=10).read, None))) == 5
    assert DrawnSource(0.5, rate=10).read(5) is None
    with pytest.raises(BadInput):
        DrawnSource(0)


def test_the_target_wears_her_colours(walk: list[Drawing]) -> None:
    """Her pixels are the reds, dark red-browns and skin that were measured on real frames; nobody else's are."""
    hers = np.concatenate([drawing.image[drawing.mask == TARGET] for drawing in walk]).astype(int)
    others = np.concatenate([drawing.image[drawing.mask == PERSON] for drawing in walk]).astype(int)
    for colour, reach in (((39, 10, 8), 40), ((99, 11, 11), 40), ((163, 28, 28), 45), ((135, 108, 94), 60)):
        share = (np.abs(hers - colour).max(axis=1) < reach).mean()
        assert share > 0.04, f"{share:.3f} of her pixels are near {colour}"
    assert (hers[:, 0] > 1.5 * hers[:, 1:].max(axis=1)).mean() > 0.7
    assert (others[:, 0] > 3 * others[:, 1:].max(axis=1)).mean() < 0.02


def test_the_known_point_lies_inside_her_mask(walk: list[Drawing]) -> None:
    """The middle of her body, projected by core's geometry, falls on her pixels whenever nothing hides it."""
    hits = []
    for drawing in walk:
        pixel = target_pixel(drawing)
        if pixel is not None and (drawing.mask == TARGET).sum() > 150:
            hits.append(drawing.mask[int(pixel[1]), int(pixel[0])] == TARGET)
    assert len(hits) > 15
    assert np.mean(hits) > 0.85, f"{np.mean(hits):.2f} of {len(hits)} frames"


def test_she_is_drawn_only_where_she_is(walk: list[Drawing]) -> None:
    """Frames whose camera does not look at her show none of her, and her pixels surround her projected place."""
    for drawing in walk:
        rows, columns = np.nonzero(drawing.mask == TARGET)
        pixel = target_pixel(drawing)
        if pixel is None:
            assert rows.size == 0
        elif rows.size > 150:
            assert abs(float(columns.mean()) + 0.5 - pixel[0]) < 8
            assert rows.min() < pixel[1] < rows.max()


def test_depth_of_her_pixels_is_her_distance(walk: list[Drawing]) -> None:
    """Median planar depth over her pixels equals the planar distance of her body's middle."""
    for drawing in walk:
        mine = drawing.mask == TARGET
        if mine.sum() > 300:
            assert drawing.camera.pose is not None
            measured = float(np.median(depths(drawing)[mine])) / 1000
            assert measured == pytest.approx(drawing.camera.pose.camera_from_world(drawing.target)[2], abs=0.2)


def test_depth_of_the_ground_is_that_of_a_plane(walk: list[Drawing]) -> None:
    """A ground pixel's depth, un-projected by core's geometry, lies at height zero."""
    drawing = walk[0]
    assert drawing.camera.pose is not None
    u, v = 20, 250
    assert drawing.mask[v, u] == BACKGROUND
    ray = drawing.camera.intrinsics.unproject(u + 0.5, v + 0.5)
    point = drawing.camera.pose.world_from_camera(ray * float(depths(drawing)[v, u]) / 1000)
    assert point[2] == pytest.approx(0, abs=0.01)


def test_the_walk_has_every_situation(walk: list[Drawing]) -> None:
    """Near and far, hidden in part, out of view, with others nearer than she is and others farther."""
    sizes = np.array([(drawing.mask == TARGET).sum() for drawing in walk])
    assert sizes.max() > 1200, "followed closely"
    assert ((sizes > 80) & (sizes < 320)).sum() >= 3, "far away"
    assert (sizes == 0).sum() >= 2, "out of view"
    for drawing in walk:
        assert drawing.camera.pose is not None
        height = drawing.camera.pose.position[2]
        assert 2 <= height <= 3.5
    nearer = [
        (depths(drawing)[drawing.mask == PERSON] < depths(drawing)[drawing.mask == TARGET].min()).sum() > 300
        for drawing in walk
        if (drawing.mask == TARGET).any()
    ]
    assert sum(nearer) >= 2, "others in front of her"


def test_a_lamp_post_hides_her_in_part(street: DrawnStreet) -> None:
    """As the camera passes the post she loses more than half of her pixels for a moment, and gets them back."""
    before, hidden, after = ((street.draw(seconds).mask == TARGET).sum() for seconds in (3.0, 3.6, 3.9))
    assert hidden < 0.5 * min(before, 1500)
    assert after > 1.2 * hidden


def test_the_camera_looks_down_as_the_real_one_does() -> None:
    """The optical axis points 25 to 32 degrees below the horizon, and the camera does not roll."""
    for seconds in np.arange(0, LENGTH, 0.25):
        pose = camera_at(float(seconds)).pose
        assert pose is not None
        axis = pose.rotation[:, 2]
        assert 24.9 <= math.degrees(math.asin(-axis[2])) <= 32.1
        assert (pose.rotation @ BODY_FROM_OPTICAL.T)[2, 1] == pytest.approx(0, abs=1e-6)


def test_frames_have_hard_edges_and_a_jpeg_round_trip() -> None:
    """A frame is a JPEG of 256×256 close to what was drawn."""
    source = DrawnSource(0.1)
    seen = source.read()
    assert seen is not None
    drawn = DrawnStreet().draw(0.0)
    assert isinstance(seen.image, bytes)
    decoded = decode_image(seen.image, "jpeg").astype(int)
    assert decoded.shape == (SIZE, SIZE, 3)
    assert np.abs(decoded - drawn.image).mean() < 8


def test_a_frame_is_made_of_few_pieces(street: DrawnStreet, monkeypatch: pytest.MonkeyPatch) -> None:
    """What drawing costs is counted, not timed: no frame of the walk fills more than 3,000 faces."""
    fill, filled = cv2.fillConvexPoly, 0

    def count(*arguments: object) -> object:
        nonlocal filled
        filled += 1
        return fill(*arguments)

    monkeypatch.setattr(cv2, "fillConvexPoly", count)
    for seconds in np.arange(0, LENGTH, 0.4):
        filled = 0
        street.draw(float(seconds))
        assert 0 < filled <= 3000, f"{filled} faces at {seconds:.1f} s"
