"""One arm of the study: train it on its budget, and measure what came of it on the runs held out."""

from __future__ import annotations

import time
from typing import Any

import keras

from quadfollow_core.scoring import Score
from quadfollow_training.compiling import compile_network
from quadfollow_training.frames import Frames
from quadfollow_training.holdout import held_out_score
from quadfollow_training.recipes import Recipe
from quadfollow_training.sampling import sampler
from quadfollow_training.study.arms import Arm
from quadfollow_training.study.classifier import LabelledBatches, ask, compile_classifier
from quadfollow_training.study.costs import costs
from quadfollow_training.study.locations import Place, PlaceRecorder, compare, same_place, true_places
from quadfollow_training.trial import fit_epoch, quicken

Measured = dict[str, Any]


def measure(arm: Arm, recipe: Recipe, learn: Frames, held_out: Frames) -> Measured:
    """Train an arm by its recipe and measure it; return plain values.

    ``passes`` has the measures after each pass of the budget, ``costs`` what the network costs to run.
    """
    keras.utils.set_random_seed(recipe.seed)
    measured = (_classifier if arm.classifier else _segmenter)(recipe, learn, held_out)
    return measured | {"costs": costs(recipe.spec, classifier=arm.classifier)}


def _segmenter(recipe: Recipe, learn: Frames, held_out: Frames) -> Measured:
    network = quicken(compile_network(recipe))
    source = sampler(recipe, learn, augment=True)
    true, passes, seconds = true_places(held_out), [], 0.0
    for epoch in range(recipe.epochs):
        started = time.monotonic()
        fit_epoch(network, recipe, source, epoch)
        seconds += time.monotonic() - started
        recorder = PlaceRecorder(network.predict_on_batch, held_out, recipe.spec.input_size)
        score = held_out_score(recorder, held_out, recipe.spec.input_size)
        passes.append({"score": score.as_dict()} | _presence(score) | _places(true, recorder.places, held_out))
    return {"passes": passes, "seconds": round(seconds, 1)}


def _classifier(recipe: Recipe, learn: Frames, held_out: Frames) -> Measured:
    network = quicken(compile_classifier(recipe))
    source = sampler(recipe, learn, augment=True)
    true, passes, seconds = true_places(held_out), [], 0.0
    guess = {"same_place": compare(true, same_place(true), held_out.target)}
    for epoch in range(recipe.epochs):
        started = time.monotonic()
        fit_epoch(network, recipe, source, epoch, LabelledBatches)
        seconds += time.monotonic() - started
        present, places = ask(network, held_out, recipe.spec.input_size)
        right = sum(said == (place is not None) for said, place in zip(present, true, strict=True))
        passes.append({"presence": right / len(true)} | _places(true, places, held_out) | guess)
    return {"passes": passes, "seconds": round(seconds, 1)}


def _presence(score: Score) -> Measured:
    """The share of all frames in which it is right whether there is a target."""
    frames = [part["tp"] + part["tn"] for part in score.sets.values()]
    return {"presence": sum(frames) / sum(part["n"] for part in score.sets.values())}


def _places(true: list[Place], said: list[Place], held_out: Frames) -> Measured:
    return {"places": compare(true, said, [int(pixels) for pixels in held_out.target])}
