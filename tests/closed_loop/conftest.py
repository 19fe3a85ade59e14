"""Tiny models for real servers: one that knows the target by colour, one that is blind; and patience with servers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.sim_bridge.conftest import in_step as in_step
from tests.sim_bridge.conftest import run as run
from tests.sim_bridge.conftest import walk as walk
from tests.sim_bridge.conftest import write_set as write_set
from tests.sim_bridge.unhurried import PATIENCE

from quadfollow_core.contract import CLASSES_OUTPUT, INPUT, METADATA_KEY, PROBABILITY_OUTPUT, Contract
from quadfollow_core.locate import Rule
from quadfollow_core.stream_client import StreamClient
from quadfollow_server.running import RunningServer
from quadfollow_server.settings import Settings
from quadfollow_sim import bridge, closed_loop, flight, mission
from quadfollow_sim.mission import city_is_missing

SIDE = 256


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have clients and flights of this process wait for a server that is there, however slow the machine is."""
    monkeypatch.setitem(StreamClient.__init__.__kwdefaults__, "timeout", PATIENCE)
    for clock in tuple(mission.TIMEOUT):
        monkeypatch.setitem(mission.TIMEOUT, clock, PATIENCE)
    monkeypatch.setattr(bridge, "DRAIN", PATIENCE)
    monkeypatch.setattr(closed_loop, "ANSWER_WITHIN", PATIENCE)
    for module in (flight, mission):
        monkeypatch.setattr(module, "require_server", partial(bridge.require_server, seconds=PATIENCE))


@pytest.fixture(scope="session")
def drawable() -> None:
    """Skip what flies through the city where that cannot be drawn."""
    if missing := city_is_missing():
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def colour_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose target is every pixel with red > 2.2 · max(green, blue) + 6."""
    return write_model(tmp_path_factory.mktemp("models") / "colour.onnx", weight=2.2, offset=6)


@pytest.fixture(scope="session")
def blind_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that never sees a target: no pixel is that red."""
    return write_model(tmp_path_factory.mktemp("models") / "blind.onnx", weight=2.2, offset=1000)


@pytest.fixture
def colour_server(colour_model: Path) -> Iterator[RunningServer]:
    """A server of the colour model."""
    with RunningServer(served(colour_model)) as server:
        yield server


def served(model: Path) -> Settings:
    """Settings that serve one model on free ports, leaving a core to the rest of the test."""
    return Settings(models=(str(model),), port=0, zmq_port=0, pub_port=0, device="cpu", threads=1)


def write_model(path: Path, *, weight: float, offset: float) -> Path:
    """Write a model of a pixel rule, smoothed over 3×3 pixels so that single ones do not count."""
    shape = ["N", SIDE, SIDE]
    nodes = [
        helper.make_node("Cast", [INPUT], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Split", ["planes"], ["red", "green", "blue"], axis=1, num_outputs=3),
        helper.make_node("Max", ["green", "blue"], ["cold"]),
        helper.make_node("Mul", ["cold", "weight"], ["scaled"]),
        helper.make_node("Add", ["scaled", "offset"], ["least"]),
        helper.make_node("Greater", ["red", "least"], ["warm"]),
        helper.make_node("Cast", ["warm"], ["ones"], to=TensorProto.FLOAT),
        helper.make_node("AveragePool", ["ones"], ["share"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Mul", ["share", "full"], ["levels"]),
        helper.make_node("Squeeze", ["levels", "axis"], ["flat"]),
        helper.make_node("Cast", ["flat"], [PROBABILITY_OUTPUT], to=TensorProto.UINT8),
        helper.make_node("Greater", ["flat", "half"], ["chosen"]),
        helper.make_node("Cast", ["chosen"], ["picked"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["picked", "two"], ["numbers"]),
        helper.make_node("Cast", ["numbers"], [CLASSES_OUTPUT], to=TensorProto.UINT8),
    ]
    values = {"weight": weight, "offset": offset, "full": 255.0, "half": 127.5, "two": 2.0}
    constants = [numpy_helper.from_array(np.array(value, dtype=np.float32), name) for name, value in values.items()]
    constants.append(numpy_helper.from_array(np.array([1], dtype=np.int64), "axis"))
    graph = helper.make_graph(
        nodes,
        "pixel-rule",
        [helper.make_tensor_value_info(INPUT, TensorProto.UINT8, [*shape, 3])],
        [
            helper.make_tensor_value_info(name, TensorProto.UINT8, shape)
            for name in (CLASSES_OUTPUT, PROBABILITY_OUTPUT)
        ],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, {METADATA_KEY: Contract(path.stem, SIDE, SIDE, Rule(128, 20)).to_json()})
    onnx.save(model, path)
    return path
