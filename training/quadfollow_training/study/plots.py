"""The page's plots, as small PNGs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import nan
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from quadfollow_core.files import save_whole
from quadfollow_training.study.summary import Summaries, sizes_of

DPI = 80


def draw_scores(summaries: Summaries, path: Path) -> None:
    """Every arm's held-out score: a bar for the mean, a dot for each seed."""
    figure = Figure(figsize=(8, 0.32 * len(summaries) + 1), layout="constrained")
    axes = figure.subplots()
    places = range(len(summaries))
    axes.barh(places, [summary.score for summary in summaries.values()], color="#9db4d6")
    for place, summary in enumerate(summaries.values()):
        axes.plot(summary.scores, [place] * len(summary.scores), "o", color="#23395b", markersize=4)
    axes.set_yticks(places, list(summaries))
    axes.invert_yaxis()
    axes.set_xlabel("held-out score; each dot is a seed")
    axes.grid(axis="x", alpha=0.3)
    _save(figure, path)


def draw_costs(summaries: Summaries, path: Path) -> None:
    """Score against arithmetic and against time."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, label, cost, unit in (
        (left, "million multiply-accumulates per frame", "macs", 1e6),
        (right, "ms per frame, one CPU thread", "latency_ms", 1),
    ):
        for name, summary in summaries.items():
            place = (summary.costs[cost] / unit, summary.score)
            axes.plot(*place, "o", color="#23395b", markersize=4)
            axes.annotate(name, place, xytext=(3, 3), textcoords="offset points", fontsize=7)
        axes.set(xlabel=label, xscale="log")
        axes.grid(alpha=0.3, which="both")
    left.set_ylabel("held-out score")
    _save(figure, path)


def draw_sizes(summaries: Summaries, path: Path) -> None:
    """The target's IoU by its size, a line for each of the arms that decide."""
    sizes = sizes_of(summaries)
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    for name, summary in summaries.items():
        if summary.arm.decides:
            rows = summary.by_size()
            axes.plot(sizes, [rows[size][1] if size in rows else nan for size in sizes], marker=".", label=name)
    axes.set(xlabel="target pixels in the frame", ylabel="IoU of the target", ylim=(0, 1))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, ncols=2)
    _save(figure, path)


def draw_search(trials: Sequence[Mapping[str, Any]], importance: Mapping[str, float], path: Path) -> None:
    """A search's trials in their order with the best so far, and which numbers mattered."""
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    whole = {trial["trial"]: trial["score"] for trial in trials if trial["state"] == "complete"}
    left.plot(whole.keys(), whole.values(), "o", color="#23395b", markersize=4, label="ran to its end")
    given_up = {trial["trial"]: trial["by_epoch"][-1] for trial in trials if trial["state"] == "pruned"}
    left.plot(given_up.keys(), given_up.values(), "x", color="#a0a0a0", markersize=5, label="given up, last score")
    left.step(whole.keys(), [*accumulate(whole.values(), max)], where="post", color="#9db4d6", label="best so far")
    left.set(xlabel="trial", ylabel="held-out score")
    left.grid(alpha=0.3)
    left.legend(fontsize=7)
    right.barh([name.replace("_", " ") for name in importance], list(importance.values()), color="#9db4d6")
    right.invert_yaxis()
    right.set_xlabel("importance (PED-ANOVA)")
    right.grid(axis="x", alpha=0.3)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    save_whole(path, lambda part: figure.savefig(part, format="png", dpi=DPI, metadata={"Software": None}))
