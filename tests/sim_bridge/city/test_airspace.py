"""The city as a world to fly in: pictures whose truth fits what they show."""

from __future__ import annotations

import contextlib

import numpy as np

from quadfollow_core.locate import Rule, Segmentation, locate
from quadfollow_core.resize import plan_fit
from quadfollow_sim.city.airspace import CityAirspace
from quadfollow_sim.city.city import City
from quadfollow_sim.vehicle import Follow
from quadfollow_sim.world import Observation


def test_truth_locates_the_target() -> None:
    """The server's own geometry, given the true mask, depth and pose, finds the target to a quarter of a metre."""
    errors, names = [], set()
    with contextlib.closing(CityAirspace(City("plaza", 5))) as world:
        for number in range(40):
            world.advance(number / 20)
            observation = world.capture()
            world.command(Follow(observation.target or (0.0, 0.0, 0.0)))
            errors.append(_error(observation))
            names.add(observation.name)
    assert np.median(errors) < 0.25
    assert len(names) == 40


def _error(observation: Observation) -> float:
    assert observation.truth is not None
    box, _ = plan_fit((256, 256), (256, 256))
    certain = np.where(observation.truth == 2, 255, 0).astype(np.uint8)
    truth = Segmentation(observation.truth, certain, box, (256, 256))
    found = locate(truth, Rule(), observation.camera, observation.depth)
    assert found.target is not None
    assert found.target.world is not None
    return float(np.linalg.norm(np.subtract(found.target.world, observation.target or ())))
