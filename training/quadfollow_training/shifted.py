"""A separable convolution for XLA: its depthwise part as a sum of shifted products.

XLA fuses the nine products of a 3x3 kernel, forwards and backwards, into kernels that run at the memory's speed. The
grouped convolution that Keras asks for instead takes minutes to compile on a GPU, for its gradients.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable(package="quadfollow")
class ShiftedSeparableConv2D(layers.SeparableConv2D):  # type: ignore[misc]
    """Computes what :class:`keras.layers.SeparableConv2D` does with padding ``same``, from the same weights."""

    def call(self, inputs: Any) -> Any:
        """Convolve ``[N, H, W, C]``."""
        outputs = ops.conv(shifted_depthwise(inputs, self.depthwise_kernel, self.strides[0]), self.pointwise_kernel)
        return outputs if self.bias is None else outputs + self.bias


def shifted_depthwise(inputs: Any, kernel: Any, stride: int) -> Any:
    """Convolve each channel of ``[N, H, W, C]`` with its own plane of a ``[k, k, C, 1]`` kernel, padded as ``same``."""
    size = kernel.shape[0]
    (top, bottom, rows), (left, right, columns) = (_padding(side, size, stride) for side in inputs.shape[1:3])
    padded = ops.pad(inputs, [[0, 0], [top, bottom], [left, right], [0, 0]])
    return sum(
        padded[:, v : v + (rows - 1) * stride + 1 : stride, u : u + (columns - 1) * stride + 1 : stride]
        * kernel[v, u, :, 0]
        for v in range(size)
        for u in range(size)
    )


def _padding(side: int, kernel: int, stride: int) -> tuple[int, int, int]:
    """Pixels to add before and after, and the length that comes out."""
    length = -(-side // stride)
    whole = max((length - 1) * stride + kernel - side, 0)
    return whole // 2, whole - whole // 2, length
