"""Charts of results, as SVG files small enough to keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

OURS, OTHERS = "#3f51b5", "#9e9e9e"


def bars(path: Path, values: Mapping[str, float], title: str, unit: str) -> None:
    """Draw a bar per name, ours coloured, the first at the top."""
    figure, axes = _canvas(0.8 + 0.32 * len(values))
    names = list(values)[::-1]
    colours = [OURS if name.startswith("quadfollow") else OTHERS for name in names]
    drawn = axes.barh(names, [values[name] for name in names], color=colours)
    axes.bar_label(drawn, fmt="%.4g", padding=3)
    axes.set(title=title, xlabel=unit)
    axes.margins(x=0.12)
    _save(figure, path)


def lines(path: Path, series: Mapping[str, Sequence[tuple[float, float]]], title: str, labels: tuple[str, str]) -> None:
    """Draw a line per name through its points, on logarithmic axes."""
    figure, axes = _canvas(3.6)
    for name, points in series.items():
        kept = [point for point in points if point[1]]
        axes.plot(*zip(*kept, strict=True), marker="o", label=name)
    axes.set(title=title, xlabel=labels[0], ylabel=labels[1], xscale="log", yscale="log")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    _save(figure, path)


def _canvas(height: float) -> tuple[Any, Any]:
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "quadfollow"}  # text stays text; the same each time
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, height), layout="constrained")
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Any, path: Path) -> None:
    import matplotlib.pyplot as plt

    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None}, facecolor="white")
    plt.close(figure)
