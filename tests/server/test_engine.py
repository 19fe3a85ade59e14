"""Model files: what is taken, what is refused, and on which device they run."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quadfollow_core.contract import METADATA_KEY, Contract
from quadfollow_core.errors import BadModel, NotFound, Unavailable
from quadfollow_core.shipped import find_model
from quadfollow_server import accelerator, device, openvino
from quadfollow_server.choice import find_probe, probe_frame
from quadfollow_server.engine import load_model
from quadfollow_server.model_file import read_contract

CONTRACT = Contract("colours", 64, 48)
WITH_OPENVINO = device.usable_devices()["openvino"] == "usable"
WITH_GPU = device.usable_devices()["cuda"] == "usable"


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
@pytest.mark.parametrize("asked", ["cuda", "tensorrt"])
def test_an_accelerator_that_is_not_there_fails_with_reason_and_remedy(models: tuple[Path, Path], asked: str) -> None:
    """Asked for an accelerator that cannot be used, loading fails and never falls back."""
    with pytest.raises(Unavailable, match=rf"device {asked}: .*(install|--device cpu)"):
        load_model(models[0], asked)


@pytest.mark.skipif(WITH_GPU, reason="this machine has a usable GPU")
@pytest.mark.skipif(sys.platform != "linux", reason="borrows a library of Linux")
def test_each_thing_an_accelerator_lacks_is_told(models: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver comes first, the libraries after it; past those checks onnxruntime itself may not fall back."""
    with pytest.raises(Unavailable, match=r"no NVIDIA driver.*libcublas"):
        load_model(models[0], "cuda")
    monkeypatch.setattr(accelerator, "look", lambda _: iter(()))
    for name in ("cuda", "tensorrt"):
        with pytest.raises(Unavailable, match=f"device {name}: onnxruntime refuses"):
            load_model(models[0], name)


def test_a_session_on_another_device_than_asked_for_is_refused(models: tuple[Path, Path]) -> None:
    """A session that runs on the CPU does not pass for one on CUDA."""
    session = device.open_session(models[0].read_bytes(), "cpu")
    assert device.require_in_use(session, "cpu") == "CPUExecutionProvider"
    with pytest.raises(Unavailable, match="runs the model on CPUExecutionProvider instead"):
        device.require_in_use(session, "cuda")


@pytest.mark.skipif(WITH_GPU, reason="this machine has a usable GPU")
def test_auto_takes_the_processor_and_says_why(models: tuple[Path, Path], caplog: pytest.LogCaptureFixture) -> None:
    """Without CUDA `auto` runs on the CPU or on OpenVINO, with the reason in the device and in the log."""
    with caplog.at_level("INFO"):
        used = load_model(models[0], "auto").device
    assert (used.asked, used.provider) in {("auto", "CPUExecutionProvider"), ("auto", "OpenVINO")}
    assert "CUDA is not usable" in used.reason
    assert used.reason in caplog.text


