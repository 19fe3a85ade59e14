"""What leaves the network: the two maps a server needs, or the three probabilities a check needs.

Both end in the very same operations up to the probabilities, so ``target_probability`` is floor(255·p) of the float
variant's p to the last bit. The softmax is written out plane by plane: along three channels onnxruntime's own costs
several times as much, and comparing logits replaces its ArgMax to 64-bit numbers.

A frame may be asked to be sure of its target: where at no pixel the target's logit leads the higher of the two others
by ``least_lead``, it is lowered to a tie with them wherever it led. Such a frame has no target, and its
``target_probability`` stays below 128. What was held back has 84 or more there (a tie of three classes), so that a
request with such a threshold still finds it. Logits are compared, since near 1 a probability in 16 bits has no digits
left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from quadfollow_core.contract import CLASSES_OUTPUT, PROBABILITY_OUTPUT
from quadfollow_core.errors import BadModel
from quadfollow_core.resize import TARGET
from quadfollow_core.scoring_sets import FLOAT_OUTPUT
from quadfollow_export.graph import Graph, attribute

PLANES = ("background", "person", "target")


def attach_answers(graph: Graph, size: tuple[int, int], least_lead: float = 0.0) -> None:
    """End the graph in ``classes`` and ``target_probability``, both uint8 ``[N, H, W]``; size is (width, height)."""
    tail = _Tail(graph, find_logits(graph), least_lead)
    background, person, target = tail.logits
    others = tail.others
    is_target = tail.add("Greater", [target, others])
    is_person = tail.add("Cast", [tail.add("Greater", [person, background])], to=TensorProto.UINT8)
    tail.add("Where", [is_target, tail.constant(np.uint8(TARGET)), is_person], output=CLASSES_OUTPUT)
    scaled = tail.add("Mul", [tail.probability(TARGET), tail.constant(np.float32(255))])
    tail.add("Cast", [scaled], output=PROBABILITY_OUTPUT, to=TensorProto.UINT8)
    width, height = size
    tail.finish(
        [
            helper.make_tensor_value_info(name, TensorProto.UINT8, ["N", height, width])
            for name in (CLASSES_OUTPUT, PROBABILITY_OUTPUT)
        ]
    )


def attach_probabilities(graph: Graph, size: tuple[int, int], least_lead: float = 0.0) -> None:
    """End the graph in ``probabilities``, float32 ``[N, H, W, 3]``; size is (width, height).

    A graph that ended in the answers is taken too: it is cut off behind its logits.
    """
    tail = _Tail(graph, _cut_answers(graph) or find_logits(graph), least_lead)
    last = tail.constant(np.array([3], np.int64))
    planes = [tail.add("Unsqueeze", [tail.probability(index), last]) for index in range(len(PLANES))]
    tail.add("Concat", planes, output=FLOAT_OUTPUT, axis=3)
    width, height = size
    shape = ["N", height, width, len(PLANES)]
    tail.finish([helper.make_tensor_value_info(FLOAT_OUTPUT, TensorProto.FLOAT, shape)])


def hold_back(probabilities: NDArray[np.float32], least_lead: float) -> NDArray[np.float32]:
    """What a network's own ``[N, H, W, 3]`` probabilities become in a graph of that ``least_lead``."""
    if not least_lead:
        return probabilities
    logits = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))
    target, others = logits[..., TARGET], np.delete(logits, TARGET, axis=-1).max(axis=-1)
    is_sure = (target - others).max(axis=(1, 2), keepdims=True) >= least_lead
    logits[..., TARGET] = np.where(is_sure, target, np.minimum(target, others))
    exponents = np.exp(logits)
    held: NDArray[np.float32] = exponents / exponents.sum(axis=-1, keepdims=True)
    return held


def find_logits(graph: Graph) -> str:
    """Name the ``[N, 3, H, W]`` tensor whose softmax is the graph's only output.

    Raises:
        BadModel: the graph does not end in a softmax over classes.
    """
    node = graph.producer(graph.outputs[0].name) if len(graph.outputs) == 1 else None
    if node is not None and node.op_type == "Transpose" and attribute(node, "perm") == [0, 2, 3, 1]:
        node = graph.producer(node.input[0])
        if node is not None and node.op_type == "Softmax" and attribute(node, "axis", -1) == 1:
            return str(node.input[0])
    elif node is not None and node.op_type == "Softmax" and attribute(node, "axis", -1) in (3, -1):
        before = graph.producer(node.input[0])
        if before is not None and before.op_type == "Transpose" and attribute(before, "perm") == [0, 2, 3, 1]:
            return str(before.input[0])
    raise BadModel("the network does not end in one softmax over its classes, so there are no logits to compare")


def _cut_answers(graph: Graph) -> str | None:
    """Take off what :func:`attach_answers` put behind the logits and name them; None where it put nothing."""
    first = graph.producer(f"logit_{PLANES[0]}")
    if first is None:
        return None
    graph.nodes = graph.nodes[: graph.nodes.index(first)]
    return str(first.input[0])


class _Tail:
    """Adds nodes behind the logits and names what they make."""

    def __init__(self, graph: Graph, logits: str, least_lead: float) -> None:
        self._graph = graph
        self._nodes: list[Any] = []
        self._names = 0
        self.logits = [
            self.add("Gather", [logits, self.constant(np.int64(index))], output=f"logit_{name}", axis=1)
            for index, name in enumerate(PLANES)
        ]
        self.others = self.add("Max", [self.logits[index] for index in range(len(PLANES)) if index != TARGET])
        if least_lead:
            self.logits[TARGET] = self._hold_back(self.logits[TARGET], least_lead)
        self._exponents: list[str] = []
        self._sum = ""

    def _hold_back(self, target: str, least_lead: float) -> str:
        """The target's logit, but no higher than the others' in a frame where it leads them too little everywhere."""
        lead = self.add("ReduceMax", [self.add("Sub", [target, self.others]), self.constant(np.array([1, 2]))])
        is_sure = self.add("GreaterOrEqual", [lead, self.constant(np.float32(least_lead))])
        return self.add("Where", [is_sure, target, self.add("Min", [target, self.others])])

    def add(self, kind: str, inputs: Sequence[str], *, output: str | None = None, **attributes: Any) -> str:
        """Add one node of one output and return that output's name."""
        self._names += 1
        name = output or f"answer_{kind.lower()}_{self._names}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, value: Any) -> str:
        """Store a constant."""
        return self._graph.add_constant(np.asarray(value), "answer")

    def probability(self, index: int) -> str:
        """The softmax of one class."""
        if not self._exponents:
            peak = self.add("Max", self.logits)
            self._exponents = [self.add("Exp", [self.add("Sub", [plane, peak])]) for plane in self.logits]
            first, second, third = self._exponents
            self._sum = self.add("Add", [self.add("Add", [first, second]), third])
        return self.add("Div", [self._exponents[index], self._sum])

    def finish(self, outputs: Sequence[Any]) -> None:
        """Hand the nodes to the graph; what led to its former output goes."""
        former = {output.name for output in self._graph.outputs}
        self._graph.nodes = [node for node in self._graph.nodes if not former.intersection(node.output)]
        self._graph.nodes += self._nodes
        self._graph.outputs = list(outputs)
        self._graph.prune()
