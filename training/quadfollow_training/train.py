"""Training, as one loop to read from top to bottom.

Epoch by epoch: draw its batches, fit, score the held-out runs, keep what is best, save. Everything an epoch does
follows from the recipe, the data and the epoch's number, so a run that was killed goes on from its last finished
epoch and ends with the same weights, bit for bit.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
from rich.console import Console

from quadfollow_core.errors import BadInput, BadModel, Unavailable
from quadfollow_core.scoring import FOLLOWING, PATROL_TARGET
from quadfollow_training.batches import Batches, Crops, Sampler, WholeFrames
from quadfollow_training.curves import draw_curves
from quadfollow_training.fcn import build
from quadfollow_training.frames import Frames, open_frames
from quadfollow_training.holdout import held_out_score
from quadfollow_training.losses import SegmentationLoss
from quadfollow_training.progress import ProgressBar
from quadfollow_training.recipes import Recipe
from quadfollow_training.rundir import Row, RunFolder, environment

VALIDATION_EPOCH = 10**6
"""Seeds the validation batches, which are the same after every epoch and no epoch's own."""


def train(
    recipe: Recipe,
    data: Sequence[Path],
    out: Path,
    *,
    resume: bool = False,
    tensorboard: bool = False,
    stop_after: int | None = None,
) -> dict[str, Any]:
    """Train by a recipe and return what came of it, ready for JSON.

    Args:
        recipe: what to do.
        data: data sets, or folders of data sets.
        out: the run's folder.
        resume: go on from the last finished epoch in ``out``, if there is one.
        tensorboard: also write event files for TensorBoard.
        stop_after: end after this epoch as if killed there; the schedule stays that of the whole run.

    Raises:
        BadDataset: files that cannot be used, all of them named.
        BadInput: ``out`` holds another run, or a held-out run is not in the data.
    """
    folder = RunFolder(out)
    folder.prepare(resume=resume)
    console = Console(stderr=True)
    console.print(f"reading {', '.join(map(str, data))}")
    frames = open_frames(data, recipe.folders)
    learn, held_out = frames.split(name for name in recipe.hold_out if name in frames.runs)
    console.print(f"{len(learn)} frames to train on, {len(held_out)} held out ({', '.join(held_out.runs)})")

    keras.utils.set_random_seed(recipe.seed)
    network, finished = _start(recipe, folder)
    _describe_run(recipe, frames, held_out, folder)
    rows = folder.read_history(finished)
    callbacks = [ProgressBar(console), *_tensorboard(tensorboard, folder)]
    for epoch in range(finished, min(recipe.epochs, stop_after or recipe.epochs)):
        rows.append(_epoch(network, recipe, epoch, learn, held_out, callbacks))
        _keep(network, recipe, folder, rows)
        console.print(_line(rows[-1], recipe), highlight=False)
    return _report(recipe, folder, rows)


def compile_network(recipe: Recipe) -> keras.Model:
    """Build the recipe's network for pictures of any size, with its loss and optimiser."""
    network = build(recipe.spec, any_size=True)
    network.compile(
        optimizer=_optimizer(recipe),
        loss=SegmentationLoss(recipe.class_weights, recipe.dice),
        jit_compile=False,  # XLA's depthwise gradients are ten times slower on CPUs
    )
    return network


def _optimizer(recipe: Recipe) -> Any:
    rate: Any = recipe.learning_rate
    if recipe.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(
            0.0 if recipe.warmup else rate,
            max(recipe.total_steps - recipe.warmup, 1),
            warmup_target=rate if recipe.warmup else None,
            warmup_steps=recipe.warmup,
        )
    if recipe.optimizer == "adamw":
        return keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay)
    return keras.optimizers.Adam(rate)


def _start(recipe: Recipe, folder: RunFolder) -> tuple[keras.Model, int]:
    """Build the network, or load the one to go on with; return it and the number of finished epochs."""
    if not folder.last.exists():
        return compile_network(recipe), 0
    network = keras.models.load_model(folder.last)
    if [v.shape for v in network.weights] != [v.shape for v in compile_network(recipe).weights]:
        raise BadModel(f"{folder.last} is another network than recipe {recipe.name} builds")
    epoch, rest = divmod(int(network.optimizer.iterations.numpy()), recipe.steps)
    if rest:
        raise BadInput(f"{folder.last} was trained with other than {recipe.steps} steps per epoch")
    return network, epoch


