"""Model files swapped while the server runs: the new one takes over between two frames, or the old one stays."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from quadfollow_core.contract import Contract
from quadfollow_core.shipped import lower_precision
from quadfollow_server import model_keeper
from quadfollow_server.device import usable_devices
from quadfollow_server.running import RunningServer
from quadfollow_server.settings import Settings

CONTRACT = Contract("colours", 64, 48)
ANY = Settings(port=0, zmq_port=0, pub_port=0)
RED, GREEN = [50, 40], [95, 50]
"""Where the picture has its red and its green person."""


def version(data: bytes) -> str:
    """A model's version as `/info` tells it."""
    return hashlib.sha256(data).hexdigest()[:12]


@pytest.fixture
def red(make_model: Callable[..., Any]) -> bytes:
    """A model whose target is red."""
    data: bytes = make_model(CONTRACT).SerializeToString()
    return data


@pytest.fixture
def green(make_model: Callable[..., Any]) -> bytes:
    """A model of the same name whose target is green."""
    model: onnx.ModelProto = make_model(CONTRACT)
    for tensor in model.graph.initializer:
        if tensor.name in ("red", "green"):
            tensor.CopyFrom(numpy_helper.from_array(np.array(int(tensor.name == "red")), tensor.name))
    data: bytes = model.SerializeToString()
    return data


@pytest.fixture
def file(tmp_path: Path, red: bytes) -> Path:
    """A file with the red model, to be replaced."""
    path = tmp_path / "model.onnx"
    path.write_bytes(red)
    return path


def swap(file: Path, data: bytes) -> None:
    """Replace a file in one step."""
    fresh = file.with_suffix(".fresh")
    fresh.write_bytes(data)
    fresh.replace(file)


def reloads(url: str, outcome: str) -> float:
    """How many reloads ended so."""
    for line in httpx.get(f"{url}/metrics").text.splitlines():
        if line.startswith(f'quadfollow_model_reloads_total{{outcome="{outcome}"}}'):
            return float(line.split()[1])
    return 0.0


def described(url: str) -> dict[str, Any]:
    """What `/info` says of the first model."""
    model: dict[str, Any] = httpx.get(f"{url}/info").json()["models"][0]
    return model


def test_a_swapped_model_takes_over_between_two_frames(
    file: Path, red: bytes, green: bytes, dealer: Any, until: Any
) -> None:
    """Under a steady stream every frame is answered, by the old model and then by the new one, never by a mixture."""
    with RunningServer(replace(ANY, models=(str(file),))) as server:
        client = dealer(server.address)
        before = described(server.url)
        assert before["version"] == version(red)
        seen = [client.ask(number)["target"]["centroid"] for number in range(20)]
        swap(file, green)
        server.reload()
        while seen[-1] == seen[0]:
            seen.append(client.ask(len(seen))["target"]["centroid"])
        seen += [client.ask(number)["target"]["centroid"] for number in range(20)]
        turn = next(index for index, place in enumerate(seen) if place != seen[0])
        assert all(place == pytest.approx(RED) for place in seen[:turn])
        assert all(place == pytest.approx(GREEN) for place in seen[turn:])
        until(lambda: reloads(server.url, "done") == 1)
        after = described(server.url)
        assert after["version"] == version(green)
        assert after["since"] >= before["since"]


@pytest.mark.skipif(usable_devices()["openvino"] != "usable", reason="OpenVINO is not installed")
def test_a_reload_keeps_to_the_engine_that_was_fastest_at_the_start(file: Path, green: bytes, until: Any) -> None:
    """Engines are not timed beside the load that is being served: `/info` tells of the times from the start."""
    with RunningServer(replace(ANY, models=(str(file),), device="auto")) as server:
        before = described(server.url)["device"]
        swap(file, green)
        server.reload()
        until(lambda: reloads(server.url, "done") == 1)
        after = described(server.url)["device"]
    assert (after["name"], after["variant"]) == (before["name"], before["variant"])
    assert after["reason"].endswith("; when it was first loaded: " + before["reason"].split("; ")[-1])


def test_a_track_survives_the_swap(file: Path, dealer: Any, until: Any) -> None:
    """A stream's track goes on: the same target, seen by another version."""
    with RunningServer(replace(ANY, models=(str(file),))) as server:
        client = dealer(server.address)

        def track(number: int) -> Any:
            return client.ask(number, stream="a", want=["track"], captured_at=number / 20)["track"]

        for number in range(10):
            before = track(number)
        server.reload()
        until(lambda: reloads(server.url, "done") == 1)
        assert (before["state"], track(10)["state"]) == ("following", "following")
        assert track(11)["updates"] > before["updates"]


