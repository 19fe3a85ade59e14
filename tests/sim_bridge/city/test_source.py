"""The city as the bridge's world: frames that decode, truth that fits, commands that fly."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from quadfollow_core.errors import BadInput
from quadfollow_core.locate import Rule, Segmentation, locate
from quadfollow_core.resize import plan_fit
from quadfollow_sim.city.city import City
from quadfollow_sim.city.source import CityFrames, CitySource
from quadfollow_sim.vehicle import Follow, Vehicle
from quadfollow_sim.world import FrameSource, Observation


@pytest.fixture
def source() -> Iterator[CitySource]:
    """Two seconds of a plaza."""
    world = CitySource(City("plaza", 5), CityFrames(seconds=2.0))
    yield world
    world.close()


def test_it_is_a_world_to_fly_in(source: CitySource) -> None:
    """It is a frame source and a vehicle, forty frames long, on the city's clock."""
    assert isinstance(source, FrameSource)
    assert isinstance(source, Vehicle)
    names = [observation.name for observation in iter(source.read, None)]
    assert len(names) == len(set(names)) == 40
    assert source.city.time == pytest.approx(39 / 20, abs=0.008)


def test_skipped_frames_take_their_time(source: CitySource) -> None:
    """Skipping is flying on: the third frame is the third whether two were read or skipped."""
    skipped = source.read(skip=2)
    assert skipped is not None
    with_reads = CitySource(City("plaza", 5), CityFrames(seconds=2.0))
    read = [with_reads.read() for _ in range(3)][-1]
    with_reads.close()
    assert read is not None
    assert (skipped.name, skipped.image) == (read.name, read.image)
    assert source.read(skip=40) is None


def test_truth_locates_the_target(source: CitySource) -> None:
    """The server's own geometry, given the true mask, depth and pose, finds the target to a quarter of a metre."""
    errors = []
    for observation in iter(source.read, None):
        source.command(Follow(observation.target or (0.0, 0.0, 0.0)))
        errors.append(_error(observation))
    assert np.median(errors) < 0.25


def _error(observation: Observation) -> float:
    assert observation.truth is not None
    box, _ = plan_fit((256, 256), (256, 256))
    certain = np.where(observation.truth == 2, 255, 0).astype(np.uint8)
    truth = Segmentation(observation.truth, certain, box, (256, 256))
    found = locate(truth, Rule(), observation.camera, observation.depth)
    assert found.target is not None
    assert found.target.world is not None
    return float(np.linalg.norm(np.subtract(found.target.world, observation.target or ())))


def test_impossible_frames() -> None:
    """A world without time or rate is refused."""
    with pytest.raises(BadInput):
        CityFrames(seconds=0)
