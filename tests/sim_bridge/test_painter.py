"""The painter's pieces: figures of the right size that walk, and a canvas that hides what lies behind."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quadfollow_core.errors import BadInput
from quadfollow_core.geometry import Camera, Intrinsics, Pose
from quadfollow_core.resize import PERSON, TARGET
from quadfollow_sim.painter.canvas import Canvas, Solid, View
from quadfollow_sim.painter.figure import SWING, TARGET_OUTFIT, Outfit, Person

WALL = np.array([[(0, 1, 0), (0, -1, 0), (0, -1, 2), (0, 1, 2)]], dtype=np.float64)
"""Two metres square, seen from negative x."""
GREY = np.full((1, 3), 100.0)


def look(size: int = 128) -> View:
    """A camera at the origin's height of 1 m that looks along x."""
    camera = Camera(Intrinsics.from_fov(size, size, math.radians(60)), Pose.from_rpy((0.0, 0.0, 1.0), 0.0, 0.0, 0.0))
    return View(camera, size, size)


def canvas(view: View) -> Canvas:
    """An empty white canvas."""
    width, height = view.size
    return Canvas(view, np.full((height, width, 3), 255, dtype=np.uint8))


def wall(x: float, label: int = 0) -> Solid:
    """A wall across the view at a distance."""
    return Solid(WALL + (x, 0.0, 0.0), GREY, label, normal=np.array([-1.0, 0.0, 0.0]))


@pytest.mark.parametrize("phase", [0.0, 1.0, 2.5, 4.0])
def test_a_person_stands_on_the_ground_at_full_height(phase: float) -> None:
    """At every phase of the gait one foot is on the ground and the head at the person's height."""
    solid = Person(Outfit((0, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 0), height=1.8)).solid(3, 4, 1.0, phase)
    heights = solid.faces[:, :, 2]
    assert -0.04 < heights.min() < 0.06
    assert 1.65 < heights.max() <= 1.85
    assert np.abs(solid.faces[:, :, :2].mean(axis=(0, 1)) - (3, 4)).max() < 0.15


def test_legs_swing_and_the_gait_repeats() -> None:
    """A step is as long as the swing says, and 2π brings the same figure back."""
    person = Person(TARGET_OUTFIT)
    apart, again = person.solid(0, 0, 0, math.pi / 2), person.solid(0, 0, 0, math.pi / 2 + 2 * math.pi)
    together = person.solid(0, 0, 0, 0.0)
    feet = [solid.faces[solid.faces[:, :, 2].max(axis=1) < 0.25][:, :, 0] for solid in (apart, together)]
    assert np.ptp(feet[0]) > 1.4 * 0.75 * math.sin(SWING) * 2 * 0.8
    assert np.ptp(feet[1]) < np.ptp(feet[0])
    np.testing.assert_allclose(apart.faces, again.faces, atol=1e-9)


@pytest.mark.parametrize("heading", [0.0, 1.3, math.pi, -2.0])
def test_a_figure_has_no_holes(heading: float) -> None:
    """Seen from anywhere the trunk of a person is one filled shape: its faces look outwards."""
    view = look(256)
    picture = canvas(view)
    picture.paint([Person(TARGET_OUTFIT).solid(3.0, 0.0, heading, 0.7)])
    mask = picture.mask() == TARGET
    rows = np.flatnonzero(mask.any(axis=1))
    middle = mask[rows[0] + 5 : rows[0] + int(0.5 * rows.size), 126:130]
    assert middle.all()


def test_twice_as_far_is_half_as_tall() -> None:
    """A person's height in pixels follows the pinhole."""
    heights = []
    for distance in (3.0, 6.0):
        picture = canvas(look(256))
        picture.paint([Person(TARGET_OUTFIT).solid(distance, 0, 0, 0)])
        heights.append(np.ptp(np.flatnonzero((picture.mask() == TARGET).any(axis=1))) + 1)
    assert heights[0] / heights[1] == pytest.approx(2, rel=0.06)
    assert heights[1] == pytest.approx(1.6 / 6.0 * 221.7, rel=0.06)


@pytest.mark.parametrize("order", [1, -1])
def test_the_nearer_thing_hides_the_farther(order: int) -> None:
    """Whatever the order they are handed in, pixels belong to the nearer wall."""
    picture = canvas(look())
    picture.paint([wall(2.0, PERSON), wall(4.0, TARGET)][::order])
    assert picture.mask()[64, 64] == PERSON
    assert picture.depth()[64, 64] == pytest.approx(2000, abs=2)


def test_depth_of_a_slanted_wall_is_exact() -> None:
    """A wall's depth changes over the picture as its plane does."""
    turn = np.array([[1, -0.5, 0], [0.5, 1, 0], [0, 0, 1]]) / math.sqrt(1.25)
    turn[2, 2] = 1
    faces = WALL @ turn.T + (4.0, 0.0, 0.0)
    normal = turn @ np.array([-1.0, 0.0, 0.0])
    view, picture = look(), None
    picture = canvas(view)
    picture.paint([Solid(faces, GREY, PERSON, normal=normal)])
    for u, v in ((55, 60), (64, 64), (75, 70)):
        assert picture.mask()[v, u] == PERSON
        ray = view.camera.intrinsics.unproject(u + 0.5, v + 0.5)
        direction = view.rotation @ ray
        expected = normal @ (faces[0, 0] - view.position) / (normal @ direction)
        assert picture.depth()[v, u] / 1000 == pytest.approx(expected, abs=0.002)


def test_a_wall_covers_the_pixels_its_corners_enclose() -> None:
    """Edges are where the pinhole puts them, within half a pixel."""
    view = look()
    picture = canvas(view)
    picture.paint([wall(3.0, PERSON)])
    columns = np.flatnonzero((picture.mask() == PERSON).any(axis=0))
    left, right = (view.camera.intrinsics.project((x, 0, 3.0))[0] for x in (-1, 1))
    assert columns[0] == pytest.approx(left, abs=0.75)
    assert columns[-1] + 1 == pytest.approx(right, abs=0.75)


def test_what_is_behind_or_beside_the_camera_is_not_drawn() -> None:
    """Walls behind the lens, through it, and seen from their back leave the canvas white."""
    picture = canvas(look())
    through = Solid(np.array([[(-1, 1, 0), (3, 1, 0), (3, 1, 2), (-1, 1, 2)]], dtype=np.float64), GREY)
    back = Solid(WALL[:, ::-1] + (3.0, 0.0, 0.0), GREY)
    picture.paint([wall(-3.0), through, back])
    assert (picture.image() == 255).all()


def test_more_things_than_can_be_told_apart_are_refused() -> None:
    """A canvas says so rather than mixing labels up."""
    with pytest.raises(BadInput, match="255"):
        canvas(look()).paint([wall(3.0 + number / 100) for number in range(256)])
