"""Pictures: the same for the same seed, and true to what the city knows of itself."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quadfollow_core.errors import BadGeometry, BadInput
from quadfollow_core.geometry import Camera, Intrinsics, Pose
from quadfollow_core.locate import Rule, Segmentation, locate
from quadfollow_core.resize import TARGET, plan_fit
from quadfollow_sim.city.looks import Setting, draw_setting
from quadfollow_sim.city.mesh import Floats
from quadfollow_sim.city.presets import PRESETS
from quadfollow_sim.city.renderer import Picture, Renderer

LENS = Intrinsics.from_fov(256, 256, math.radians(60))


def looking_at(point: Floats, distance: float, bearing: float, height: float) -> Camera:
    """A camera ``distance`` metres from a point on the level and ``height`` above it, aimed at it."""
    place = point + [distance * math.cos(bearing), distance * math.sin(bearing), height]
    x, y, z = (float(value) for value in place)
    return Camera(LENS, Pose.from_rpy((x, y, z), 0.0, math.atan2(height, distance), bearing + math.pi))


def clear_views(setting: Setting, renderer: Renderer, count: int) -> list[tuple[float, Camera, Picture]]:
    """Pictures of the target from near by in which she is seen."""
    views = []
    for second in range(60):
        camera = looking_at(setting.crowd.middles(second)[0], 3.0, second * 0.7, 1.0)
        renderer.pose_people(float(second))
        picture = renderer.render(camera)
        if (picture.classes == 2).sum() > 800:
            views.append((float(second), camera, picture))
        if len(views) == count:
            return views
    pytest.fail(f"the target was seen in {len(views)} of 60 seconds only")


def test_shapes_and_types(renderer: Renderer, setting: Setting) -> None:
    """A picture has colours, classes and depth of one size."""
    picture = renderer.render(looking_at(setting.crowd.middles(0.0)[0], 4, 0, 1))
    assert (picture.rgb.shape, picture.rgb.dtype) == ((256, 256, 3), np.uint8)
    assert (picture.classes.shape, picture.classes.dtype) == ((256, 256), np.uint8)
    assert (picture.depth.shape, picture.depth.dtype) == ((256, 256), np.float32)
    assert set(np.unique(picture.classes)) <= {0, 1, 2}


def test_same_seed_same_pixels(setting: Setting, renderer: Renderer) -> None:
    """A second city of the same seed gives the same pictures; another seed gives others."""
    camera = looking_at(setting.crowd.middles(5.0)[0], 5, 1.0, 2)
    renderer.pose_people(5.0)
    first = renderer.render(camera)
    for seed, same in ((7, True), (8, False)):
        with Renderer(draw_setting("plaza", seed)) as other:
            other.pose_people(5.0)
            picture = other.render(camera)
        assert np.array_equal(first.rgb, picture.rgb) is same
        assert np.array_equal(first.depth, picture.depth) is same


@pytest.mark.parametrize("down", [10, 40, 65])
def test_her_height_tells_how_far_she_is(setting: Setting, renderer: Renderer, down: int) -> None:
    """Seen as a whole, from level or steeply above, she is placed within a tenth of her distance, in the median."""
    errors = []
    for second in range(40):
        level, up = 7 * math.cos(math.radians(down)), 7 * math.sin(math.radians(down))
        camera = looking_at(setting.crowd.middles(second)[0], level, second * 0.7, up)
        renderer.pose_people(float(second))
        picture = renderer.render(camera)
        probability = np.where(picture.classes == TARGET, np.uint8(255), np.uint8(0))
        seen = Segmentation(picture.classes, probability, plan_fit((256, 256), (256, 256))[0], (256, 256))
        target = locate(seen, Rule(min_area=120), camera).target
        if target is not None and target.distance is not None:
            errors.append(target.distance / 7 - 1)
    assert len(errors) > 10
    assert abs(np.median(errors)) < 0.1, np.round(errors, 2)


def test_target_projects_into_her_mask(setting: Setting, renderer: Renderer) -> None:
    """The middle of the target's body lies on her pixels, and the mean of her pixels near it."""
    for time, camera, picture in clear_views(setting, renderer, 8):
        assert camera.pose is not None
        point = camera.pose.camera_from_world(setting.crowd.middles(time)[0])
        u, v = camera.intrinsics.project(point)
        assert picture.classes[int(v), int(u)] == 2
        rows, columns = np.nonzero(picture.classes == 2)
        assert math.hypot(columns.mean() + 0.5 - u, rows.mean() + 0.5 - v) < 0.08 * np.ptp(rows)


