"""What a search found: the trials, the best numbers and which of them mattered, as JSON and as a plot."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
from optuna.importance import get_param_importances
from optuna.trial import FrozenTrial, TrialState

from quadfollow_core.files import write_whole
from quadfollow_training.recipes import Recipe
from quadfollow_training.rundir import cpu
from quadfollow_training.study.plots import draw_search
from quadfollow_training.tuning import OUTCOME
from quadfollow_training.tuning.space import RANGES, with_numbers

ENOUGH = 4
"""Whole trials from which on it is worth asking which numbers mattered."""


def report(study: optuna.Study, recipe: Recipe, out: Path) -> dict[str, Any]:
    """Write ``tuning.json`` and, once there is something to show, its plot; return what the JSON says.

    Its ``recipe`` is the one given with the best numbers, ready for ``quadfollow train --recipe``.
    """
    trials = study.get_trials(deepcopy=False)
    whole = sorted((trial for trial in trials if trial.state == TrialState.COMPLETE), key=_score, reverse=True)
    best = whole[0] if whole else None
    outcome: dict[str, Any] = {
        "search": study.study_name,
        "facts": study.user_attrs["facts"],
        "counts": {state.name.lower(): sum(trial.state == state for trial in trials) for state in TrialState},
        "best": _told(best) if best else None,
        "importance": importance(study, whole),
        "recipe": tuned(recipe, best.params if best else None).as_dict(),
        "ranges": RANGES,
        "machine": cpu(),
        "trials": [_told(trial) for trial in trials if trial.state.is_finished()],
    }
    write_whole(out / OUTCOME, json.dumps(outcome, indent=1) + "\n")
    if len(whole) >= ENOUGH:
        draw_search(outcome["trials"], outcome["importance"], out / "search.png")
    return outcome


def tuned(recipe: Recipe, numbers: dict[str, Any] | None) -> Recipe:
    """The recipe with the numbers found, or as it is where none were."""
    return with_numbers(replace(recipe, name=f"{recipe.name}-tuned"), numbers) if numbers else recipe


def importance(study: optuna.Study, whole: list[FrozenTrial]) -> dict[str, float]:
    """How much each number mattered among the whole trials (PED-ANOVA), summing to 1; empty while too few."""
    if len(whole) < ENOUGH or len({trial.value for trial in whole}) == 1:
        return {}
    return {name: round(value, 3) for name, value in get_param_importances(study).items()}


def _score(trial: FrozenTrial) -> float:
    return trial.value or 0.0


def _told(trial: FrozenTrial) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "state": trial.state.name.lower(),
        "score": trial.value,
        "by_epoch": [round(score, 4) for _, score in sorted(trial.intermediate_values.items())],
        "numbers": {name: float(f"{value:.3g}") for name, value in trial.params.items()},
    }
