"""The named recipes, and what a recipe refuses."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from quadfollow_core.errors import BadInput, NotFound
from quadfollow_training.compiling import learning_rate
from quadfollow_training.recipes import FOLLOW_256, HOLD_OUT, RECIPES, SEED, find_recipe

SEED_VALUES = {
    "learning_rate": 0.005,
    "batch": 48,
    "epochs": 20,
    "steps": 200,
    "validation_steps": 50,
    "workers": 4,
    "optimizer": "adam",
    "folders": ("train", "validation"),
    "augmentations": (),
    "crop": None,
    "dice": 0.0,
}


@pytest.mark.parametrize(("name", "value"), SEED_VALUES.items())
def test_the_seed_recipe_has_the_seeds_values(name, value):
    """The default recipe is the seed's, number for number."""
    assert getattr(find_recipe("seed"), name) == value


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())
def test_recipes_are_plain_data(recipe):
    """Every recipe can be written as JSON beside its run and holds out the same runs."""
    assert json.loads(json.dumps(recipe.as_dict()))["name"] == recipe.name
    assert recipe.hold_out == HOLD_OUT


def test_an_unknown_recipe_is_refused_with_those_there_are():
    """The message lists the names to choose from."""
    with pytest.raises(NotFound, match="seed, crops-256, follow-256, hard-256"):
        find_recipe("best")


@pytest.mark.parametrize(
    "bad",
    [
        {"epochs": 0},
        {"batch": -1},
        {"workers": 0},
        {"learning_rate": 0},
        {"warmup": -1},
        {"augmentations": ("rotate",)},
        {"crop": 100},  # not a multiple of 32
        {"zoom": (0.0, 1.0)},
        {"schedule": "cosine", "schedule_epochs": SEED.epochs - 1},
        {"warmup": 10},  # a constant rate has none
        {"schedule_epochs": SEED.epochs},
        {"weight_decay": 0.01},  # nor has adam
        {"optimizer": "adamw", "weight_decay": -0.01},
        {"folder_shares": {"train": 0.7, "validation": 0.4}},
        {"folder_shares": {"train": -0.1}},
        {"optimizer": "sgd"},
        {"schedule": "linear"},
        {"pasted": 1.5},
        {"dice": -0.1},
        {"class_weights": (1.0, 2.0)},
        {"class_weights": (1.0, 2.0, 0.0)},
    ],
)
def test_impossible_recipes_are_refused(bad):
    """What cannot be trained is refused before any data is read."""
    with pytest.raises(BadInput):
        replace(SEED, **bad)


def test_the_rate_warms_up_and_falls_to_zero():
    """A cosine recipe starts at nothing, peaks after its warm-up and ends at nothing; the seed's stays."""
    rate = learning_rate(FOLLOW_256)
    first, peak, last = (float(rate(step)) for step in (0, FOLLOW_256.warmup, FOLLOW_256.scheduled_steps))
    assert (first, peak) == (0, pytest.approx(FOLLOW_256.learning_rate))
    assert last == pytest.approx(0, abs=1e-9)
    assert learning_rate(SEED) == 0.005
    assert float(learning_rate(replace(FOLLOW_256, warmup=0))(0)) == pytest.approx(FOLLOW_256.learning_rate)


def test_a_run_may_end_before_its_schedule():
    """The rate of a recipe that another goes on from has fallen, and is far from nothing."""
    crops = find_recipe("crops-256")
    left = float(learning_rate(crops)(crops.epochs * crops.steps)) / crops.learning_rate
    assert 0.3 < left < 0.4