def test_depth_at_target_is_her_distance(setting: Setting, renderer: Renderer) -> None:
    """Depth at the target's middle is her distance along the optical axis, less her body's thickness."""
    for time, camera, picture in clear_views(setting, renderer, 8):
        assert camera.pose is not None
        point = camera.pose.camera_from_world(setting.crowd.middles(time)[0])
        u, v = camera.intrinsics.project(point)
        assert 0.0 < point[2] - picture.depth[int(v), int(u)] < 0.32


def test_depth_of_the_ground(setting: Setting, renderer: Renderer) -> None:
    """Looking straight down, the depth is the height above the ground, and the target's is less by hers."""
    x, y, _ = setting.crowd.feet(3.0)[0]
    down = Camera(LENS, Pose.from_rpy((float(x), float(y), 30.0), 0.0, math.pi / 2, 0.0))
    renderer.pose_people(3.0)
    picture = renderer.render(down)
    assert np.median(picture.depth[picture.classes == 0]) == pytest.approx(30.0, abs=0.2)
    assert picture.depth[picture.classes == 2].min() == pytest.approx(30.0 - 1.6, abs=0.15)


def test_person_and_target_are_told_apart(setting: Setting, renderer: Renderer) -> None:
    """Looking down at each person in turn shows her class in the middle."""
    renderer.pose_people(0.0)
    for index, (x, y, _) in enumerate(setting.crowd.feet(0.0)):
        picture = renderer.render(Camera(LENS, Pose.from_rpy((float(x), float(y), 8.0), 0.0, math.pi / 2, 0.0)))
        middle = picture.classes[116:140, 116:140]
        assert (2 if index == 0 else 1) in middle, f"person {index}"


def test_nothing_is_lost_by_hiding(setting: Setting, renderer: Renderer) -> None:
    """Hiding what is out of view changes no pixel."""
    camera = looking_at(setting.crowd.middles(9.0)[0], 9, 2.0, 5)
    renderer.pose_people(9.0)
    hidden = renderer.render(camera)
    renderer._groups = lambda *_: 0  # type: ignore[method-assign,assignment,return-value]
    try:
        shown = renderer.render(camera)
    finally:
        del renderer._groups
    assert np.array_equal(hidden.rgb, shown.rgb)
    assert np.array_equal(hidden.classes, shown.classes)


def test_refuses_a_lens_it_cannot_draw(renderer: Renderer) -> None:
    """A camera without a pose, off centre or distorted is refused."""
    pose = Pose.from_rpy((0.0, 0.0, 5.0), 0.0, 0.0, 0.0)
    bent = Intrinsics(LENS.fx, LENS.fy, LENS.cx, LENS.cy, (0.1, 0.0, 0.0, 0.0))
    for camera in (Camera(LENS), Camera(Intrinsics(200, 200, 100, 128), pose), Camera(bent, pose)):
        with pytest.raises(BadGeometry):
            renderer.render(camera)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_build(name: str) -> None:
    """Every preset makes a city with as many people as it says, whose target is seen in daylight or dusk."""
    setting = draw_setting(name, 2)
    low, high = PRESETS[name].people
    assert low <= len(setting.outfits) <= high
    with Renderer(setting, 128) as drawing:
        camera = Camera(
            Intrinsics.from_fov(128, 128, math.radians(60)),
            looking_at(setting.crowd.middles(0.0)[0], 3, 1.0, 6.0).pose,
        )
        picture = drawing.render(camera)
    assert picture.rgb.std() > 10
    assert (picture.classes == 2).any()


def test_unknown_preset() -> None:
    """A preset that does not exist is refused by name."""
    with pytest.raises(BadInput, match="plaza"):
        draw_setting("beach", 0)
