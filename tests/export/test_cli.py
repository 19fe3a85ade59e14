"""The command ``quadfollow export``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from quadfollow_core.cli import read_size
from quadfollow_core.errors import BadInput, BadModel, Unavailable
from quadfollow_core.shipped import find_model
from quadfollow_export.cli import export


def test_json_is_one_object_on_stdout(run_folder: Path, tmp_path: Path) -> None:
    """Progress goes to stderr, the result to stdout."""
    out = tmp_path / "x.onnx"
    result = CliRunner().invoke(export, [str(run_folder), "-o", str(out), "--frames", "4", "--json"])
    assert result.exception is None
    told = json.loads(result.stdout)
    assert (told["model"], told["contract"]["name"]) == (str(out), "x")
    assert "converting for frames of 48x32" in result.stderr


def test_the_summary_names_the_files(run_folder: Path, tmp_path: Path) -> None:
    """Without --json a few lines say what was proven and written."""
    options = ["--frames", "4", "--name", "other", "--float", str(tmp_path / "f.onnx")]
    result = CliRunner().invoke(export, [str(run_folder), "-o", str(tmp_path / "x.onnx"), *options])
    assert result.exception is None
    assert "largest probability difference" in result.stdout
    assert f"wrote {tmp_path / 'f.onnx'}" in result.stdout
    assert "# other" in (tmp_path / "x.md").read_text()


def test_a_missing_extra_names_its_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without tf2onnx the error says what to install."""
    for name in [name for name in sys.modules if name.startswith("quadfollow_export.") and not name.endswith("cli")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(Unavailable, match=r'pip install "quadfollow\[export\]"'):
        CliRunner().invoke(export, [str(tmp_path), "-o", "x.onnx"], catch_exceptions=False)


@pytest.mark.parametrize("text", ["256", "256x", "0x256", "256x256x3", "axb", "-1x5"])
def test_a_size_that_is_none_is_refused(text: str) -> None:
    """Two positive whole numbers, nothing else."""
    with pytest.raises(click.BadParameter, match="WIDTHxHEIGHT"):
        read_size(click.Context(export), export.params[0], text)


def test_a_size_is_width_by_height() -> None:
    """Width comes first."""
    assert read_size(click.Context(export), export.params[0], "320X240") == (320, 240)


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["--fp16", "--name", "x"], "--name means nothing to a model that is exported already"),
        (["--fp16", "--frames", "9"], "--frames means nothing"),
        (["--fp16", "--float", "x.onnx"], "--float means nothing"),
        (["--fp16", "--triton-device", "cpu"], "--triton-device means nothing without --triton"),
        (["--triton", "there", "--evaluate", "sets"], "--evaluate means nothing to --triton alone"),
    ],
)
def test_options_without_a_meaning_are_refused(words: list[str], fault: str) -> None:
    """None is ignored in silence."""
    with pytest.raises(BadInput, match=fault):
        CliRunner().invoke(export, [str(find_model()), *words], catch_exceptions=False)


def test_a_damaged_model_is_named(tmp_path: Path) -> None:
    """Whatever is to be made of it, and whatever is cut off."""
    path = tmp_path / "cut.onnx"
    path.write_bytes(find_model().read_bytes()[:-50_000])
    for words in (["--fp16"], ["--triton", str(tmp_path / "repository")]):
        with pytest.raises(BadModel, match=r"cut\.onnx is not an ONNX model of ours"):
            CliRunner().invoke(export, [str(path), *words], catch_exceptions=False)
    assert [one.name for one in tmp_path.iterdir()] == ["cut.onnx"]
