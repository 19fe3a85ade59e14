"""Triton model repositories; `make triton-test` loads one into a real server."""

from __future__ import annotations

import json
import re
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner

from quadfollow_core.contract import METADATA_KEY, Contract
from quadfollow_core.errors import BadInput, BadModel
from quadfollow_core.shipped import find_model
from quadfollow_export.cli import export
from quadfollow_export.triton import write_repository

MODEL = find_model("follow-256")


def test_a_repository_holds_the_file_and_says_what_the_contract_says(tmp_path: Path) -> None:
    """The model's bytes, its name, shapes without the batch, and the whole contract for whoever asks Triton."""
    folder = write_repository(MODEL, tmp_path)
    assert (folder / "1" / "model.onnx").read_bytes() == MODEL.read_bytes()
    config = (folder / "config.pbtxt").read_text()
    assert folder.name == "follow-256"
    assert 'backend: "onnxruntime"' in config
    assert "dims: [ 256, 256, 3 ]" in config
    assert "KIND_GPU" in config
    (told,) = re.findall(r'string_value: "(.*)" }', config)
    assert json.loads(json.loads(f'"{told}"'))["name"] == "follow-256"
    assert not (folder / "1" / "model.py").exists()


def test_the_python_twin_is_a_program(tmp_path: Path) -> None:
    """The other backend's file compiles and names the contract's tensors."""
    folder = write_repository(MODEL, tmp_path, "python", gpu=False)
    program = (folder / "1" / "model.py").read_text()
    compile(program, "model.py", "exec")
    assert '"classes", "target_probability"' in program
    assert "KIND_CPU" in (folder / "config.pbtxt").read_text()


def test_nothing_is_overwritten_and_no_stranger_exported(tmp_path: Path) -> None:
    """A model of that name there already, or a file without a contract, is refused with the reason."""
    write_repository(MODEL, tmp_path)
    with pytest.raises(BadInput, match="is there already"):
        write_repository(MODEL, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["follow-256"]
    (tmp_path / "x.onnx").write_bytes(b"no model")
    with pytest.raises(BadModel, match="not an ONNX model"):
        write_repository(tmp_path / "x.onnx", tmp_path / "other")


def test_the_command_takes_an_exported_file(tmp_path: Path) -> None:
    """`export MODEL.onnx --triton` writes the repository alone; without it there is nothing to do."""
    done = CliRunner().invoke(export, [str(MODEL), "--triton", str(tmp_path / "repository"), "--json"])
    assert json.loads(done.output) == {"triton": str(tmp_path / "repository" / "follow-256")}
    refused = CliRunner().invoke(export, [str(MODEL), "--out", str(tmp_path / "x.onnx")])
    assert refused.exit_code == 2
    assert "exported already" in refused.output


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "..", "two words"])
def test_a_name_that_is_no_folders_is_refused(tmp_path: Path, name: str) -> None:
    """A contract names its model as it likes; nothing is written outside the repository, or half."""
    model = onnx.load(MODEL)
    onnx.helper.set_model_props(model, {METADATA_KEY: Contract(name, 256, 256).to_json()})
    onnx.save(model, tmp_path / "x.onnx")
    with pytest.raises(BadInput, match="letters, digits"):
        write_repository(tmp_path / "x.onnx", tmp_path / "repository")
    assert [path.name for path in tmp_path.iterdir()] == ["x.onnx"]


def test_a_repository_that_cannot_be_written_is_told_before_all_else(tmp_path: Path) -> None:
    """Before a network is loaded or a variant made; what was begun and failed leaves nothing behind."""
    (tmp_path / "file").touch()
    (tmp_path / "there" / "x").mkdir(parents=True)
    for repository, fault in (("file/repository", "cannot be made"), ("there", "is there already")):
        words = [str(tmp_path), "-o", str(tmp_path / "x.onnx"), "--triton", str(tmp_path / repository)]
        with pytest.raises(BadInput, match=fault):
            CliRunner().invoke(export, words, catch_exceptions=False)
