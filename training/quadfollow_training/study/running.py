"""The study's loop: arm by arm, each measured once; what is on disk already is not measured again."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from quadfollow_training.frames import Frames, open_frames
from quadfollow_training.holdout import split
from quadfollow_training.recipes import OFFICIAL
from quadfollow_training.rundir import cpu, environment
from quadfollow_training.study.arms import Arm, plan
from quadfollow_training.study.costs import require_exporter
from quadfollow_training.study.measuring import measure
from quadfollow_training.study.results import Result, Results, require_comparable


def run_study(
    data: Sequence[Path],
    results: Results,
    arms: tuple[Arm, ...],
    *,
    pixels: int,
    seeds: int | None = None,
    minutes: float | None = None,
) -> dict[str, Any]:
    """Measure what is not measured yet, and say what was and what is left.

    Args:
        data: data sets, or folders of data sets; of them only the published ones are used.
        results: the folder of results.
        arms: which arms; all hold out the same runs.
        pixels: the budget of each: how many pixels it is trained on in one pass.
        seeds: seeds per arm; None for the plan's own.
        minutes: begin no further arm after so long.

    Raises:
        BadDataset: files that cannot be used.
        BadInput: the results there are of another budget or other data.
        Unavailable: the exporter is not installed.
    """
    require_exporter()
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    deadline = time.monotonic() + 60 * minutes if minutes is not None else float("inf")
    learn, held_out = split(open_frames(data, OFFICIAL), arms[0].recipe, needed=True)
    facts = {"pixels": pixels, "data": _facts(learn, held_out)}
    done, waiting = [], list(plan(arms, seeds))
    for arm, seed in _missing(results, facts, waiting):
        if time.monotonic() > deadline:
            break
        with results.claim(arm, seed) as mine:
            if not mine or results.read(arm, seed):
                continue
            result = _result(arm, seed, facts, learn, held_out)
            results.write(arm, seed, result)
        done.append(f"{arm.name}-{seed}")
        console.print(summary(result))
    left = [f"{arm.name}-{seed}" for arm, seed in _missing(results, facts, waiting)]
    return {"results": str(results.folder), "measured": done, "left": left}


def _facts(learn: Frames, held_out: Frames) -> dict[str, Any]:
    return {
        "frames": len(learn),
        "fingerprint": learn.fingerprint,
        "held_out_frames": len(held_out),
        "held_out_runs": held_out.runs,
    }


def _missing(results: Results, facts: dict[str, Any], waiting: list[tuple[Arm, int]]) -> Iterator[tuple[Arm, int]]:
    """What has no result yet; looked up one by one, since other processes add to the folder."""
    for arm, seed in waiting:
        result = results.read(arm, seed)
        if result is None:
            yield arm, seed
        else:
            require_comparable([result, facts], results.folder)


def _result(arm: Arm, seed: int, facts: dict[str, Any], learn: Frames, held_out: Frames) -> Result:
    recipe = arm.at(facts["pixels"], seed)
    surroundings = {name: value for name, value in environment().items() if name != "command"}
    return (
        {"arm": arm.name, "seed": seed}
        | facts
        | measure(arm, recipe, learn, held_out)
        | {"recipe": recipe.as_dict(), "machine": cpu(), **surroundings}
    )


def summary(result: Result) -> str:
    """One line about a result."""
    last = result["passes"][-1]
    score = f"held-out {last['score']['final']:.3f}  " if "score" in last else ""
    return f"{result['arm']} seed {result['seed']}: {score}presence {last['presence']:.3f}  {result['seconds']:.0f} s"
