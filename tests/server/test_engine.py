"""Model files: what is taken, what is refused, and on which device they run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from quadfollow_core.contract import METADATA_KEY, Contract
from quadfollow_core.errors import BadModel, NotFound, Unavailable
from quadfollow_server.device import usable_devices
from quadfollow_server.engine import load_model, read_contract

CONTRACT = Contract("colours", 64, 48)
WITH_GPU = usable_devices()["cuda"] == "usable"


def test_a_model_answers_class_and_probability_per_pixel(models: tuple[Path, Path]) -> None:
    """Red pixels come back as target, green ones as person, each where it is."""
    image = np.zeros((48, 64, 3), dtype=np.uint8)
    image[3, 5], image[40, 60] = (255, 0, 0), (0, 255, 0)
    classes, probability = load_model(models[0], "cpu").segment(image)
    assert classes.shape == probability.shape == (48, 64)
    assert classes.dtype == probability.dtype == np.uint8
    assert (classes[3, 5], probability[3, 5], classes[40, 60], probability[40, 60]) == (2, 255, 1, 0)
    assert np.count_nonzero(classes) == 2


def test_the_contract_and_the_device_can_be_read_off_a_loaded_model(models: tuple[Path, Path]) -> None:
    """A loaded model tells its contract, its file and the provider really in use."""
    model = load_model(models[0], "cpu", threads=1)
    assert model.contract == CONTRACT
    assert model.source == "colours.onnx"
    assert (model.device.asked, model.device.provider) == ("cpu", "CPUExecutionProvider")


@pytest.mark.skipif(WITH_GPU, reason="this machine has a usable GPU")
@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_an_accelerator_that_is_not_there_fails_with_reason_and_remedy(models: tuple[Path, Path], device: str) -> None:
    """Asked for an accelerator that cannot be used, loading fails and never falls back."""
    with pytest.raises(Unavailable, match=rf"device {device}: .*(install|--device cpu)"):
        load_model(models[0], device)


@pytest.mark.skipif(WITH_GPU, reason="this machine has a usable GPU")
def test_auto_takes_the_cpu_and_says_why(models: tuple[Path, Path], caplog: pytest.LogCaptureFixture) -> None:
    """Without CUDA `auto` runs on the CPU, with the reason in the device and in the log."""
    with caplog.at_level("INFO"):
        device = load_model(models[0], "auto").device
    assert (device.asked, device.provider) == ("auto", "CPUExecutionProvider")
    assert "no CUDA" in device.reason
    assert "auto chose the CPU" in caplog.text


@pytest.mark.skipif(not WITH_GPU, reason="needs a usable NVIDIA GPU")
@pytest.mark.parametrize("device", ["cuda", "auto"])
def test_cuda_is_really_in_use_where_it_works(models: tuple[Path, Path], device: str) -> None:
    """Where CUDA works, `cuda` and `auto` run on it."""
    assert load_model(models[0], device).device.provider == "CUDAExecutionProvider"


def test_every_device_is_usable_or_says_why_not() -> None:
    """The CPU is always usable; each other device is, or names its remedy."""
    devices = usable_devices()
    assert list(devices) == ["cpu", "cuda", "tensorrt"]
    assert devices["cpu"] == "usable"
    assert all(word == "usable" or "install" in word for word in devices.values())


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    """A path without a file, or that of a folder, is refused by name."""
    with pytest.raises(NotFound, match=r"nowhere\.onnx"):
        load_model(tmp_path / "nowhere.onnx")
    with pytest.raises(NotFound):
        load_model(tmp_path)


@pytest.mark.parametrize("content", [b"", b"hello world" * 20, b"\x08\x07\x12\x00"])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    """Empty, foreign and cut-off files are bad models, by name."""
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(BadModel, match=r"broken\.onnx|contract"):
        load_model(path, "cpu")


def _refused(model: onnx.ModelProto, tmp_path: Path) -> str:
    path = tmp_path / "wrong.onnx"
    onnx.save(model, path)
    with pytest.raises(BadModel) as caught:
        load_model(path, "cpu")
    return str(caught.value)


def test_a_model_without_a_contract_is_refused(tmp_path: Path, make_model: Callable[..., Any]) -> None:
    """A model without contract is refused with the command that writes one."""
    assert "quadfollow export" in _refused(make_model(None), tmp_path)


@pytest.mark.parametrize(
    "contract",
    [
        "not json",
        "[1]",
        "{}",
        CONTRACT.to_json().replace('"version": 1', '"version": 2'),
        CONTRACT.to_json().replace('"rgb"', '"bgr"'),
        CONTRACT.to_json().replace('"threshold": 128', '"threshold": 0'),
    ],
)
def test_a_contract_that_cannot_be_kept_is_refused(
    tmp_path: Path, make_model: Callable[..., Any], contract: str
) -> None:
    """A contract that is no JSON, of another version or with other promises is refused."""
    model = make_model(None)
    helper.set_model_props(model, {METADATA_KEY: contract})
    assert "contract" in _refused(model, tmp_path) or "colour order" in _refused(model, tmp_path)


def test_a_size_other_than_the_contracts_is_refused(tmp_path: Path, make_model: Callable[..., Any]) -> None:
    """A contract with width and height swapped does not pass."""
    assert "'image' is tensor(uint8) ['N', 48, 64, 3]" in _refused(make_model(Contract("x", 48, 64)), tmp_path)


@pytest.mark.parametrize("name", ["image", "classes", "target_probability"])
def test_inputs_and_outputs_have_the_contracts_names(tmp_path: Path, make_model: Callable[..., Any], name: str) -> None:
    """A model whose input or output is called otherwise is refused, with the names it has."""
    model = make_model(CONTRACT)
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = ["other" if item == name else item for item in names]
    for info in (*model.graph.input, *model.graph.output):
        info.name = "other" if info.name == name else info.name
    message = _refused(model, tmp_path)
    assert repr(name) in message
    assert "other" in message


def test_a_float_output_is_refused(tmp_path: Path, make_model: Callable[..., Any]) -> None:
    """Probabilities as float do not meet the contract."""
    model = make_model(CONTRACT)
    model.graph.node[-1].output[0] = "bytes"
    model.graph.node.append(helper.make_node("Cast", ["bytes"], ["target_probability"], to=TensorProto.FLOAT))
    model.graph.output[1].type.tensor_type.elem_type = TensorProto.FLOAT
    assert "tensor(float)" in _refused(model, tmp_path)


def test_an_output_of_another_size_than_it_says_is_found_by_the_warm_up(
    tmp_path: Path, make_model: Callable[..., Any]
) -> None:
    """A graph that leaves its output's size open and then answers another one is refused."""
    model = make_model(CONTRACT)
    model.graph.node[-1].output[0] = "upright"
    model.graph.node.append(helper.make_node("Transpose", ["upright"], ["target_probability"], perm=[0, 2, 1]))
    for index in (1, 2):
        model.graph.output[1].type.tensor_type.shape.dim[index].dim_param = f"unknown_{index}"
    assert "answers uint8 (64, 48)" in _refused(model, tmp_path)


def test_reading_a_contract_needs_no_device(models: tuple[Path, Path]) -> None:
    """A contract is read without opening the model on any accelerator."""
    assert read_contract(models[1]) == Contract("small", 32, 32)
