"""A run's folder: its history, and where the run came from."""

from __future__ import annotations

import json

from quadfollow_training.rundir import RunFolder, environment


def test_history_is_read_back_as_written_up_to_an_epoch(tmp_path):
    """Numbers survive to the last digit, what was not measured stays absent, later epochs are cut off."""
    folder = RunFolder(tmp_path)
    rows = [
        {"epoch": 1.0, "loss": 1 / 3},
        {"epoch": 2.0, "loss": 0.1, "held_out_final": 0.5},
        {"epoch": 3.0, "loss": 0.0},
    ]
    folder.write_history(rows)
    assert folder.read_history(3) == rows
    assert folder.read_history(2) == rows[:2]
    assert RunFolder(tmp_path / "none").read_history(5) == []


def test_the_environment_names_versions_and_command():
    """A run can be traced to the packages it ran with."""
    found = environment()
    assert {"keras", "numpy", "quadfollow"} <= found["packages"].keys()
    assert found["command"]


def test_a_resumption_keeps_what_the_run_began_with(tmp_path):
    """The first command, versions and commit stay, and those of later sessions follow in order."""
    folder = RunFolder(tmp_path)
    folder.write_config({"seed": 1}, {"command": ["abandoned"]})
    folder.write_config({"seed": 1}, {"command": ["first"]})
    folder.last.touch()
    folder.write_config({"seed": 1}, {"command": ["second"]})
    folder.write_config({"seed": 1}, {"command": ["third"]})
    assert json.loads(folder.config.read_text()) == {
        "seed": 1,
        "command": ["first"],
        "resumed": [{"command": ["second"]}, {"command": ["third"]}],
    }
