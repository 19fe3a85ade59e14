"""Ways of running a model: all give the same answers, and the one taken is the fastest that does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper

from quadfollow_core.contract import METADATA_KEY, Contract
from quadfollow_core.errors import BadInput, NotFound, Unavailable
from quadfollow_server import openvino
from quadfollow_server.choice import Findings, Taken, best, measure, probe_frame, told
from quadfollow_server.device import usable_devices
from quadfollow_server.engine import load_model
from quadfollow_server.runners import OwnThread
from quadfollow_server.settings import Settings
from quadfollow_server.variants import VARIANTS, Variant, ways_of

SIZE = (64, 48)
WAYS = (Variant("plain"), Variant("bound", bound=True), Variant("graph", bound=True, captured=True))
Answer = tuple[NDArray[np.uint8], NDArray[np.uint8]]


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the processor run models in every way that needs no accelerator."""
    lower = Variant("int8", precision="int8")
    monkeypatch.setitem(VARIANTS, "cpu", (*WAYS, lower))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [way.name for way in WAYS])
@pytest.mark.usefixtures("ways")
def test_every_way_gives_the_same_answers_from_any_thread(models: tuple[Path, Path], name: str) -> None:
    """Each frame gets its own answer in every way, whichever of several threads asks, and keeps it."""
    plain, other = load_model(models[0], "cpu"), load_model(models[0], "cpu", variant=name)
    assert other.device.variant == name
    frames = [probe_frame(SIZE, seed) for seed in range(8)]
    answers: dict[int, Answer] = {}

    def ask(first: int) -> None:
        for number in (first, first + 4):
            answers[number] = other.segment(frames[number])

    threads = [threading.Thread(target=ask, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, frame in enumerate(frames):
        for found, expected in zip(answers[number], plain.segment(frame), strict=True):
            np.testing.assert_array_equal(found, expected)
    assert any((answers[0][0] != answers[number][0]).any() for number in range(1, 8)), "negative control"


@pytest.mark.usefixtures("ways")
def test_what_was_tried_is_told(models: tuple[Path, Path]) -> None:
    """Left the choice, loading takes one of the ways and says what each took."""
    used = load_model(models[0], "cpu").device
    assert used.variant in {way.name for way in WAYS}
    assert all(f"{way.name} " in used.reason for way in WAYS)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
@pytest.mark.usefixtures("ways")
def test_what_was_found_fastest_stays_so_for_the_next_version(models: tuple[Path, Path], way: Variant) -> None:
    """A model that is loaded again runs as it was found to be fastest, whichever way would be taken now."""
    findings: Findings = {}
    first = load_model(models[0], "cpu", findings=findings).device
    (known, found), *others = findings.items()
    assert not others
    assert found.told in first.reason
    findings[known] = Taken(("cpu", way), "tried at leisure")
    again = load_model(models[0], "cpu", findings=findings).device
    assert (again.variant, again.reason) == (way.name, "asked for; when it was first loaded: tried at leisure")
    assert "tried cpu plain" in load_model(models[0], "cpu").device.reason, "control: without findings it is measured"


@pytest.mark.usefixtures("ways")
def test_ways_are_measured_anew_when_there_are_others(models: tuple[Path, Path], tmp_path: Path) -> None:
    """A file of lower precision that came later is tried; what was found without it counts again once it has gone."""
    model, findings = Path(shutil.copy(models[0], tmp_path)), Findings()
    without = load_model(model, "cpu", findings=findings)
    _write_lower(model, without.version)
    assert "cpu int8" in load_model(model, "cpu", findings=findings).device.reason
    assert len(findings) == 2
    model.with_suffix(".int8.onnx").unlink()
    assert load_model(model, "cpu", findings=findings).device.variant == without.device.variant
    assert len(findings) == 2


def test_a_way_that_can_no_longer_be_gone_is_left(
    models: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the engine that was fastest cannot be opened any more, another one runs the model, and the log says why."""
    monkeypatch.setattr(openvino, "PACKAGE", "no-such-package")
    ways = tuple(ways_of(("cpu", "openvino"))[:2])
    findings: Findings = {(models[0], ways): Taken(ways[1], "tried at leisure")}
    with caplog.at_level("INFO"):
        used = load_model(models[0], "auto", findings=findings).device
    assert (used.name, used.variant) == ("cpu", "plain")
    assert "leisure" not in used.reason
    assert "does without plain on openvino" in caplog.text


@pytest.mark.skipif(usable_devices()["cuda"] == "usable", reason="this machine has a usable GPU")
def test_a_model_that_ran_on_the_gpu_does_not_leave_it_unnoticed(models: tuple[Path, Path]) -> None:
    """Where CUDA fails as a model is loaded anew, that fails; for another model, which never ran there, it does not."""
    ways = tuple(ways_of(("cuda",)))
    findings: Findings = {(models[0], ways): Taken(ways[0], "tried at leisure")}
    with pytest.raises(Unavailable, match="cuda"):
        load_model(models[0], "auto", findings=findings)
    assert load_model(models[1], "auto", findings=findings).device.name in ("cpu", "openvino")


def test_a_way_that_a_device_does_not_have_is_refused(models: tuple[Path, Path]) -> None:
    """Asked for by name, a variant of another device is bad input; so is one that nobody has."""
    with pytest.raises(BadInput, match="no variant 'graph': use plain"):
        load_model(models[0], "cpu", variant="graph")
    with pytest.raises(BadInput, match="variant is one of"):
        Settings(variant="fastest")


def _answer(image: NDArray[np.uint8]) -> Answer:
    classes = (image[..., 0] > 128).astype(np.uint8)
    return classes, 255 * classes


def _slow(image: NDArray[np.uint8]) -> Answer:
    time.sleep(0.002)
    return _answer(image)


def test_the_fastest_way_is_taken() -> None:
    """A faster way is taken, but no lower precision that gains little."""
    plain, faster = (("cpu", Variant(name)) for name in ("plain", "faster"))
    tried = measure({plain: _slow, faster: _answer}, SIZE)
    assert best(tried) == faster
    assert "cpu faster" in told(tried)
    rounded = ("openvino", Variant("rounded", rounded=True))
    coarse = ("openvino", Variant("coarse", precision="int8"))
    assert best({plain: 1.0, coarse: 0.95}) == plain
    assert best({plain: 1.0, coarse: 0.5}) == coarse
    assert best({plain: 1.0, rounded: 0.52, coarse: 0.5}) == rounded, "finer, nearly as fast"
    assert best({plain: 1.0, rounded: 0.52, coarse: 0.4}) == coarse


def _write_lower(model: Path, of: str) -> None:
    lower = onnx.load(model)
    contract = Contract("colours", *SIZE, checks={"variant": {"precision": "int8", "of": of}})
    helper.set_model_props(lower, {METADATA_KEY: contract.to_json()})
    onnx.save(lower, model.with_suffix(".int8.onnx"))


@pytest.mark.usefixtures("ways")
def test_a_lower_precision_is_taken_only_from_the_same_version(models: tuple[Path, Path], tmp_path: Path) -> None:
    """A variant's file counts where it was made of exactly this model; the model's own name and version stay."""
    model = Path(shutil.copy(models[0], tmp_path))
    with pytest.raises(NotFound, match=r"colours\.int8\.onnx"):
        load_model(model, "cpu", variant="int8")
    _write_lower(model, "of another")
    with pytest.raises(NotFound, match="another version"):
        load_model(model, "cpu", variant="int8")
    plain = load_model(model, "cpu", variant="plain")
    _write_lower(model, plain.version)
    lower = load_model(model, "cpu", variant="int8")
    assert (lower.device.variant, lower.version, lower.source) == ("int8", plain.version, "colours.onnx")


def test_what_fails_on_a_thread_of_its_own_fails_where_it_was_asked_for() -> None:
    """An error in making or in running reaches the caller, and the thread goes on."""

    def make() -> Any:
        raise NotFound("nothing to run")

    with pytest.raises(NotFound, match="nothing to run"):
        OwnThread(make)

    def run(image: NDArray[np.uint8]) -> Answer:
        if not image.any():
            raise NotFound("an empty frame")
        return _answer(image)

    runner = OwnThread(lambda: run)
    with pytest.raises(NotFound, match="an empty frame"):
        runner(np.zeros((2, 2, 3), np.uint8))
    assert runner(np.full((2, 2, 3), 200, np.uint8))[0].all()


def test_openvino_is_loaded_and_calls_nobody(models: tuple[Path, Path], tmp_path: Path) -> None:
    """Its telemetry would fork the server and write a file at home; a session runs without."""
    if {"openvino", "openvino-telemetry"} - {one.name for one in distributions()}:
        pytest.skip("OpenVINO or its telemetry is not installed")
    script = (
        "import os, pathlib, sys\n"
        "forks = []\n"
        "os.register_at_fork(before=lambda: forks.append(1))\n"
        "from quadfollow_server.openvino import OpenVinoRunner\n"
        "OpenVinoRunner(pathlib.Path(sys.argv[1]).read_bytes(), 1)\n"
        "sys.exit(len(forks))\n"
    )
    environment = os.environ | {"HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    ended = subprocess.run([sys.executable, "-c", script, str(models[0])], env=environment, check=False, timeout=300)
    assert ended.returncode == 0
    assert list(tmp_path.iterdir()) == []
