"""The folder that a run leaves: its report, a film and rows, and of flights in a city or QuadSim a folder for each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from quadfollow_core.files import write_whole

REPORT = "report.json"
VIDEO, PAGE, STEPS, ROWS = "flight.mp4", "flight.png", "steps.jsonl", "frames.jsonl"
_FLIGHT = "flight_"


def flight_folder(out: Path, number: int) -> Path:
    """Where the files of one of several flights go."""
    return out / f"{_FLIGHT}{number:02d}"


def keep_report(out: Path, report: Mapping[str, Any]) -> None:
    """Write a run's report, and remove what the report that lay there lists and this one does not.

    So nobody takes an earlier run's flights for this one's. Only films, pages, rows and emptied folders of flights go.
    """
    earlier = _earlier(out)
    write_whole(out / REPORT, json.dumps(report, indent=1) + "\n")
    for path in earlier - _listed(out, report):
        path.unlink(missing_ok=True)
        if path.parent != out:
            with suppress(OSError):  # somebody's things are in it
                path.parent.rmdir()


def _earlier(out: Path) -> set[Path]:
    """What the report in a folder lists; nothing where there is none, or something else of that name."""
    try:
        return _listed(out, json.loads((out / REPORT).read_bytes()))
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return set()


def _listed(out: Path, report: Mapping[str, Any]) -> set[Path]:
    """The films, pages and rows that a report lists, where they are now: their folder may have been moved."""
    before = Path(report["files"]["report"]).parent
    named = [Path(path) for one in (report, *report.get("flights", ())) for path in one["files"].values()]
    inside = [path.relative_to(before) for path in named if path.is_relative_to(before)]
    return {out / path for path in inside if path.name in (VIDEO, PAGE, STEPS, ROWS)}
