"""One flight on one page: both paths from above; distance, view and states over time; latency."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quadfollow_core.errors import Unavailable
from quadfollow_core.files import save_whole
from quadfollow_sim.measures import VISIBLE, Loss, distance_between, losses_of, measure_sortie
from quadfollow_sim.sortie import Sortie, Step
from quadfollow_sim.world import Point

STATES = ("following", "coasting", "lost", "searching", "none")
"""From best to worst; ``none`` where no answer came to a picture that was sent."""
DRONE, TARGET, BELIEVED = "tab:blue", "tab:red", "tab:orange"
LOST, GONE = "gold", "dimgrey"
"""A loss that was recovered, and one that was not."""


def draw_page(sortie: Sortie, path: Path, title: str) -> Path:
    """Draw a flight's page as PNG and return its path.

    Raises:
        Unavailable: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise Unavailable('the page of a flight needs matplotlib: pip install "quadfollow[sim]"') from error
    figure: Any = Figure(figsize=(14, 8), layout="constrained")
    parts = figure.subplot_mosaic([["map", "distance"], ["map", "view"], ["map", "state"], ["map", "latency"]])
    figure.suptitle(f"{title}\n{_summary(sortie)}", fontsize=11)
    _draw_map(parts["map"], sortie.steps)
    times = [step.time for step in sortie.steps]
    _draw_distance(parts["distance"], times, sortie.steps)
    _draw_view(parts["view"], times, sortie.steps, losses_of(sortie))
    _draw_states(parts["state"], times, sortie.steps)
    _draw_latency(parts["latency"], times, sortie.steps)
    for name in ("distance", "view", "state"):
        parts[name].sharex(parts["latency"])
    parts["latency"].set_xlabel("seconds")
    save_whole(path, lambda part: figure.savefig(part, dpi=90))
    return path


def _summary(sortie: Sortie) -> str:
    measures = measure_sortie(sortie)
    view, error = measures["in_view"], measures["position_error_m"]
    parts = [
        f"{measures['seconds']:.1f} s",
        _view_text(view, sortie.steps),
        "never placed" if error is None else f"position off by {error:.2f} m (median)",
        f"{measures['losses']} losses, the longest {measures['longest_loss_s']:.1f} s",
        f"{measures['collisions']} touches",
    ] + ["aborted by order"] * sortie.aborted
    return "   ".join(parts)


def _view_text(view: float | None, steps: Sequence[Step]) -> str:
    if view is not None:
        return f"in view {view:.1%}"
    return "its truth untold" if steps and steps[0].visible is None else "never in view"


def _draw_map(axes: Any, steps: Sequence[Step]) -> None:
    axes.plot(*_path([step.target for step in steps]), color=TARGET, label="target")
    axes.plot(*_path([step.place for step in steps]), ".", color=BELIEVED, markersize=2, label="track")
    axes.plot(*_path([step.position for step in steps]), color=DRONE, label="drone")
    if steps:
        axes.plot(*steps[0].position[:2], "o", color=DRONE)
    axes.set(aspect="equal", adjustable="datalim", xlabel="x east, m", ylabel="y north, m")
    axes.legend(loc="best", fontsize=8)
    axes.grid(alpha=0.3)


def _path(points: Sequence[Point | None]) -> tuple[list[float], list[float]]:
    """Columns of x and y, with a gap where a point is unknown."""
    nowhere = (math.nan, math.nan, math.nan)
    known = [nowhere if point is None else point for point in points]
    return [point[0] for point in known], [point[1] for point in known]


def _draw_distance(axes: Any, times: Sequence[float], steps: Sequence[Step]) -> None:
    distances = [distance_between(step) for step in steps]
    axes.plot(times, [math.nan if value is None else value for value in distances], color=DRONE)
    axes.set(ylabel="distance, m")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)


def _draw_view(axes: Any, times: Sequence[float], steps: Sequence[Step], losses: Sequence[Loss]) -> None:
    for loss in losses:
        axes.axvspan(loss.begun, loss.begun + loss.seconds, color=LOST if loss.recovered else GONE, alpha=0.5)
    axes.plot(times, [math.nan if step.visible is None else step.visible for step in steps], color=TARGET)
    axes.axhline(VISIBLE, color="grey", linestyle=":", linewidth=1)
    axes.set(ylabel="target pixels", yscale="symlog")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)


def _draw_states(axes: Any, times: Sequence[float], steps: Sequence[Step]) -> None:
    told = [(time, step.state or "none") for time, step in zip(times, steps, strict=True) if step.outcome != "unsent"]
    axes.step([time for time, _ in told], [-STATES.index(state) for _, state in told], where="post", color=BELIEVED)
    braking = [time for time, step in zip(times, steps, strict=True) if step.braking is not None]
    axes.plot(braking, [0.5] * len(braking), "|", color="black", label="braking")
    axes.set_yticks([-level for level in range(len(STATES))], STATES, fontsize=8)
    if braking:
        axes.legend(loc="best", fontsize=8)
    axes.grid(alpha=0.3)


def _draw_latency(axes: Any, times: Sequence[float], steps: Sequence[Step]) -> None:
    values = [math.nan if step.latency_ms is None else step.latency_ms for step in steps]
    axes.plot(times, values, ".", color="grey", markersize=3)
    axes.set(ylabel="latency, ms")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
