"""Training, as one loop to read from top to bottom.

Epoch by epoch: draw its batches, fit, score the held-out runs, keep what is best, save. Everything an epoch does
follows from the recipe, the data and the epoch's number, so a run that was killed goes on from its last finished
epoch and ends with the same weights, on the CPU bit for bit.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
from rich.console import Console

from quadfollow_core.errors import BadInput
from quadfollow_core.files import save_whole
from quadfollow_core.scoring import FOLLOWING, PATROL_TARGET
from quadfollow_training.batches import Sampler
from quadfollow_training.compiling import start
from quadfollow_training.curves import draw_curves
from quadfollow_training.exported import is_exported
from quadfollow_training.fcn import build
from quadfollow_training.frames import Frames, open_frames
from quadfollow_training.holdout import held_out_score, split
from quadfollow_training.mistakes import Mistakes, find_mistakes
from quadfollow_training.picture import draw_network
from quadfollow_training.predictors import open_predictor
from quadfollow_training.progress import ProgressBar
from quadfollow_training.recipes import Recipe
from quadfollow_training.rundir import Row, RunFolder, earlier, environment, file_hash
from quadfollow_training.sampling import batches, sampler
from quadfollow_training.unfolding import settle

VALIDATION_EPOCH = 10**6
"""Seeds the validation batches, which are the same after every epoch and no epoch's own."""
SETTLING_EPOCH = VALIDATION_EPOCH + 1
SETTLING_STEPS = 16
"""Batches that batch normalisation is measured on where the network was an exported model."""


def train(
    recipe: Recipe,
    data: Sequence[Path],
    out: Path,
    *,
    init: Path | None = None,
    mistakes_of: Path | None = None,
    resume: bool = False,
) -> dict[str, Any]:
    """Train by a recipe and return what came of it, ready for JSON.

    Args:
        recipe: what to do.
        data: data sets, or folders of data sets.
        out: the run's folder.
        init: a network of the recipe's shape to begin with, ``.keras`` or exported, instead of random weights.
        mistakes_of: a model whose mistakes on the frames to train on are drawn more often (the recipe's share of them).
        resume: go on from the last finished epoch in ``out``, if there is one; a run that is finished stays as it is.

    Raises:
        BadDataset: files that cannot be used, all of them named.
        BadInput: ``out`` holds another run, a run named to be held out is not in the data, or mistakes are drawn of no
            model or those of one are not drawn.
    """
    _check_mistakes(recipe, mistakes_of)
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    folder = RunFolder(out)
    folder.prepare(resume=resume)
    console.print(f"reading {', '.join(map(str, data))}")
    frames = open_frames(data, recipe.folders)
    console.print(_sets(recipe, frames))
    learn, held_out = split(frames, recipe)
    console.print(f"{len(learn)} frames to train on, {len(held_out)} held out ({', '.join(held_out.runs)})")

    keras.utils.set_random_seed(recipe.seed)
    facts = _facts(recipe, learn, frames, held_out, init, mistakes_of)
    folder.require_same(facts)
    network, finished = start(recipe, folder, init)
    rows = folder.read_history(finished)
    if finished >= recipe.epochs:
        return _report(recipe, folder, rows)
    # Whatever computed a finished run, it can be read; only what is to be trained on needs the same again.
    folder.write_config(facts | {"backend": keras.backend.backend()}, environment())
    source = sampler(recipe, learn, augment=True, mistakes=_mistakes(recipe, mistakes_of, learn, console))
    if init is not None and is_exported(init) and not finished:
        drawn = batches(recipe, source, SETTLING_EPOCH, SETTLING_STEPS)
        settle(network, (drawn[step][0] for step in range(len(drawn))))
    draw_network(recipe.spec, folder.path / "network.png")
    with ProgressBar(console) as bar:
        for epoch in range(finished, recipe.epochs):
            rows.append(_epoch(network, recipe, epoch, source, held_out, bar))
            _keep(network, recipe, folder, rows)
            console.print(_line(rows[-1], recipe))
    return _report(recipe, folder, rows)


def _epoch(network: keras.Model, recipe: Recipe, epoch: int, learn: Sampler, held_out: Frames, bar: ProgressBar) -> Row:
    """Train one epoch and measure it; return its row of the history."""
    started = time.monotonic()
    validate = len(held_out) > 0 and recipe.validation_steps > 0
    validation = (
        batches(recipe, sampler(recipe, held_out, augment=False), VALIDATION_EPOCH, recipe.validation_steps)
        if validate
        else None
    )
    logs = network.fit(
        batches(recipe, learn, epoch),
        validation_data=validation,
        initial_epoch=epoch,
        epochs=epoch + 1,
        shuffle=False,
        verbose=0,
        callbacks=[bar],
    ).history
    row = {"epoch": float(epoch + 1)} | {name: float(values[0]) for name, values in logs.items()}
    row["learning_rate"] = float(network.optimizer.learning_rate)
    if len(held_out) and ((epoch + 1) % recipe.score_every == 0 or epoch + 1 == recipe.epochs):
        row |= _score(network, recipe, held_out)
    return row | {"seconds": round(time.monotonic() - started, 1)}


