"""Average a run's network with the one it began with, weight by weight.

Fine-tuning on new frames forgets some of the old; between both networks lies one that is better at both (Wortsman et
al., 2022, "Robust fine-tuning of zero-shot models"). The networks of one run and of its beginning are close enough for
that. Batch statistics do not average, so they are measured anew on training batches.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from quadfollow_core.errors import BadInput, NotFound
from quadfollow_core.files import save_whole, write_whole
from quadfollow_training.batches import Batches
from quadfollow_training.compiling import begin_with, load
from quadfollow_training.fcn import build
from quadfollow_training.frames import Frames, open_frames
from quadfollow_training.holdout import held_out_score
from quadfollow_training.recipe_files import read_recipe
from quadfollow_training.recipes import Recipe
from quadfollow_training.rundir import RunFolder, file_hash
from quadfollow_training.train import sampler

STATISTICS_EPOCH = 10**6 + 1
"""Seeds the batches that statistics are measured on, which are no epoch's own."""
STATISTICS_BATCHES = 8


def average(run: Path, begin: Path, shares: Sequence[float], data: Sequence[Path], out: Path) -> dict[str, Any]:
    """Try several shares and keep the average with the best held-out score, as a run's folder.

    Args:
        run: the folder of a run; its last network is taken.
        begin: the ``.keras`` network that the run began with.
        shares: how much of the run's network to take, each above 0 and at most 1.
        data: the run's data sets, or folders of them.
        out: the new folder: ``best.keras`` and ``config.json``, which tells of the averaging.

    Raises:
        BadInput: a share out of range, no runs held out to choose by, another network than the run began with, or
            ``out`` holds a network already.
        NotFound: no run in the folder.
        BadModel: the networks differ in more than their widths.
    """
    if not shares or not all(0 < share <= 1 for share in shares):
        raise BadInput(f"shares lie above 0 and are at most 1, got {list(shares)}")
    source, target = RunFolder(run), RunFolder(out)
    if not source.last.exists():
        raise NotFound(f"{run} holds no run: {source.last.name} is missing")
    recipe = read_recipe(source.config)
    config = json.loads(source.config.read_text(encoding="utf-8"))
    _check_beginning(config.get("begun_with", {}).get("init", ""), begin)
    target.prepare(resume=False)
    frames = open_frames(data, recipe.folders)
    learn, held_out = frames.split([name for name in config.get("held_out_runs", ()) if name in frames.runs])
    if not len(held_out):
        raise BadInput("an average is chosen by its held-out score: give the run's data with its held-out runs")
    first, last = _weights(recipe, begin), load(source.last).get_weights()
    networks = {share: _mix(recipe, first, last, share, learn) for share in shares}
    scores = {
        share: held_out_score(network.predict_on_batch, held_out, recipe.spec.input_size).final
        for share, network in networks.items()
    }
    chosen = max(scores, key=lambda share: scores[share])
    save_whole(target.best, networks[chosen].save)
    told = {"with": f"{begin.name} {file_hash(begin)}", "share": chosen, "held_out_final": scores}
    write_whole(target.config, json.dumps(config | {"averaged": told}, indent=2) + "\n")
    return {"model": str(target.best)} | told


def _check_beginning(told: str, begin: Path) -> None:
    """Refuse a network that is not the one that the run says it began with, where that was a ``.keras`` file."""
    name, _, digest = told.rpartition(" ")
    if name.endswith(".keras") and digest != file_hash(begin):
        raise BadInput(f"the run began with {told}, and {begin} is {file_hash(begin)}: give that one with --begin")


def _weights(recipe: Recipe, begin: Path) -> list[Any]:
    """The weights that the run began with, grown to its width with the same random new channels."""
    keras.utils.set_random_seed(recipe.seed)
    network = build(recipe.spec, any_size=True)
    begin_with(load(begin), begin, network)
    weights: list[Any] = network.get_weights()
    return weights


def _mix(recipe: Recipe, first: list[Any], last: list[Any], share: float, learn: Frames) -> keras.Model:
    """Average the weights, and measure the batch statistics that come of them."""
    network = build(recipe.spec, any_size=True)
    network.set_weights([(1 - share) * one + share * other for one, other in zip(first, last, strict=True)])
    if share < 1:
        _measure_statistics(network, recipe, learn)
    fixed = build(recipe.spec)
    fixed.set_weights(network.get_weights())
    return fixed


def _measure_statistics(network: keras.Model, recipe: Recipe, learn: Frames) -> None:
    """Set each batch normalisation's mean and variance to the mean over some training batches."""
    norms = [layer for layer in network.layers if isinstance(layer, layers.BatchNormalization)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    source = sampler(recipe, learn, augment=True)
    batches = Batches(
        source,
        batch=recipe.batch,
        steps=STATISTICS_BATCHES,
        seed=recipe.seed,
        epoch=STATISTICS_EPOCH,
        workers=1,
    )
    seen = []
    for index in range(STATISTICS_BATCHES):
        network(batches[index][0], training=True)
        seen.append([keras.ops.convert_to_numpy(value) for norm in norms for value in norm.non_trainable_variables])
    means = iter(np.mean(values, axis=0) for values in zip(*seen, strict=True))
    for norm, momentum in zip(norms, momenta, strict=True):
        for variable in norm.non_trainable_variables:
            variable.assign(next(means))
        norm.momentum = momentum