def sampler(recipe: Recipe, frames: Frames, *, augment: bool) -> Sampler:
    """Make what draws the recipe's samples: crops or whole frames, augmented or plain."""
    augmentations = recipe.augmentations if augment else ()
    if recipe.crop is None:
        return WholeFrames(frames, recipe.spec.input_size, augmentations)
    return Crops(frames, recipe.crop, recipe.shares, augmentations)


def _batches(recipe: Recipe, frames: Frames, epoch: int, steps: int, *, augment: bool) -> Batches:
    return Batches(
        sampler(recipe, frames, augment=augment),
        batch=recipe.batch,
        steps=steps,
        seed=recipe.seed,
        epoch=epoch,
        workers=recipe.workers,
    )


def _epoch(
    network: keras.Model, recipe: Recipe, epoch: int, learn: Frames, held_out: Frames, callbacks: list[Any]
) -> Row:
    """Train one epoch and measure it; return its row of the history."""
    started = time.monotonic()
    validate = len(held_out) > 0 and recipe.validation_steps > 0
    validation = (
        _batches(recipe, held_out, VALIDATION_EPOCH, recipe.validation_steps, augment=False) if validate else None
    )
    logs = network.fit(
        _batches(recipe, learn, epoch, recipe.steps, augment=True),
        validation_data=validation,
        initial_epoch=epoch,
        epochs=epoch + 1,
        shuffle=False,
        verbose=0,
        callbacks=callbacks,
    ).history
    row = {"epoch": float(epoch + 1)} | {name: float(values[0]) for name, values in logs.items()}
    row["learning_rate"] = float(keras.ops.convert_to_numpy(network.optimizer.learning_rate))
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
    if _best(rows) is rows[-1]:
        fixed = build(recipe.spec)
        fixed.set_weights(network.get_weights())
        _save(fixed, folder.best)
    folder.write_history(rows)
    draw_curves(rows, folder.path / "curves.png")
    _save(network, folder.last)


def _save(network: keras.Model, path: Path) -> None:
    part = path.with_name(f"part-{path.name}")
    network.save(part)
    part.replace(path)


def _best(rows: Sequence[Row]) -> Row:
    """The epoch with the highest held-out score; where none was scored, the latest."""
    scored = [row for row in rows if "held_out_final" in row]
    return max(scored, key=lambda row: row["held_out_final"]) if scored else rows[-1]


def _tensorboard(wanted: bool, folder: RunFolder) -> list[Any]:
    if not wanted:
        return []
    try:
        import tensorboard  # noqa: F401
    except ImportError as error:
        raise Unavailable("--tensorboard needs TensorBoard: pip install tensorboard") from error
    return [keras.callbacks.TensorBoard(str(folder.path / "tensorboard"))]


def _describe_run(recipe: Recipe, frames: Frames, held_out: Frames, folder: RunFolder) -> None:
    facts = {
        "recipe": recipe.as_dict(),
        "data": {"frames": len(frames), "runs": frames.runs, "fingerprint": frames.fingerprint},
        "held_out_runs": held_out.runs,
    }
    folder.write_config(facts | environment())


def _line(row: Row, recipe: Recipe) -> str:
    parts = [f"epoch {row['epoch']:.0f}/{recipe.epochs}", f"loss {row['loss']:.4f}"]
    parts += [f"{name} {row[name]:.4f}" for name in ("val_loss", "held_out_final") if name in row]
    parts += [f"near {row['held_out_iou_near']:.3f} far {row['held_out_iou_far']:.3f}"] if "held_out_fp" in row else []
    parts += [f"fp {row['held_out_fp']:.0f} fn {row['held_out_fn']:.0f}"] if "held_out_fp" in row else []
    return "  ".join([*parts, f"{row['seconds']:.0f} s"])


def _report(recipe: Recipe, folder: RunFolder, rows: list[Row]) -> dict[str, Any]:
    return {
        "recipe": recipe.name,
        "run": str(folder.path),
        "model": str(folder.best),
        "epochs": len(rows),
        "best": _best(rows) if rows else None,
    }