def _score(network: keras.Model, recipe: Recipe, held_out: Frames) -> Row:
    score = held_out_score(network.predict_on_batch, held_out, recipe.spec.input_size)
    return {
        "held_out_final": score.final,
        "held_out_iou_near": score.sets[FOLLOWING]["iou_hero"],
        "held_out_iou_far": score.sets[PATROL_TARGET]["iou_hero"],
        "held_out_fp": float(score.fp),
        "held_out_fn": float(score.fn),
    }


def _keep(network: keras.Model, recipe: Recipe, folder: RunFolder, rows: list[Row]) -> None:
    """Save the epoch: what is best, the history and its picture, and last of all the state to resume from."""
    best = _best(rows)
    if best is rows[-1]:
        fixed = build(recipe.spec)
        fixed.set_weights(network.get_weights())
        save_whole(folder.best, fixed.save)
    folder.note_best(best)
    folder.write_history(rows)
    draw_curves(rows, folder.path / "curves.png")
    save_whole(folder.last, network.save)


def _best(rows: Sequence[Row]) -> Row:
    """The epoch with the highest held-out score, of equal ones the latest; where none was scored, the latest."""
    scored = [row for row in reversed(rows) if "held_out_final" in row]
    return max(scored, key=lambda row: row["held_out_final"]) if scored else rows[-1]


def _check_mistakes(recipe: Recipe, model: Path | None) -> None:
    share = recipe.shares.mistake
    if share and model is None:
        raise BadInput(f"recipe {recipe.name} draws mistakes (a share of {share:g}): say whose with --mistakes-of")
    if model is not None and not share:
        raise BadInput(f"recipe {recipe.name} draws no mistakes (shares.mistake): leave out --mistakes-of")


def _mistakes(recipe: Recipe, model: Path | None, frames: Frames, console: Console) -> Mistakes | None:
    if model is None:
        return None
    predictor = open_predictor(model, default=recipe.spec.input_size)
    found = find_mistakes(predictor, predictor.size, frames)
    console.print(f"{model.name} is wrong about the target in {len(found)} of the {len(frames)} frames to train on")
    return found


def _facts(
    recipe: Recipe, learn: Frames, frames: Frames, held_out: Frames, init: Path | None, mistakes_of: Path | None
) -> dict[str, Any]:
    """What decides the outcome of a run; a resumed run must agree with it."""
    models = {"init": init, "mistakes_of": mistakes_of}
    return {
        "begun_with": {name: f"{path.name} {file_hash(path)}" for name, path in models.items() if path} | earlier(init),
        "recipe": recipe.as_dict(),
        "data": {"frames": len(frames), "runs": frames.runs, "fingerprint": frames.fingerprint},
        "sets": _taken(learn),
        "held_out_runs": held_out.runs,
    }


def _taken(frames: Frames) -> list[str]:
    return sorted({frame.folder for frame in frames.items})


def _sets(recipe: Recipe, frames: Frames) -> str:
    """Say which sets were taken, and which of the recipe's are not there."""
    taken = _taken(frames)
    missing = [name for name in recipe.folders or () if name not in taken]
    absent = f"; named by the recipe but not there: {', '.join(missing)}" if missing else ""
    return f"sets taken: {', '.join(taken)}{absent}"


def _line(row: Row, recipe: Recipe) -> str:
    parts = [f"epoch {row['epoch']:.0f}/{recipe.epochs}", f"loss {row['loss']:.4f}"]
    parts += [f"{name} {row[name]:.4f}" for name in ("val_loss", "held_out_final") if name in row]
    if "held_out_final" in row:
        parts.append(f"near {row['held_out_iou_near']:.3f} far {row['held_out_iou_far']:.3f}")
        parts.append(f"fp {row['held_out_fp']:.0f} fn {row['held_out_fn']:.0f}")
    return "  ".join([*parts, f"{row['seconds']:.0f} s"])


def _report(recipe: Recipe, folder: RunFolder, rows: list[Row]) -> dict[str, Any]:
    return {
        "recipe": recipe.name,
        "run": str(folder.path),
        "model": str(folder.best),
        "epochs": len(rows),
        "best": _best(rows) if rows else None,
    }