def broken(kind: str, good: bytes, make_model: Callable[..., Any]) -> bytes | None:
    """A replacement that cannot be served; None for no file at all."""
    if kind == "truncated":
        return good[: len(good) // 2]
    if kind == "empty":
        return b""
    if kind == "missing":
        return None
    contract = {"wrong size": Contract("colours", 32, 48), "no contract": None}[kind]
    data: bytes = make_model(contract).SerializeToString()
    return data


@pytest.mark.parametrize("kind", ["truncated", "empty", "missing", "wrong size", "no contract"])
def test_a_model_that_cannot_be_served_leaves_the_old_one(
    file: Path,
    red: bytes,
    green: bytes,
    make_model: Callable[..., Any],
    dealer: Any,
    until: Any,
    caplog: pytest.LogCaptureFixture,
    kind: str,
) -> None:
    """The failure is counted and told with its reason, the old model answers on, and the next good one is taken."""
    with RunningServer(replace(ANY, models=(str(file),))) as server:
        client = dealer(server.address)
        before = described(server.url)
        data = broken(kind, green, make_model)
        if data is None:
            file.unlink()
        else:
            swap(file, data)
        server.reload()
        until(lambda: reloads(server.url, "failed") == 1)
        assert client.ask(1)["target"]["centroid"] == pytest.approx(RED)
        assert described(server.url) == before
        assert httpx.get(f"{server.url}/readyz").status_code == 200
        (line,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
        assert "the models stay as they were: " in line
        swap(file, green)
        server.reload()
        until(lambda: reloads(server.url, "done") == 1)
        assert client.ask(2)["target"]["centroid"] == pytest.approx(GREEN)


def test_the_same_file_again_keeps_its_date(file: Path, until: Any) -> None:
    """Loading an unchanged file anew changes neither version nor date, nor how the model runs."""
    with RunningServer(replace(ANY, models=(str(file),))) as server:
        before = described(server.url)
        server.reload()
        until(lambda: reloads(server.url, "done") == 1)
        after = described(server.url)
    # That its way of running was found when it was first loaded is told in the reason alone.
    reason = {"reason": before["device"]["reason"]}
    assert after | {"device": after["device"] | reason} == before


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have servers that watch their files look at them often."""
    monkeypatch.setattr(model_keeper, "WATCH_SECONDS", 0.2)


@pytest.mark.usefixtures("often")
def test_a_watched_file_is_loaded_when_it_has_come_to_rest(file: Path, green: bytes, until: Any) -> None:
    """With `watch` a file that is replaced, in one step or by writing over it, is loaded without being asked."""
    with RunningServer(replace(ANY, models=(str(file),), watch=True)) as server:
        file.write_bytes(green)
        until(lambda: described(server.url)["version"] == version(green))
        swap(file, green + b"")
        until(lambda: reloads(server.url, "done") == 2)
        assert reloads(server.url, "failed") == 0


@pytest.mark.usefixtures("often")
def test_a_file_of_lower_precision_that_comes_later_is_a_reason_too(file: Path, until: Any) -> None:
    """The 8-bit file of a model is exported after the model itself; with `watch` the server then looks again."""
    with RunningServer(replace(ANY, models=(str(file),), watch=True)) as server:
        lower_precision(file, "int8").write_bytes(file.read_bytes())
        until(lambda: reloads(server.url, "done") == 1)


@pytest.mark.usefixtures("often")
def test_a_watched_file_that_breaks_is_tried_once(file: Path, green: bytes, until: Any) -> None:
    """A bad replacement is one failure, not one per look, and a good one after it is taken."""
    with RunningServer(replace(ANY, models=(str(file),), watch=True)) as server:
        swap(file, green[:100])
        until(lambda: reloads(server.url, "failed") == 1)
        swap(file, green)
        until(lambda: reloads(server.url, "done") == 1)
        assert reloads(server.url, "failed") == 1


@pytest.mark.usefixtures("often")
def test_without_watch_nothing_is_loaded_unasked(file: Path, green: bytes, until: Any) -> None:
    """The negative control: when a watching server has loaded a swapped file, one beside it still has the old one."""
    settings = replace(ANY, models=(str(file),))
    with RunningServer(settings) as server, RunningServer(replace(settings, watch=True)) as watching:
        before = described(server.url)
        swap(file, green)
        until(lambda: reloads(watching.url, "done") == 1)
        assert described(server.url) == before


def test_sighup_reloads_and_a_successor_has_the_new_model(file: Path, green: bytes, serve: Any, until: Any) -> None:
    """SIGHUP to the supervisor reaches the server; after a crash the next process serves what lies there then."""
    with serve("--model", str(file)) as served:
        served.wait_ready()
        swap(file, green)
        served.process.send_signal(signal.SIGHUP)
        assert version(green) in served.wait_for(' reloaded {"reason": "asked for", ')
        assert described(served.url)["version"] == version(green)
        served.child.kill()
        served.wait_ready(2)
        assert described(served.url)["version"] == version(green)
