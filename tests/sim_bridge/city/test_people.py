"""People: bodies that hold together, feet on the ground, rounds that keep out of walls."""

from __future__ import annotations

import numpy as np
import pytest

from quadfollow_core.errors import BadInput
from quadfollow_sim.city import walkers
from quadfollow_sim.city.bodies import BONES, build_body
from quadfollow_sim.city.gait import pose_bones
from quadfollow_sim.city.looks import Setting, draw_setting
from quadfollow_sim.city.outfits import TARGET, TARGETS, draw_decoy, draw_outfit


def test_body_is_skinned_whole() -> None:
    """Every vertex is carried by bones whose weights sum to one, and the body has its height."""
    for seed in range(12):
        outfit = draw_outfit(np.random.default_rng(seed))
        body = build_body(outfit)
        assert np.allclose(body.weights.sum(axis=1), 1)
        assert 500 < len(body.mesh.vertices) < 1400
        assert np.ptp(body.mesh.vertices[:, 2]) == pytest.approx(outfit.height * 1.0, rel=0.02)


def test_target_is_as_described() -> None:
    """The target is 1.6 m, with long red hair, a red sleeveless top and dark tights."""
    assert (TARGET.height, TARGET.hair, TARGET.sleeve) == (1.6, "long", 0.0)
    for red, green, blue in (TARGET.hair_colour, TARGET.top_colour, TARGET.shoe_colour):
        assert red > 5 * max(green, blue)


@pytest.mark.parametrize(("name", "channel", "times"), [("red", 0, 4), ("blue", 2, 2.5)])
def test_decoys_are_not_the_target(name: str, channel: int, times: float) -> None:
    """A decoy never has both the target's hair and her top."""
    for seed in range(200):
        decoy = draw_decoy(np.random.default_rng(seed), TARGETS[name])
        others = [one for one in range(3) if one != channel]
        like = [
            colour[channel] > times * max(colour[one] for one in others)
            for colour in (decoy.hair_colour, decoy.top_colour)
        ]
        assert not all(like)


def test_an_outfit_changes_the_target_and_her_decoys_alone() -> None:
    """The same city with another outfit: same plan, same walks, same passers-by."""
    red, blue = (draw_setting("street", 3, outfit) for outfit in ("red", "blue"))
    changed = [one != other for one, other in zip(red.outfits, blue.outfits, strict=True)]
    assert changed[0]
    assert sum(changed) <= 1 + red.preset.decoys[1]
    np.testing.assert_array_equal(red.crowd.feet(7.0), blue.crowd.feet(7.0))
    assert blue.outfits[0].top_colour[2] > 2.5 * blue.outfits[0].top_colour[0]


def test_an_unknown_outfit_is_refused_with_those_there_are() -> None:
    """The error names the choices."""
    with pytest.raises(BadInput, match="red, yellow, blue"):
        draw_setting("street", 3, "invisible")


def test_feet_stay_on_the_ground() -> None:
    """Over a stride the lower ankle stays within a few centimetres of where a standing ankle is."""
    phase = np.linspace(0, 2 * np.pi, 60)
    count = len(phase)
    joints, _ = pose_bones(np.zeros((count, 3)), np.zeros(count), phase, np.full(count, 1.7))
    ankles = joints[:, [BONES.index("foot_l"), BONES.index("foot_r")], 2].min(axis=1)
    assert np.abs(ankles - 0.045 * 1.7).max() < 0.06


def test_a_stride_is_what_the_feet_walk() -> None:
    """The planted foot slides little: the stride's length fits the legs' swing."""
    phase = np.linspace(0, 2 * np.pi, 200)
    count = len(phase)
    joints, _ = pose_bones(np.zeros((count, 3)), np.zeros(count), phase, np.ones(count))
    reach = np.ptp(joints[:, BONES.index("foot_l"), 0])
    assert reach == pytest.approx(0.43, abs=0.12)


@pytest.mark.parametrize("preset", ["plaza", "street", "crowd"])
def test_people_keep_out_of_walls(preset: str) -> None:
    """Nobody walks through a house, a tree or a bed, and speeds are those of walking."""
    setting: Setting = draw_setting(preset, 4)
    for time in np.arange(0, 120, 3.7):
        feet = setting.crowd.feet(float(time))
        assert setting.plan.free(feet[:, 0], feet[:, 1]).min() > 0.1
        speed = np.linalg.norm(setting.crowd.velocities(float(time))[:, :2], axis=1)
        assert np.mean(speed > 0.4) > 0.8  # who turns on the spot is slow for a moment
        assert (speed < 2.1).all()


def test_the_first_is_the_target_at_her_pace() -> None:
    """Person 0 walks at the preset's pace over a long time."""
    setting = draw_setting("street", 9)
    walked = setting.crowd.travelled(100.0) - setting.crowd.travelled(0.0)
    low, high = setting.preset.pace
    assert low * 0.95 < walked[0] / 100 < high * 1.05


def test_a_city_without_ways_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody can get from place to place, preset and seed are said, and what to do."""
    monkeypatch.setattr(walkers, "_CLEARANCE", np.inf)
    with pytest.raises(BadInput, match=r"plaza of seed 12.*another seed"):
        draw_setting("plaza", 12)
