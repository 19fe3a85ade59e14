"""A run's folder: its history, and where the run came from."""

from __future__ import annotations

import json

import pytest

from quadfollow_core.errors import BadInput
from quadfollow_training.rundir import RunFolder, earlier, environment


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


def test_a_network_is_not_trained_over(tmp_path):
    """Nor a best one alone, but for a run that was killed before its first epoch was whole; an average has no run."""
    folder = RunFolder(tmp_path)
    folder.prepare(resume=False)
    folder.best.touch()
    with pytest.raises(BadInput, match="holds a network already"):
        folder.prepare(resume=False)
    folder.prepare(resume=True)
    folder.config.write_text(json.dumps({"averaged": {}}))
    with pytest.raises(BadInput, match="average"):
        folder.prepare(resume=True)


def test_a_run_of_an_earlier_version_can_be_resumed(tmp_path):
    """What it did not note is not compared, nor is how the network it began with is told of; the network's hash is."""
    folder = RunFolder(tmp_path)
    folder.write_config({"begun_with": {"init": "a.keras 1", "run": {}}}, {})
    folder.last.touch()
    folder.write_config({"begun_with": {"init": "a.keras 1", "run": {"sets": ["x"]}}, "sets": ["x"]}, {})
    with pytest.raises(BadInput, match=r"init a\.keras 1, now b\.keras 2"):
        folder.write_config({"begun_with": {"init": "b.keras 2"}}, {})


def test_another_beginning_is_told_by_its_option(tmp_path):
    """Also where the one that was given at first is left out; `begun_with` is no word of the command's."""
    folder = RunFolder(tmp_path)
    folder.write_config({"begun_with": {"init": "a.keras 1", "run": {}}, "recipe": {"epochs": 5}}, {})
    folder.last.touch()
    told = r"another network to begin with \(--init a\.keras 1, now nothing\), recipe \(epochs 5, now 9\)$"
    with pytest.raises(BadInput, match=told):
        folder.write_config({"begun_with": {}, "recipe": {"epochs": 9}}, {})


def test_an_earlier_runs_own_words_for_what_it_held_out_do_not_count(tmp_path):
    """Runs were once held out by the command alone, and the recipe named others: those that were held out decide."""
    folder = RunFolder(tmp_path)
    folder.write_config({"recipe": {"hold_out": ["a"], "epochs": 1}, "held_out_runs": ["x"]}, {})
    folder.last.touch()
    folder.require_same({"recipe": {"hold_out": ["x"], "epochs": 1}, "held_out_runs": ["x"]})
    with pytest.raises(BadInput, match="held_out_runs"):
        folder.require_same({"recipe": {"hold_out": ["a"], "epochs": 1}, "held_out_runs": ["a"]})


def test_what_a_network_was_trained_on_is_told_on(tmp_path):
    """Its sets and its averaging, which its recipe does not tell."""
    told = {"recipe": {"folders": None}, "sets": ["train"], "averaged": {"share": 0.5}}
    (tmp_path / "config.json").write_text(json.dumps(told | {"command": ["quadfollow"]}))
    assert earlier(tmp_path / "best.keras") == {"run": told}
