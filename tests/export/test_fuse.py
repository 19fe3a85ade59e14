"""Steps multiplied out into one: the same numbers, in fewer nodes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from quadfollow_export.convert import Converted
from quadfollow_export.fuse import MOST_FILTERS, fuse

CHANNELS, HEIGHT, WIDTH = 6, 10, 14


def _model(*, filters: int = 5, enlarged: bool = True, stride: int = 1, mode: str = "linear") -> Any:
    """Enlargement by 2, where it is asked for, and a separable convolution with a bias in each part."""
    rng = np.random.default_rng(3)
    constants = {
        "scales": np.array([1, 1, 2, 2], np.float32),
        "own": rng.normal(size=(CHANNELS, 1, 3, 3)).astype(np.float32),
        "own_bias": rng.normal(size=CHANNELS).astype(np.float32),
        "mixed": rng.normal(size=(filters, CHANNELS, 1, 1)).astype(np.float32),
        "bias": rng.normal(size=filters).astype(np.float32),
    }
    nodes = [
        helper.make_node(
            "Conv",
            ["large" if enlarged else "picture", "own", "own_bias"],
            ["filtered"],
            group=CHANNELS,
            pads=[1, 1, 1, 1],
            strides=[stride, stride],
        ),
        helper.make_node("Conv", ["filtered", "mixed", "bias"], ["answer"]),
    ]
    if enlarged:
        nodes.insert(0, helper.make_node("Resize", ["picture", "", "scales"], ["large"], mode=mode))
    graph = helper.make_graph(
        nodes,
        "one",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, ["N", CHANNELS, HEIGHT, WIDTH])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["N", filters, None, None])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def _kinds(model: Any) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def _answer(model: Any) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    picture = np.random.default_rng(4).normal(size=(2, CHANNELS, HEIGHT, WIDTH)).astype(np.float32)
    answer: NDArray[np.float32] = session.run(None, {"picture": picture})[0]
    return answer


def test_an_enlarged_picture_is_filtered_in_one_step() -> None:
    """Inside the picture the numbers are the same; along its edge, two pixels wide, they are not, as is said."""
    model = _model()
    fused = fuse(model)
    assert _kinds(fused) == {"ConvTranspose": 1}
    before, after = _answer(model), _answer(fused)
    assert after.shape == before.shape == (2, 5, 2 * HEIGHT, 2 * WIDTH)
    inside = (..., slice(2, -2), slice(2, -2))
    np.testing.assert_allclose(after[inside], before[inside], atol=1e-5)
    assert np.abs(after - before).max() > 1e-3


@pytest.mark.parametrize("stride", [1, 2])
def test_a_separable_convolution_becomes_a_regular_one(stride: int) -> None:
    """Whatever its stride, to the last pixel."""
    model = _model(enlarged=False, stride=stride)
    fused = fuse(model)
    assert _kinds(fused) == {"Conv": 1}
    np.testing.assert_allclose(_answer(fused), _answer(model), atol=1e-5)


def test_other_enlargements_stay() -> None:
    """What is not bilinear is not taken for it, nor an enlargement that is filtered with a stride."""
    assert _kinds(fuse(_model(mode="nearest"))) == {"Resize": 1, "Conv": 1}
    strided = _model(stride=2)
    fused = fuse(strided)
    assert _kinds(fused) == {"Resize": 1, "Conv": 1}
    np.testing.assert_allclose(_answer(fused), _answer(strided), atol=1e-5)


def test_many_filters_stay_separable() -> None:
    """Where there are many, the multiplications would tell."""
    assert _kinds(fuse(_model(filters=MOST_FILTERS))) == {"ConvTranspose": 1}
    assert _kinds(fuse(_model(filters=MOST_FILTERS + 1))) == {"Resize": 1, "Conv": 2}


def test_a_whole_network_is_fused(conversions: dict[str, Converted]) -> None:
    """No separable convolution is left of a small network; the model given stays as it is."""
    source = conversions["before-relu"].answers
    before = source.SerializeToString()
    kinds = _kinds(fuse(source))
    assert source.SerializeToString() == before
    assert kinds["ConvTranspose"] == _kinds(source)["Resize"] > 0
    assert kinds["Resize"] == 0
    assert kinds["Conv"] < _kinds(source)["Conv"]
