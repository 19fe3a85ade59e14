"""What a search found, for the page: beside the seed's numbers and those of the recipe that ships."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quadfollow_training.recipes import CROPS_256, SEED
from quadfollow_training.study.plots import draw_search
from quadfollow_training.study.tables import table
from quadfollow_training.tuning import OUTCOME
from quadfollow_training.tuning.space import numbers_of

PLOT = "study-search.png"
TEXT = (
    "**One search, as small as it is.** It began with the numbers of *base* and trained each trial on {million:.0f} "
    "million pixels, scored {epochs} times: {complete} trials ran to their end, {pruned} were given up."
)


def found_by_search(folder: Path, pictures: Path) -> str:
    """What the folder's search found, or that there was none; its plot goes to ``pictures``."""
    path = folder / OUTCOME
    if not path.exists():
        return "No search was made yet."
    outcome = json.loads(path.read_text(encoding="utf-8"))
    facts = outcome["facts"]
    text = TEXT.format(million=facts["pixels"] / 1e6, epochs=facts["epochs"], **outcome["counts"])
    if not outcome["best"]:
        return text
    draw_search(outcome["trials"], outcome["importance"], pictures / PLOT)
    return "\n\n".join([text, *_found(outcome)])


def _found(outcome: dict[str, Any]) -> Sequence[str]:
    best, importance = outcome["best"], outcome["importance"]
    columns = (numbers_of(SEED), numbers_of(CROPS_256), best["numbers"])
    rows = (
        (name.replace("_", " "), outcome["ranges"][name], *(f"{column[name]:.3g}" for column in columns))
        + (f"{importance[name]:.0%}" if name in importance else "",)
        for name in best["numbers"]
    )
    first = min(outcome["trials"], key=lambda trial: trial["trial"])
    began = "were given up" if first["score"] is None else f"had {first['score']:.3f}"
    return (
        table(("number", "searched", "seed", "crops-256", "best found", "importance"), rows),
        f"![Every trial of the search, and which numbers mattered](img/{PLOT})",
        f"The best trial's held-out score is {best['score']:.3f}; the numbers it began with {began}. Importance "
        "(PED-ANOVA) says how much of what sets the better trials apart goes with that number.",
    )
