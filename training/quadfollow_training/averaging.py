"""Average a run's network with others of its line, weight by weight, batch statistics included.

Fine-tuning on new frames forgets some of the old; between networks that come of each other lies one that is better at
both (Wortsman et al., 2022, "Robust fine-tuning of zero-shot models" and "Model soups"). Networks of one run, its
beginning and the runs before are close enough for that; those of different beginnings are not.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from quadfollow_core.errors import BadInput, NotFound
from quadfollow_core.files import save_whole, write_whole
from quadfollow_training.compiling import begin_with, load
from quadfollow_training.fcn import build
from quadfollow_training.frames import open_frames
from quadfollow_training.holdout import held_out_score
from quadfollow_training.recipe_files import read_recipe
from quadfollow_training.recipes import Recipe
from quadfollow_training.rundir import RunFolder, file_hash

Weights = list[NDArray[np.float32]]


def average(
    run: Path, others: Sequence[Path], shares: Sequence[float], data: Sequence[Path], out: Path
) -> dict[str, Any]:
    """Try several shares and keep the average with the best held-out score, as a run's folder.

    Args:
        run: the folder of a run; its last network is taken.
        others: ``.keras`` networks, such as the one that the run began with; each takes part of the rest alike.
        shares: how much of the run's network to take, each above 0 and at most 1.
        data: the run's data sets, or folders of them.
        out: the new folder: ``best.keras`` and ``config.json``, which tells of the averaging.

    Raises:
        BadInput: a share out of range, no other network, other data than the run's, no runs held out to choose by, or
            ``out`` holds a network already.
        NotFound: no run in the folder.
        BadModel: the networks have other layers or widths than the run's.
    """
    if not shares or not all(0 < share <= 1 for share in shares):
        raise BadInput(f"shares lie above 0 and are at most 1, got {list(shares)}")
    if not others:
        raise BadInput("an average is of the run's network and others: name one at least")
    source, target = RunFolder(run), RunFolder(out)
    if not source.last.exists():
        raise NotFound(f"{run} holds no run: {source.last.name} is missing")
    recipe = read_recipe(source.config)
    config = json.loads(source.config.read_text(encoding="utf-8"))
    target.prepare(resume=False)
    frames = open_frames(data, recipe.folders)
    if frames.fingerprint != config["data"]["fingerprint"]:
        raise BadInput(
            f"{run} was trained on other data: give its {config['data']['frames']} frames, here {len(frames)}"
        )
    _, held_out = frames.split(config["held_out_runs"])
    if not len(held_out):
        raise BadInput(f"an average is chosen by its held-out score, and {run} held out nothing")
    last, rest = load(source.last).get_weights(), _mean([_weights(recipe, path) for path in others])
    networks = {share: _mix(recipe, last, rest, share) for share in shares}
    scores = {
        share: held_out_score(network.predict_on_batch, held_out, recipe.spec.input_size).final
        for share, network in networks.items()
    }
    chosen = max(scores, key=lambda share: scores[share])
    names = " and ".join(f"{path.name} {file_hash(path)}" for path in others)
    told = {"with": names, "share": chosen, "held_out_final": scores}
    config.pop("best", None)  # of the run's best network; its last one was taken
    write_whole(target.config, json.dumps(config | {"averaged": told}, indent=2) + "\n")
    save_whole(target.best, networks[chosen].save)  # last, since it says that the average is whole
    return {"model": str(target.best)} | told


def _weights(recipe: Recipe, path: Path) -> Weights:
    """A network's weights, for the layers that the run's network has."""
    network = build(recipe.spec, any_size=True)
    begin_with(load(path), path, network)
    weights: Weights = network.get_weights()
    return weights


def _mean(networks: Sequence[Weights]) -> Weights:
    return [np.mean(each, axis=0) for each in zip(*networks, strict=True)]


def _mix(recipe: Recipe, last: Weights, rest: Weights, share: float) -> keras.Model:
    network = build(recipe.spec)
    network.set_weights([share * one + (1 - share) * other for one, other in zip(last, rest, strict=True)])
    return network