@pytest.mark.skipif(WITH_GPU, reason="this machine has a usable GPU")
def test_auto_says_what_it_lacks(
    models: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where OpenVINO is not installed `auto` takes the CPU and names the extra; asked for it, loading fails so."""
    monkeypatch.setattr(openvino, "PACKAGE", "no-such-package")
    with caplog.at_level("INFO"):
        assert load_model(models[0], "auto").device.provider == "CPUExecutionProvider"
    assert "quadfollow[openvino]" in caplog.text
    with pytest.raises(Unavailable, match=r"no-such-package is not installed.*quadfollow\[openvino\]"):
        load_model(models[0], "openvino")


@pytest.mark.skipif(not WITH_OPENVINO, reason="OpenVINO is not installed")
def test_openvino_gives_the_answers_of_the_cpu() -> None:
    """The shipped model answers alike on OpenVINO, which computes in 32-bit floats, and on the CPU."""
    model = find_model()
    expected, found = (load_model(model, device, threads=1, variant="plain") for device in ("cpu", "openvino"))
    assert found.device.provider == "OpenVINO"
    (frame, answer), (other_frame, _) = find_probe(expected.run, found.contract.size)
    for one, other in zip(answer, found.segment(frame), strict=True):
        assert np.abs(one.astype(int) - other.astype(int)).max() <= 1
    assert (answer[1] != found.segment(other_frame)[1]).any(), "control"


@pytest.mark.skipif(not WITH_OPENVINO, reason="OpenVINO is not installed")
def test_fewer_bits_are_really_in_use() -> None:
    """In 16-bit floats the shipped model's answers are near those in 32 bits, and other ones."""
    model = find_model()
    try:
        rounded = load_model(model, "openvino", variant="bf16")
    except Unavailable as error:
        pytest.skip(str(error))
    (frame, (exact, expected)), _ = find_probe(load_model(model, "cpu").run, rounded.contract.size)
    classes, probability = rounded.segment(frame)
    assert 0 < np.mean(probability != expected) < 0.2
    assert np.abs(probability.astype(int) - expected.astype(int)).max() <= 32
    assert np.mean(classes != exact) < 0.005


@pytest.mark.skipif(not WITH_OPENVINO, reason="OpenVINO is not installed")
def test_openvino_refuses_a_model_in_a_line() -> None:
    """What is no model is refused with OpenVINO's own reason, and not with the places in its code."""
    with pytest.raises(Unavailable, match=r"^OpenVINO refuses the model: Unable to read the model"):
        openvino.OpenVinoRunner(b"nonsense", threads=1)


@pytest.mark.skipif(not WITH_OPENVINO, reason="OpenVINO is not installed")
@pytest.mark.skipif(platform.machine() not in {"x86_64", "AMD64"}, reason="others do compute in half precision")
def test_openvino_in_another_type_than_asked_for_is_refused() -> None:
    """A processor that computes in another type than it was told does not pass for one that obeys."""
    with pytest.raises(Unavailable, match=r"OpenVINO computes in \S+ on this processor, not in f16"):
        openvino.OpenVinoRunner(find_model().read_bytes(), 1, options={"INFERENCE_PRECISION_HINT": "f16"})


@pytest.mark.parametrize(
    "name",
    ["cpu", pytest.param("openvino", marks=pytest.mark.skipif(not WITH_OPENVINO, reason="OpenVINO is not installed"))],
)
def test_frames_beside_each_other_get_the_answers_they_get_alone(name: str) -> None:
    """Several threads that ask at the same time each get the answer to their own frame, as if it were alone."""
    model = load_model(find_model("seed"), name, variant="plain", at_once=2)
    frames = [probe_frame(model.contract.size, seed) for seed in range(4)]
    alone = [model.segment(frame) for frame in frames]
    with ThreadPoolExecutor(len(frames)) as pool:
        beside = list(pool.map(lambda frame: model.segment(frame, alone=False), frames * 4))
    for expected, found in zip(alone * 4, beside, strict=True):
        assert np.mean(expected[0] != found[0]) < 1e-3
        assert np.abs(expected[1].astype(int) - found[1].astype(int)).max() <= 1
    assert (alone[0][1] != alone[1][1]).any(), "control: the frames' answers differ"


@pytest.mark.skipif(not WITH_GPU, reason="needs a usable NVIDIA GPU")
@pytest.mark.parametrize("asked", ["cuda", "auto"])
def test_cuda_is_really_in_use_where_it_works(models: tuple[Path, Path], asked: str) -> None:
    """Where CUDA works, `cuda` and `auto` run on it."""
    assert load_model(models[0], asked).device.provider == "CUDAExecutionProvider"


def test_every_device_is_usable_or_says_why_not() -> None:
    """The CPU is always usable; each other device is, or names its remedy."""
    devices = device.usable_devices()
    assert list(devices) == ["cpu", "openvino", "cuda", "tensorrt"]
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
    model.graph.node[-1].output[0] = "whole"
    model.graph.node.extend(
        [
            helper.make_node("ReduceMax", ["much_red_number"], ["brightest"], keepdims=0),
            helper.make_node("Reshape", ["brightest", "one_number"], ["rows"]),
            helper.make_node("Slice", ["whole", "from", "rows", "axis"], ["target_probability"]),
        ]
    )
    for name, value in (("one_number", np.int64([1])), ("from", np.int32([0])), ("axis", np.int32([1]))):
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    model.graph.output[1].type.tensor_type.shape.dim[1].dim_param = "as many as bright"
    assert "answers uint8 (0, 64)" in _refused(model, tmp_path)


def test_a_graph_that_fails_when_it_runs_is_found_by_the_warm_up(
    tmp_path: Path, make_model: Callable[..., Any]
) -> None:
    """A graph that loads but cannot run, here for a reshape that never fits, is refused on the CPU as a bad model."""
    model = make_model(CONTRACT)
    model.graph.node[-1].output[0] = "unused"
    model.graph.node.extend(
        [
            helper.make_node("NonZero", ["much_red_number"], ["bright"]),
            helper.make_node("Reshape", ["bright", "whole"], ["numbers"]),
            helper.make_node("Cast", ["numbers"], ["target_probability"], to=TensorProto.UINT8),
        ]
    )
    model.graph.initializer.append(numpy_helper.from_array(np.int64([1, 48, 64]), "whole"))
    assert "wrong.onnx does not run: inference failed on CPUExecutionProvider" in _refused(model, tmp_path)


def test_reading_a_contract_needs_no_device(models: tuple[Path, Path]) -> None:
    """A contract is read without opening the model on any accelerator."""
    assert read_contract(models[1]) == Contract("small", 32, 32)
