"""A run's folder: a later run takes the place of an earlier one, and nothing else goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from quadfollow_sim.run_folder import PAGE, ROWS, STEPS, VIDEO, flight_folder, keep_report


def run(out: Path, flights: int, *names: str) -> None:
    """Leave what a run of so many flights leaves, each with files of these names."""
    told: list[dict[str, Any]] = []
    for number in range(1, flights + 1):
        folder = flight_folder(out, number)
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            (folder / name).write_text(f"of {flights} flights")
        told.append({"files": {name: str(folder / name) for name in names}})
    keep_report(out, {"flights": told, "files": {"report": str(out / "report.json")} | told[0]["files"]})


def left(out: Path) -> set[str]:
    """The files in a folder, however deep."""
    return {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}


def test_a_run_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    """Nothing of an earlier run is left among the files of this one, and nothing that is not a run's goes."""
    run(tmp_path, 3, VIDEO, PAGE, STEPS)
    mine = ["flight_02/notes.txt", "flight_old/flight.mp4", "flight.mp4", "server.log"]
    for name in mine:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    run(tmp_path, 1, PAGE)
    assert left(tmp_path) == {*mine, "report.json", "flight_01/flight.png"}
    assert (tmp_path / "flight_01" / PAGE).read_text() == "of 1 flights"
    assert not (tmp_path / "flight_03").exists()


def test_a_folder_that_was_moved_meanwhile(tmp_path: Path) -> None:
    """What the report lists is looked for where the report lies."""
    run(tmp_path / "before", 2, PAGE)
    (tmp_path / "before").rename(tmp_path / "now")
    run(tmp_path / "before", 2, PAGE)
    run(tmp_path / "now", 1, PAGE)
    assert left(tmp_path / "now") == {"report.json", "flight_01/flight.png"}
    assert left(tmp_path / "before") == {"report.json", "flight_01/flight.png", "flight_02/flight.png"}


def test_a_folder_that_is_named_like_a_flights(tmp_path: Path) -> None:
    """What lies in it is told apart all the same."""
    out = tmp_path / "flight_07"
    run(out, 2, PAGE)
    (out / "flight_07").mkdir()
    (out / "flight_07" / VIDEO).write_text("mine")
    (out / VIDEO).write_text("film")
    keep_report(out, {"files": {"report": str(out / "report.json"), "video": str(out / VIDEO)}})
    keep_report(out, {"files": {"report": str(out / "report.json")}})
    assert left(out) == {"report.json", "flight_07/flight.mp4"}


def test_frames_replayed_after_flights(tmp_path: Path) -> None:
    """And a recording that a report lists is never touched."""
    run(tmp_path, 2, PAGE, "flight.mcap")
    (tmp_path / ROWS).write_text("rows")
    keep_report(tmp_path, {"files": {"report": str(tmp_path / "report.json"), "rows": str(tmp_path / ROWS)}})
    assert left(tmp_path) == {"report.json", ROWS, "flight_01/flight.mcap", "flight_02/flight.mcap"}


@pytest.mark.parametrize("text", ["", "[]", '{"flights": 1}', '{"files": ["flight.mp4"]}', '{"flights": [{}]}', "\xff"])
def test_a_report_of_somebody_else_removes_nothing(tmp_path: Path, text: str) -> None:
    """It is replaced, since it has this report's name; what it may name stays."""
    (tmp_path / "report.json").write_text(text, encoding="latin-1")
    (tmp_path / "flight.mp4").write_text("mine")
    run(tmp_path, 1, PAGE)
    assert left(tmp_path) == {"report.json", "flight.mp4", "flight_01/flight.png"}
    assert json.loads((tmp_path / "report.json").read_text())["flights"]
