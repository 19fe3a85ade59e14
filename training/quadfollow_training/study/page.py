"""The page on the network: a text with gaps, filled from the study's results and a search's outcome."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from quadfollow_core.files import write_whole
from quadfollow_training.study import tables
from quadfollow_training.study.plots import draw_costs, draw_scores, draw_sizes
from quadfollow_training.study.results import Result, Results
from quadfollow_training.study.summary import Summaries, noise_in_words, summarise
from quadfollow_training.study.tables import answer, says
from quadfollow_training.study.tuned import found_by_search


def write_page(results: Results, page: Path, tuning: Path) -> dict[str, Any]:
    """Write the page and its plots, and say what they were made from.

    Args:
        results: the study's results.
        page: the Markdown file; plots go to ``img/`` beside it.
        tuning: the folder of a search's outcome; without one the page says so.

    Raises:
        NotFound: there are no results.
        BadInput: results that cannot be compared.
    """
    found = results.by_arm()
    summaries = summarise(found)
    pictures = page.parent / "img"
    draw_scores(summaries, pictures / "study-scores.png")
    draw_costs(summaries, pictures / "study-costs.png")
    draw_sizes(summaries, pictures / "study-sizes.png")
    text = Template((files(__package__) / "page.md").read_text(encoding="utf-8"))
    gaps = _facts(found, results.folder) | _tables(found, summaries) | _answers(summaries)
    write_whole(page, text.substitute(gaps, tuned=found_by_search(tuning, pictures)).rstrip() + "\n")
    return {"page": str(page), "arms": len(found), "results": sum(map(len, found.values()))}


def _facts(found: dict[str, list[Result]], folder: Path) -> dict[str, str]:
    every = [result for results in found.values() for result in results]
    data = every[0]["data"]
    return {
        "million": f"{every[0]['pixels'] / 1e6:.0f}",
        "learn": f"{data['frames']:,}",
        "held_out": f"{data['held_out_frames']:,}",
        "runs": " and ".join(data["held_out_runs"]),
        "machine": " and ".join(sorted({result["machine"] for result in every})),
        "commits": ", ".join(sorted({str(result["git_commit"])[:7] for result in every})),
        "folder": folder.as_posix(),
    }


def _tables(found: dict[str, list[Result]], summaries: Summaries) -> dict[str, str]:
    return {
        "noise": noise_in_words(summaries),
        "all_arms": tables.scores(list(summaries.values())),
        "labels": "\n".join(f"- **{name}**: {summary.arm.label}" for name, summary in summaries.items()),
        "by_size": tables.sizes(summaries),
        "classifier": tables.places(found),
        "longer": tables.passes(found),
    }


def _answers(summaries: Summaries) -> dict[str, str]:
    """What the data says to each question: its arms beside the one they are compared with."""
    questions = {
        "depth": ("depth-2", "depth-3", "depth-4", "repeats"),
        "skips": ("no-skips",),
        "stem": ("stem",),
        "input": ("input-160",),
        "separable": ("regular",),
        "upsampling": ("transposed",),
        "norm": ("norm-before", "norm-none"),
        "numbers": ("rate-0.001", "rate-0.02", "batch-16", "batch-96", "constant"),
        "frugal": ("anywhere", "no-dice", "unweighted", "whole", "seed-recipe"),
    }
    layers = {
        "says_encoder": ("depth-2", "depth-3", "depth-4", "regular"),
        "says_norm": ("norm-before", "norm-none"),
        "says_up": ("transposed",),
        "says_skip": ("no-skips", "stem"),
        "says_decoder": ("regular",),
    }
    return {gap: answer(summaries, arms) for gap, arms in questions.items()} | {
        gap: says(summaries, arms) for gap, arms in layers.items()
    }
