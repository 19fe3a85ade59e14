"""Each graph rewrite is exact, happens where it should, and only there."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from quadfollow_export import passes
from quadfollow_export.affine import (
    affine_to_depthwise_conv,
    batch_norm_to_affine,
    fold_affine_into_next_conv,
    fold_affine_into_previous_conv,
)
from quadfollow_export.concat import split_separable_over_concat
from quadfollow_export.graph import Graph
from quadfollow_export.session import open_session

RANDOM = np.random.default_rng(11)
Node = tuple[str, list[str], str, dict[str, Any]]


def model_of(nodes: list[Node], constants: dict[str, np.ndarray], channels: int = 4, outputs: int = 6) -> Any:
    """A model of these nodes, from ``image`` ``[N, channels, 6, 7]`` to ``out``."""
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, [output], **attributes) for kind, inputs, output, attributes in nodes],
        "test",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", channels, 6, 7])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["N", outputs, None, None])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 8
    return model


def rewritten(model: Any, rewrite: passes.Pass) -> tuple[int, Counter[str]]:
    """Apply one pass, require the same answers to 1e-5, and return the places changed and the operators left."""
    graph = Graph(model)
    changed = rewrite(graph)
    after = graph.to_model()
    frames = RANDOM.normal(0, 1, (2, model.graph.input[0].type.tensor_type.shape.dim[1].dim_value, 6, 7))
    expected, actual = (open_session(m.SerializeToString(), 1)(frames.astype(np.float32)) for m in (model, after))
    np.testing.assert_allclose(actual[0], expected[0], rtol=1e-5, atol=1e-5)
    return changed, Counter(node.op_type for node in after.graph.node)


def normal(*shape: int) -> np.ndarray:
    """Random constants."""
    return RANDOM.normal(0.2, 1, shape)


def test_batch_norm_becomes_a_mul_and_an_add() -> None:
    """The operator BatchNormalization is its inference formula."""
    constants = {"gamma": normal(4), "beta": normal(4), "mean": normal(4), "variance": normal(4) ** 2 + 0.1}
    model = model_of([("BatchNormalization", ["image", *constants], "out", {"epsilon": 1e-3})], constants, outputs=4)
    assert rewritten(model, batch_norm_to_affine) == (1, Counter(Mul=1, Add=1))


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("group", [1, 2, 4], ids=["full", "grouped", "depthwise"])
def test_an_affine_behind_a_convolution_folds_into_it(bias: bool, group: int) -> None:
    """Scale and shift behind a convolution fold whatever its padding, groups or bias."""
    constants = {"w": normal(8, 4 // group, 3, 3), "s": normal(8, 1, 1), "t": normal(1, 8, 1, 1)}
    constants |= {"b": normal(8)} if bias else {}
    conv = ["image", "w", "b"] if bias else ["image", "w"]
    model = model_of(
        [
            ("Conv", conv, "x", {"pads": [1, 1, 1, 1], "group": group, "strides": [2, 2]}),
            ("Mul", ["s", "x"], "y", {}),
            ("Add", ["y", "t"], "out", {}),
        ],
        constants,
        outputs=8,
    )
    assert rewritten(model, fold_affine_into_previous_conv) == (1, Counter(Conv=1))


def test_an_affine_does_not_fold_into_a_convolution_others_read() -> None:
    """Another reader of the convolution wants it unscaled."""
    model = model_of(
        [
            ("Conv", ["image", "w"], "x", {}),
            ("Mul", ["x", "s"], "y", {}),
            ("Relu", ["x"], "z", {}),
            ("Add", ["y", "z"], "out", {}),
        ],
        {"w": normal(6, 4, 1, 1), "s": normal(6, 1, 1)},
    )
    assert rewritten(model, fold_affine_into_previous_conv)[0] == 0


@pytest.mark.parametrize("group", [1, 2], ids=["full", "grouped"])
def test_an_affine_folds_into_the_next_convolution_that_does_not_pad(group: int) -> None:
    """Without padding every input pixel is a scaled and shifted one."""
    model = model_of(
        [
            ("Relu", ["image"], "r", {}),
            ("Mul", ["r", "s"], "y", {}),
            ("Add", ["y", "t"], "z", {}),
            ("Conv", ["z", "w", "b"], "out", {"group": group}),
        ],
        {"s": normal(4, 1, 1), "t": normal(4, 1, 1), "w": normal(6, 4 // group, 3, 3), "b": normal(6)},
    )
    assert rewritten(model, fold_affine_into_next_conv) == (1, Counter(Relu=1, Conv=1))


def test_an_affine_stays_before_a_convolution_that_pads() -> None:
    """Padding puts zeros behind the shift, so folding would be wrong at the border."""
    nodes: list[Node] = [
        ("Relu", ["image"], "r", {}),
        ("Mul", ["r", "s"], "y", {}),
        ("Add", ["y", "t"], "z", {}),
        ("Conv", ["z", "w"], "out", {"pads": [0, 0, 1, 1]}),
    ]
    model = model_of(nodes, {"s": normal(4, 1, 1), "t": normal(4, 1, 1), "w": normal(6, 4, 3, 3)})
    assert rewritten(model, fold_affine_into_next_conv)[0] == 0
    assert rewritten(model, affine_to_depthwise_conv) == (1, Counter(Relu=1, Conv=2))


@pytest.mark.parametrize("kind", ["Mul", "Add"])
def test_half_an_affine_becomes_a_depthwise_convolution(kind: str) -> None:
    """A scale without a shift, or a shift without a scale, is an affine too."""
    model = model_of([(kind, ["image", "v"], "out", {})], {"v": normal(4, 1, 1)}, outputs=4)
    assert rewritten(model, affine_to_depthwise_conv) == (1, Counter(Conv=1))


def test_a_mul_that_two_nodes_read_keeps_its_own_answer() -> None:
    """An Add behind a Mul is only merged with it where nobody else reads the Mul."""
    model = model_of(
        [("Mul", ["image", "s"], "y", {}), ("Add", ["y", "t"], "z", {}), ("Sub", ["y", "z"], "out", {})],
        {"s": normal(4, 1, 1), "t": normal(4, 1, 1)},
        outputs=4,
    )
    assert rewritten(model, affine_to_depthwise_conv) == (2, Counter(Conv=2, Sub=1))


def test_what_is_not_per_channel_is_left_alone() -> None:
    """Scalars and constants per pixel are no affines per channel."""
    model = model_of(
        [("Mul", ["image", "scalar"], "y", {}), ("Add", ["y", "pixels"], "out", {})],
        {"scalar": np.array(0.5), "pixels": normal(1, 1, 6, 7)},
        outputs=4,
    )
    assert rewritten(model, affine_to_depthwise_conv) == (0, Counter(Mul=1, Add=1))


@pytest.mark.parametrize("parts", [2, 3])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_a_separable_convolution_over_a_concatenation_is_split(parts: int, bias: bool) -> None:
    """The sum over the parts is the convolution over the whole, borders and biases included."""
    channels = [4, *(5, 3)[: parts - 1]]
    total = sum(channels)
    constants = {f"w{index}": normal(channels[index], 4, 1, 1) for index in range(1, parts)}
    constants |= {"depthwise": normal(total, 1, 3, 3), "pointwise": normal(6, total, 1, 1)}
    constants |= {"db": normal(total), "pb": normal(6)} if bias else {}
    extra = (["db"], ["pb"]) if bias else ([], [])
    model = model_of(
        [
            *(("Conv", ["image", f"w{index}"], f"x{index}", {}) for index in range(1, parts)),
            ("Concat", ["image", *(f"x{index}" for index in range(1, parts))], "x", {"axis": 1}),
            ("Conv", ["x", "depthwise", *extra[0]], "y", {"group": total, "pads": [1, 1, 1, 1]}),
            ("Conv", ["y", "pointwise", *extra[1]], "out", {}),
        ],
        constants,
    )
    changed, left = rewritten(model, split_separable_over_concat)
    assert (changed, left["Concat"], left["Add"]) == (1, 0, parts - 1)


@pytest.mark.parametrize("reason", ["full convolution", "another reader"])
def test_a_concatenation_stays_where_splitting_is_not_exact(reason: str) -> None:
    """A convolution that mixes channels, or a second reader, keeps the concatenation."""
    group, weights = (1, normal(8, 8, 3, 3)) if reason == "full convolution" else (8, normal(8, 1, 3, 3))
    nodes: list[Node] = [
        ("Relu", ["image"], "r", {}),
        ("Concat", ["image", "r"], "x", {"axis": 1}),
        ("Conv", ["x", "w"], "y", {"group": group, "pads": [1, 1, 1, 1]}),
        ("Conv", ["y", "v"], "z" if reason == "another reader" else "out", {}),
    ]
    nodes += [("Add", ["z", "x"], "out", {})] if reason == "another reader" else []
    model = model_of(nodes, {"w": weights, "v": normal(8, 8, 1, 1)}, outputs=8)
    assert rewritten(model, split_separable_over_concat)[0] == 0


def test_the_rewrites_run_in_their_order() -> None:
    """Batch norm behind a convolution is gone after all passes: written out, then folded."""
    constants = {"w": normal(4, 4, 3, 3), "gamma": normal(4), "beta": normal(4), "mean": normal(4)}
    constants["variance"] = normal(4) ** 2 + 0.1
    model = model_of(
        [
            ("Conv", ["image", "w"], "x", {"pads": [1, 1, 1, 1]}),
            ("BatchNormalization", ["x", "gamma", "beta", "mean", "variance"], "out", {}),
        ],
        constants,
        outputs=4,
    )
    changed, left = rewritten(model, lambda graph: sum(passes.apply(graph).values()))
    assert (changed, left) == (2, Counter(Conv=1))
