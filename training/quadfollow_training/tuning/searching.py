"""The search: trial by trial, each trained epoch by epoch and given up where it falls behind."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import optuna
from optuna.study import MaxTrialsCallback
from optuna.trial import Trial, TrialState
from rich.console import Console

from quadfollow_core.errors import BadInput
from quadfollow_training.compiling import compile_network
from quadfollow_training.frames import Frames, open_frames
from quadfollow_training.holdout import held_out_score, split
from quadfollow_training.recipes import Recipe
from quadfollow_training.rundir import UNDECIDING
from quadfollow_training.sampling import sampler
from quadfollow_training.trial import fit_epoch, quicken, steps_for
from quadfollow_training.tuning.space import SEARCHED, first_try, suggest
from quadfollow_training.tuning.storage import open_search, open_storage

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


def search(
    recipe: Recipe,
    data: Sequence[Path],
    storage: str,
    *,
    name: str,
    trials: int,
    epochs: int,
    pixels: int,
    minutes: float | None = None,
    seed: int | None = None,
) -> optuna.Study:
    """Search until so many trials are finished, by this process and all others at the same storage.

    Args:
        recipe: what is trained, but for the numbers searched; trials are scored on the runs that it holds out.
        data: data sets, or folders of data sets.
        storage: a database's URL, or the path of a journal.
        name: the search's.
        trials: how many in all.
        epochs: how often a trial is scored.
        pixels: how many a trial that is not given up trains on.
        minutes: begin no further trial after so long.
        seed: of the sampler, for a search that can be repeated by one process; one that goes on takes another.

    Raises:
        BadDataset: files that cannot be used.
        BadInput: no runs to score on, a recipe that draws mistakes, or the search there is another.
    """
    if recipe.shares.mistake:
        raise BadInput(
            f"recipe {recipe.name} draws a network's mistakes, and a trial has no network whose they could be: tune a "
            "recipe with shares.mistake 0"
        )
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    frames = open_frames(data, recipe.folders)
    learn, held_out = split(frames, recipe, needed=True)
    study = open_search(open_storage(storage), name, _facts(recipe, frames, held_out, epochs, pixels), seed)
    study.enqueue_trial(first_try(recipe), skip_if_exists=True)

    def objective(trial: Trial) -> float:
        return _train(trial, shortened(suggest(trial, recipe), epochs, pixels), learn, held_out)

    def tell(_: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        scores = " ".join(f"{score:.3f}" for score in trial.intermediate_values.values())
        console.print(f"trial {trial.number} {trial.state.name.lower()}: held-out {scores}")

    if sum(trial.state in FINISHED for trial in study.trials) < trials:
        stop = MaxTrialsCallback(trials, states=FINISHED)
        study.optimize(objective, timeout=minutes and 60 * minutes, callbacks=[tell, stop])
    return study


def shortened(recipe: Recipe, epochs: int, pixels: int) -> Recipe:
    """The recipe with so many epochs and pixels: its whole schedule, the warm-up in the same proportion."""
    steps = steps_for(recipe, pixels // epochs)
    warmup = int(recipe.warmup * steps * epochs / recipe.scheduled_steps)
    return replace(recipe, epochs=epochs, steps=steps, warmup=warmup, schedule_epochs=None)


def search_on_cluster(
    recipe: Recipe, data: Sequence[Path], storage: str, pool: Executor, workers: int, **how: Any
) -> optuna.Study:
    """Search in so many processes of a cluster at the same time, all at one storage that its machines reach.

    Takes what :func:`search` takes; with a ``seed`` each process has one of its own.
    """
    seed = how.pop("seed", None)
    seeds = [None if seed is None else seed + number * how["trials"] for number in range(workers)]
    parts = [pool.submit(_take_part, recipe, data, storage, how | {"seed": one}) for one in seeds]
    for part in as_completed(parts):
        part.result()
    return optuna.load_study(study_name=how["name"], storage=open_storage(storage))


def _take_part(recipe: Recipe, data: Sequence[Path], storage: str, how: dict[str, Any]) -> None:
    """Search, and leave what was found in the storage."""
    search(recipe, data, storage, **how)


def _train(trial: Trial, recipe: Recipe, learn: Frames, held_out: Frames) -> float:
    """Train one trial and return its last held-out score.

    Raises:
        TrialPruned: after an epoch whose score is below the median of the others at that epoch.
    """
    keras.utils.set_random_seed(recipe.seed)
    network = quicken(compile_network(recipe))
    source = sampler(recipe, learn, augment=True)
    score = 0.0
    for epoch in range(recipe.epochs):
        fit_epoch(network, recipe, source, epoch)
        score = held_out_score(network.predict_on_batch, held_out, recipe.spec.input_size).final
        trial.report(score, epoch)
        if epoch + 1 < recipe.epochs and trial.should_prune():
            raise optuna.TrialPruned
    return score


def _facts(recipe: Recipe, frames: Frames, held_out: Frames, epochs: int, pixels: int) -> dict[str, Any]:
    """What decides a trial's outcome beside its numbers; whoever joins a search must agree."""
    fixed = {key: value for key, value in recipe.as_dict().items() if key not in ("name", *SEARCHED, *UNDECIDING)}
    del fixed["shares"]["target"]
    return {
        "recipe": recipe.name,
        "epochs": epochs,
        "pixels": pixels,
        "data": frames.fingerprint,
        "held_out_runs": held_out.runs,
    } | {f"recipe's {key}": value for key, value in fixed.items()}
