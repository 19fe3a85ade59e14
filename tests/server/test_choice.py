"""The check of an engine's answers: honest ones pass with room to spare, wrong ones never, whatever asks for them."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from onnx import numpy_helper

from quadfollow_core.contract import Contract
from quadfollow_core.errors import BadInput, BadModel, Unavailable
from quadfollow_core.resize import TARGET
from quadfollow_core.shipped import lower_precision, shipped_models
from quadfollow_server import engine
from quadfollow_server.choice import WRONG, Findings, Probe, find_probe, wrong
from quadfollow_server.device import open_session, usable_devices
from quadfollow_server.engine import load_model
from quadfollow_server.model_file import read_contract
from quadfollow_server.openvino import OpenVinoRunner
from quadfollow_server.runners import PlainRunner, Runner
from quadfollow_server.tuning_cli import bench
from quadfollow_server.variants import VARIANTS, Variant

DEVICES = usable_devices()
WAYS = [
    (path, variant, lower_precision(path, variant.precision) if variant.precision else path)
    for path in shipped_models()
    for variant in VARIANTS["openvino"]
    if not variant.precision or lower_precision(path, variant.precision).is_file()
]
FILES = dict.fromkeys(file for _, _, file in WAYS)
with_openvino = pytest.mark.skipif(DEVICES["openvino"] != "usable", reason="OpenVINO is not installed")
without_gpu = pytest.mark.skipif(DEVICES["cuda"] == "usable", reason="this machine has a usable GPU")
Answer = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def _probe(path: Path) -> tuple[Runner, Probe]:
    model = PlainRunner(open_session(path.read_bytes(), "cpu", 1))
    probe = find_probe(model, read_contract(path).size)
    assert probe is not None, "the model marks a target on both frames"
    return model, probe


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_wrong_answers_are_told_for_every_shipped_model(file: Path) -> None:
    """An engine that marks nothing, one without its target and one that repeats itself fail; the model passes."""
    model, probe = _probe(file)

    def dead(image: NDArray[np.uint8]) -> Answer:
        return np.zeros_like(image[..., 0]), np.zeros_like(image[..., 0])

    def without_target(image: NDArray[np.uint8]) -> Answer:
        classes = model(image)[0]
        return np.where(classes == TARGET, np.uint8(0), classes), np.zeros_like(classes)

    def without_probability(image: NDArray[np.uint8]) -> Answer:
        return model(image)[0], np.zeros_like(image[..., 0])

    assert wrong(model, probe) == 0
    for engine_ in (dead, without_target, without_probability, lambda _: model(probe[0][0])):
        assert wrong(engine_, probe) > 1.5 * WRONG


@with_openvino
@pytest.mark.parametrize(("path", "variant", "file"), WAYS, ids=lambda one: getattr(one, "stem", None) or one.name)
def test_honest_answers_pass_with_room_to_spare(path: Path, variant: Variant, file: Path) -> None:
    """What OpenVINO computes in each of its ways is well within what is allowed."""
    try:
        runner = OpenVinoRunner(file.read_bytes(), 1, options=variant.options)
    except Unavailable as error:
        pytest.skip(str(error))
    share = wrong(runner, _probe(file)[1])
    assert share < 0.7 * WRONG
    assert load_model(path, "openvino", 1, variant.name).device.variant == variant.name


@pytest.fixture
def wrong_openvino(make_model: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have OpenVINO run a model whose target is green in place of any other."""
    green = _coloured(make_model, red=1, green=0)
    monkeypatch.setattr(engine, "OpenVinoRunner", lambda _, *rest: OpenVinoRunner(green, *rest))


def _coloured(make_model: Callable[..., Any], **values: int) -> bytes:
    """The colour model with other constants."""
    model: onnx.ModelProto = make_model(Contract("colours", 64, 48))
    for tensor in model.graph.initializer:
        if tensor.name in values:
            kind = numpy_helper.to_array(tensor).dtype
            tensor.CopyFrom(numpy_helper.from_array(np.array(values[tensor.name], kind), tensor.name))
    data: bytes = model.SerializeToString()
    return data


