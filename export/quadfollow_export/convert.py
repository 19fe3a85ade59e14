"""From Keras to ONNX: one conversion, one row of exact rewrites, two endings."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
import tf2onnx

from quadfollow_core.contract import INPUT
from quadfollow_core.scoring_sets import FLOAT_OUTPUT
from quadfollow_export import passes
from quadfollow_export.counts import count_macs
from quadfollow_export.graph import Graph
from quadfollow_export.head import attach_answers, attach_probabilities

OPSET = 18


@dataclass(frozen=True, slots=True)
class Converted:
    """A network as ONNX, with what was counted on the way."""

    answers: Any
    """The model to serve: ``classes`` and ``target_probability``."""
    probabilities: Any
    """The same network, answering the float probabilities of all three classes."""
    macs: int
    """Multiply-accumulates of all convolutions, per frame."""
    rewrites: dict[str, int]
    """How many places each pass changed."""


def convert(network: Any, size: tuple[int, int], least_lead: float = 0.0) -> Converted:
    """Convert a Keras network of a fixed input ``size`` = ``(width, height)``; the number of frames stays open.

    For ``least_lead`` see :mod:`quadfollow_export.head`.

    Raises:
        BadModel: the network does not end in a softmax over its classes.
    """
    plain = to_onnx(network, size)
    served, checked = Graph(plain), Graph(plain)
    rewrites = passes.apply(served)
    passes.apply(checked)
    attach_answers(served, size, least_lead)
    attach_probabilities(checked, size, least_lead)
    return Converted(served.to_model(), checked.to_model(), count_macs(plain), rewrites)


def to_onnx(network: Any, size: tuple[int, int]) -> Any:
    """Convert as tf2onnx does it: uint8 ``image`` in, float32 ``probabilities`` out."""
    width, height = size

    def answer(image: Any) -> dict[str, Any]:
        return {FLOAT_OUTPUT: network(image, training=False)}

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    signature = [tf.TensorSpec([None, height, width, 3], tf.uint8, name=INPUT)]
    model, _ = tf2onnx.convert.from_function(tf.function(answer), signature, opset=OPSET)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
    return model
