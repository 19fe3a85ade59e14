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
    """Write a run's report, and remove what an earlier run left that is not this one's, so that nobody takes it for it.

    Nothing goes but files of the names above that the report does not list under ``files``, and emptied folders.
    """
    write_whole(out / REPORT, json.dumps(report, indent=1) + "\n")
    own = {Path(path) for one in (report, *report.get("flights", ())) for path in one["files"].values()}
    _remove(out, {VIDEO, ROWS}, own)
    for folder in out.glob(f"{_FLIGHT}*"):
        if folder.name.removeprefix(_FLIGHT).isdecimal() and folder.is_dir():
            _remove(folder, {VIDEO, PAGE, STEPS}, own)
            with suppress(OSError):  # somebody's things are in it
                folder.rmdir()


def _remove(folder: Path, names: set[str], own: set[Path]) -> None:
    for path in {folder / name for name in names} - own:
        path.unlink(missing_ok=True)