@with_openvino
@pytest.mark.usefixtures("wrong_openvino")
def test_an_engine_that_answers_wrongly_is_never_taken(
    models: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Asked for by name it is refused, `auto` goes without it and says so, and tuning tells why it is left out."""
    for variant in ("auto", "plain"):
        with pytest.raises(Unavailable, match=r"not those of colours\.onnx on the CPU"):
            load_model(models[0], "openvino", variant=variant)
    used = load_model(models[0], "auto", variant="plain").device
    assert used.name == "cpu"
    assert [record.levelname for record in caplog.records if "on the CPU" in record.message] == ["WARNING"]
    saved = tmp_path / "best.env"
    options = ["--model", str(models[0]), "--tune", "--seconds", "0.01", "--save", str(saved), "--json"]
    told = json.loads(CliRunner().invoke(bench, options, catch_exceptions=False).stdout)
    assert {one["device"] for one in told["settings"]} <= {"cpu", "cuda", "tensorrt"}
    assert any("not those of" in one["reason"] for one in told["not_tried"])
    assert "openvino" not in saved.read_text()


@with_openvino
def test_the_same_engine_unchanged_is_taken(models: tuple[Path, Path]) -> None:
    """Control: the model that is refused above runs on OpenVINO as it is."""
    assert load_model(models[0], "openvino", variant="plain").device.provider == "OpenVINO"


@with_openvino
@without_gpu
def test_a_model_that_marks_nothing_runs_the_plain_way(
    tmp_path: Path, make_model: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Where answers cannot be compared only the CPU is taken, and the log says why; a way asked for by name is gone."""
    path = tmp_path / "blind.onnx"
    path.write_bytes(_coloured(make_model, high=255))
    used = load_model(path, "auto").device
    assert (used.name, used.variant) == ("cpu", "plain")
    assert "blind.onnx marks no target" in caplog.text
    assert load_model(path, "openvino", variant="plain").device.name == "openvino"


@with_openvino
@without_gpu
def test_a_damaged_file_beside_the_model_is_only_left_out(
    models: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Junk in an optional file is warned of; asked for by name it is an error that names the file."""
    path = Path(shutil.copy(models[0], tmp_path))
    lower_precision(path, "int8").write_bytes(b"half a file")
    for device in ("auto", "openvino"):
        caplog.clear()
        assert "tried" in load_model(path, device).device.reason
        assert any(one.levelname == "WARNING" and "colours.int8.onnx" in one.message for one in caplog.records)
        with pytest.raises(BadModel, match=r"colours\.int8\.onnx is not a model"):
            load_model(path, device, variant="int8")
    options = ["--model", str(path), "--tune", "--seconds", "0.01", "--json"]
    told = json.loads(CliRunner().invoke(bench, options, catch_exceptions=False).stdout)
    assert any("colours.int8.onnx" in one["reason"] for one in told["not_tried"])
    caplog.clear()
    load_model(path, "cpu")
    assert "int8" not in caplog.text, "nobody asks for it there"


@without_gpu
def test_auto_goes_by_which_device_has_the_variant() -> None:
    """What only OpenVINO has runs there; what only CUDA has fails for CUDA's own reason; what none has is bad input."""
    path = next(path for path in shipped_models() if lower_precision(path, "int8").is_file())
    if DEVICES["openvino"] == "usable":
        used = load_model(path, "auto", 1, "int8").device
        assert (used.asked, used.name, used.variant) == ("auto", "openvino", "int8")
    else:
        with pytest.raises(Unavailable, match="device openvino"):
            load_model(path, "auto", 1, "int8")
    with pytest.raises(Unavailable, match=r"device cuda: .*driver"):
        load_model(path, "auto", 1, "graph")
    with pytest.raises(BadInput, match="no variant 'fp16': use plain"):
        load_model(path, "auto", 1, "fp16")


def test_a_single_way_is_remembered(models: tuple[Path, Path]) -> None:
    """Where there is nothing to choose from, too, a reload knows on which device the model ran."""
    findings: Findings = {}
    load_model(models[0], "cpu", variant="plain", findings=findings)
    assert [found.way for found in findings.values()] == [("cpu", VARIANTS["cpu"][0])]


@pytest.mark.parametrize("device", ["cpu", "openvino"])
def test_a_reload_opens_no_second_session_where_nothing_is_compared(
    models: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    """The CPU's plain way is what others are compared with: for it alone no frames are sought."""
    if DEVICES[device] != "usable":
        pytest.skip("OpenVINO is not installed")
    findings: Findings = {}
    load_model(models[0], device, variant="plain", findings=findings)
    sought: list[Any] = []

    def seek(*given: Any) -> Probe | None:
        sought.append(given)
        return find_probe(*given)

    monkeypatch.setattr(engine, "find_probe", seek)
    load_model(models[0], device, variant="plain", findings=findings)
    assert len(sought) == (device == "openvino")


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads as Linux tells them")
@pytest.mark.parametrize(("threads", "at_once", "pool"), [(8, 1, 7), (8, 2, 6), (4, 3, 1), (2, 2, 0), (1, 2, 0)])
def test_frames_beside_each_other_get_all_threads(
    models: tuple[Path, Path], threads: int, at_once: int, pool: int
) -> None:
    """A session's own threads and those of its callers are together as many as were asked for."""
    tasks = Path("/proc/self/task")
    data, before = models[0].read_bytes(), set(tasks.iterdir())
    session = open_session(data, "cpu", threads, None, at_once)
    assert len(set(tasks.iterdir()) - before) == pool
    assert session.get_providers() == ["CPUExecutionProvider"]
