"""A network to go on training with, out of the model that was exported of it.

An export leaves of batch normalisation only what it makes of a convolution's weights and bias. Here the weights go back
where they came from; a normalisation then adds the bias and changes nothing else, until :func:`settle` measures what it
is given. So whatever was exported can be begun with, and no second file of the same network has to be kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
from numpy.typing import NDArray

from quadfollow_core.errors import BadModel
from quadfollow_training.exported import read_exported
from quadfollow_training.fcn import build
from quadfollow_training.recipe_files import MALFORMED, spec_from

Weights = NDArray[np.float32]


def unfold(path: Path) -> keras.Model:
    """Build the network of an exported model, for pictures of any size; it answers as the model does.

    Raises:
        BadModel: not an exported model of ours in 32-bit floats, or one whose normalisation comes after ReLU, where it
            is not folded.
    """
    exported, contract = read_exported(path)
    if contract.variant_of is not None:
        raise BadModel(f"{path} is a variant of lower precision: give the model that it was made of")
    try:
        spec = spec_from(contract.training["recipe"]["spec"])
    except MALFORMED as error:
        raise BadModel(f"{path} does not tell by which recipe its network was built: {error}") from error
    if spec.norm == "after-relu":
        raise BadModel(f"{path} normalises after ReLU, which cannot be unfolded: give its run's .keras file")
    network, graph = build(spec, any_size=True), _Graph(exported)
    try:
        _fill(network, graph)
    except (LookupError, ValueError) as error:
        raise BadModel(f"{path} is not as the export of its network would be: {error}") from error
    return network


def settle(network: keras.Model, pictures: Iterable[NDArray[np.uint8]]) -> None:
    """Tell every batch normalisation the mean and variance of what it is given; what the network answers stays.

    Args:
        network: any of ours.
        pictures: batches ``[N, H, W, 3]`` of one size, such as it will be trained on.
    """
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    if not norms:
        return
    given = keras.Model(network.inputs, [norm.input for norm in norms])
    batches = [[_moments(values) for values in given.predict_on_batch(batch)] for batch in pictures]
    for norm, *moments in zip(norms, *batches, strict=True):
        mean, square = np.mean(moments, axis=0)
        gamma, beta, old_mean, old_variance = norm.get_weights()
        slope = gamma / np.sqrt(old_variance + norm.epsilon)
        variance = square - mean**2
        norm.set_weights([slope * np.sqrt(variance + norm.epsilon), beta + slope * (mean - old_mean), mean, variance])


def _moments(values: Any) -> NDArray[np.float64]:
    """Mean and mean square of each channel."""
    flat = np.asarray(values, np.float64).reshape(-1, values.shape[-1])
    return np.stack([flat.mean(axis=0), (flat**2).mean(axis=0)])


def _fill(network: keras.Model, graph: _Graph) -> None:
    for layer in network.layers:
        block = layer.name.removesuffix("_conv")
        if layer.name == "probabilities":
            layer.set_weights(graph.weights(graph.output_of("probabilities", "BiasAdd")))
        elif block != layer.name:
            *kernels, bias = graph.weights(graph.given_to(graph.output_of(f"{block}_relu", "Relu")))
            layer.set_weights([*kernels, bias] if layer.use_bias else kernels)
            if not layer.use_bias:
                norm = network.get_layer(f"{block}_norm")
                zero, one = np.zeros_like(bias), np.ones_like(bias)
                norm.set_weights([one, bias, zero, one - norm.epsilon])
        elif layer.weights and not layer.name.endswith("_norm"):
            raise LookupError(f"layer {layer.name} is of a kind that is not known")


class _Graph:
    """An exported model's nodes, by what they make, and its constants."""

    def __init__(self, graph: Any) -> None:
        self._makers = {name: node for node in graph.node for name in node.output}
        self._constants = {item.name: onnx.numpy_helper.to_array(item) for item in graph.initializer}

    def output_of(self, layer: str, operation: str) -> str:
        """The name of what a layer's operation makes; TensorFlow may have numbered the layer."""
        pattern = re.compile(rf"(.*/)?{layer}(_\d+)?/{operation}\b.*")
        return next((name for name in self._makers if pattern.fullmatch(name)), f"{layer}/{operation}")

    def given_to(self, name: str) -> str:
        """The name of what is made into ``name``."""
        return str(self._makers[name].input[0])

    def weights(self, name: str) -> list[Weights]:
        """Kernels, first to last, and the bias of the convolution that makes ``name``, as Keras has them.

        A separable one over several tensors side by side was split by the export into one for each, and a sum.
        """
        node = self._makers[name]
        ends = [self._makers[part] for part in node.input] if node.op_type == "Add" else [node]
        kernels = [np.concatenate(parts, axis=2) for parts in zip(*map(self._kernels, ends), strict=True)]
        return [*kernels, sum(self._constants[end.input[2]] for end in ends if len(end.input) > 2)]

    def _kernels(self, end: Any) -> list[Weights]:
        kernel = self._constants[end.input[1]].transpose(2, 3, 1, 0)
        before = self._makers.get(end.input[0])
        if before is None or before.op_type != "Conv" or len(before.input) > 2:
            return [kernel]
        return [self._constants[before.input[1]].transpose(2, 3, 0, 1), kernel]
