"""The study's results as Markdown tables, each followed by what it says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean, stdev
from typing import Any

from quadfollow_core.scoring import FOLLOWING, PATROL_TARGET
from quadfollow_training.recipes import SEED
from quadfollow_training.study.results import Result
from quadfollow_training.study.summary import Summaries, Summary, sizes_of, spread, verdict

COLUMNS = ("arm", "seeds", "score", "IoU near", "IoU far", "false", "missed", "parameters", "MMAC", "ms")
UNMEASURED = "Not measured yet."


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay rows out as a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def scores(summaries: Sequence[Summary]) -> str:
    """One row per arm: score, its parts, and what the network costs."""
    return table(COLUMNS, map(_score_row, summaries))


def _score_row(summary: Summary) -> Sequence[str]:
    costs = summary.costs
    deviation = f" ± {stdev(summary.scores):.3f}" if len(summary.results) > 1 else ""
    return (
        summary.arm.name,
        str(len(summary.results)),
        f"{summary.score:.3f}{deviation}",
        f"{summary.near:.3f}",
        f"{summary.far:.3f}",
        f"{summary.mean('fp'):.0f}",
        f"{summary.mean('fn'):.0f}",
        f"{costs['parameters']:,}",
        f"{costs['macs'] / 1e6:.1f}",
        f"{costs['latency_ms']:.1f}",
    )


def sizes(summaries: Summaries) -> str:
    """One row per arm: the target's IoU by its size, nothing where an arm has no frames of that."""
    names = sizes_of(summaries)
    found = {arm: summary.by_size() for arm, summary in summaries.items()}
    counts = {name: count for sizes in reversed(found.values()) for name, (count, _) in sizes.items()}
    heads = ("arm", *(f"{name} px ({counts[name]})" for name in names))
    rows = (
        (arm, *(f"{sizes[name][1]:.3f}" if name in sizes else "" for name in names)) for arm, sizes in found.items()
    )
    return table(heads, rows)


def answer(summaries: Summaries, arms: Sequence[str]) -> str:
    """The arms that answer a question beside the one named base, and each difference in words."""
    asked = [summaries[name] for name in arms if name in summaries]
    if "base" not in summaries or not asked:
        return UNMEASURED
    base, noise = summaries["base"], spread(summaries.values())
    said = [f"- *{summary.arm.label}*: {verdict(summary, base, noise)}." for summary in asked]
    return "\n".join([scores([base, *asked]), "", "Held-out score beside *base*:", "", *said])


def says(summaries: Summaries, arms: Sequence[str]) -> str:
    """Differences from the arm named base, in one line."""
    if "base" not in summaries:
        return UNMEASURED
    base = summaries["base"].score
    return ", ".join(f"{name} {summaries[name].score - base:+.3f}" for name in arms if name in summaries) or UNMEASURED


def places(found: dict[str, list[Result]]) -> str:
    """The classifier beside a network that marks pixels: which, and where."""
    if "classifier" not in found:
        return UNMEASURED
    classifier = found["classifier"]
    rows = [(name, *_place_row([result["passes"][-1] for result in found[name]])) for name in PLACED if name in found]
    guess = [{"places": result["passes"][-1]["same_place"]} for result in classifier]
    costs = classifier[0]["costs"]
    head = ("network", "right about presence", "median error", "near targets within 4 %", "far targets within 4 %")
    size = (
        f"The classifier has {costs['parameters']:,} parameters and {costs['macs'] / 1e6:.1f} MMAC, and was trained on "
        f"{len(classifier[0]['passes'])} times the pixels of the others."
    )
    return "\n".join([table(head, [*rows, ("the same place always", *_place_row(guess))]), "", size])


PLACED = ("base", "whole", "seed-recipe", "classifier")


def _place_row(passes: Sequence[dict[str, Any]]) -> Sequence[str]:
    medians = [told["places"]["median_distance"] for told in passes]
    shares = [[told["places"][name] for told in passes] for name in ("near_within", "far_within")]
    return (
        f"{fmean(told['presence'] for told in passes):.0%}" if "presence" in passes[0] else "",
        "most missed" if None in medians else f"{fmean(medians):.1%}",
        *("" if None in share else f"{fmean(share):.0%}" for share in shares),
    )


def passes(found: dict[str, list[Result]]) -> str:
    """One long run, scored after each budget's worth of frames."""
    if "longer" not in found:
        return UNMEASURED
    result = found["longer"][0]
    frames = result["recipe"]["steps"] * result["recipe"]["batch"]
    rows = [
        (f"{number * frames:,}", *(f"{value:.3f}" for value in _parts(told["score"])))
        for number, told in enumerate(result["passes"], 1)
    ]
    seed = SEED.epochs * SEED.steps * SEED.batch
    text = (
        f"One run at a constant rate, scored as it goes on. The seed's 20 epochs are {seed:,} whole frames, "
        f"{seed * 160 * 160 / result['pixels']:.0f} times the pixels of an arm."
    )
    return "\n".join([text, "", table(("crops seen", "score", "IoU near", "IoU far"), rows)])


def _parts(score: dict[str, Any]) -> tuple[float, ...]:
    ious = (score["sets"][name]["iou_hero"] for name in (FOLLOWING, PATROL_TARGET))
    return (score["final"], *ious)
