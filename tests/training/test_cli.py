"""The console commands, as called."""

from __future__ import annotations

import builtins
import json
import sys

import click
import pytest
from click.testing import CliRunner

from quadfollow_core.errors import BadDataset, NotFound, Unavailable
from quadfollow_training.cli import data as data_group
from quadfollow_training.cli import evaluate, train


@pytest.fixture
def call():
    """A function that runs a command and returns its result, raising what it raised."""

    def run(command, *arguments, env=None):
        return CliRunner().invoke(command, [str(a) for a in arguments], env=env, catch_exceptions=False)

    return run


@pytest.mark.parametrize("command", [train, evaluate, data_group, *data_group.commands.values()])
def test_every_command_explains_itself(call, command):
    """--help works and every option has a word of help."""
    shown = call(command, "--help")
    assert shown.exit_code == 0
    assert all(option.help for option in command.params if isinstance(option, click.Option))


def test_train_and_evaluate_print_one_json_object(call, data, evaluation, tmp_path):
    """A short run of a narrow seed, resumed and evaluated; stdout is JSON alone."""
    options = ["--data", data, "--out", tmp_path / "run", "--hold-out", "3_run1", "--filters", "2,2,2,2,2", "--json"]
    options += ["--epochs", 1, "--steps", 1, "--validation-steps", 1, "--batch", 2, "--workers", 1]
    trained = json.loads(call(train, *options).stdout)
    assert trained["epochs"] == 1
    assert json.loads(call(train, *options, "--resume").stdout) == trained
    recipe = json.loads((tmp_path / "run" / "config.json").read_text())["recipe"]
    assert recipe["hold_out"] == ["3_run1"], "who trains by it holds out the same"
    scored = call(evaluate, tmp_path / "run", "--json", env={"QUADFOLLOW_DATA": str(evaluation)})
    assert 0 <= json.loads(scored.stdout)["final"] <= 1
    assert "final score" in call(evaluate, tmp_path / "run" / "best.keras", "--data", evaluation.parent).stdout


def test_a_shipped_model_is_evaluated_by_its_name(call, evaluation):
    """As `serve` and `train --init` take it; a name that is none is told those that there are."""
    scored = json.loads(call(evaluate, "follow-160", "--data", evaluation, "--json").stdout)
    assert scored["input_size"] == [160, 160]
    with pytest.raises(NotFound, match="follow-160"):
        call(evaluate, "follow-16", "--data", evaluation)


def test_prepare_says_what_is_in_the_data(call, data):
    """Frames, classes and target sizes are counted by run, as JSON or as a table."""
    report = json.loads(call(data_group, "prepare", "--data", data, "--json").stdout)
    assert report["frames"] == 27
    assert report["runs"]["1_run1"] == {
        "folders": ["train"],
        "frames": 12,
        "with_target": 8,
        "with_people": 6,
        "median_target_pixels": 256.0,
        "target_sizes": report["runs"]["1_run1"]["target_sizes"],
    }
    assert report["runs"]["1_run1"]["target_sizes"]["160-319"] == 8
    assert sum(report["class_shares"].values()) == pytest.approx(1)
    assert "1_run1" in call(data_group, "prepare", "--data", data).stdout


def test_prepare_names_every_fault(call, data):
    """Two damaged files are both named."""
    for number in (0, 1):
        (data / "train" / "images" / f"1_run1cam1_0000{number}.jpeg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(BadDataset) as caught:
        call(data_group, "prepare", "--data", data)
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        (train, ["--filters", "2,x"]),
        (evaluate, ["--size", "256"]),
        (train, ["--epochs", "many"]),
    ],
)
def test_values_that_do_not_parse_are_usage_errors(call, command, arguments, tmp_path):
    """A malformed value ends with exit code 2 before anything is read."""
    place = [tmp_path] if command is evaluate else ["--out", tmp_path / "run"]
    result = call(command, *place, "--data", tmp_path, *arguments)
    assert result.exit_code == 2
    assert "Invalid value" in result.stderr


def test_without_keras_the_remedy_is_named(call, data, tmp_path, monkeypatch):
    """A missing extra is an error that says how to install it."""
    for name in [name for name in sys.modules if name.startswith("quadfollow_training.") and not name.endswith("cli")]:
        monkeypatch.delitem(sys.modules, name)
    real = builtins.__import__

    def without_keras(name, *rest):
        if name.split(".")[0] == "keras":
            raise ImportError("no keras", name="keras")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_keras)
    with pytest.raises(Unavailable, match=r'keras.*pip install "quadfollow\[train\]"'):
        call(train, "--data", data, "--out", tmp_path / "run")
