"""The fully convolutional network, generated from one readable specification.

The seed's network is the default: encoders of separable convolution with stride 2, ReLU and *then* batch
normalisation, a 1x1 convolution, and as many decoders of bilinear x2, concatenation with the matching encoder and
two separable convolutions. The last decoder meets the normalised input, or the stem where there is one. Other
depths, widths, regular convolutions, no skips or a stem at full resolution are a field each.

Only ``keras`` is used. TensorFlow trains the network on CPUs, and JAX on a GPU. On PyTorch crops were trained on that
GPU, a quarter as fast; on CPUs the gradient of its depthwise convolution fails.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import keras
from keras import layers

from quadfollow_core.errors import BadInput
from quadfollow_training.shifted import ShiftedSeparableConv2D

CLASSES = ("background", "person", "target")
Norm = Literal["after-relu", "before-relu", "none"]
Upsampling = Literal["bilinear", "transposed"]


@dataclass(frozen=True, slots=True)
class Spec:
    """What a network looks like. ``input_size`` is ``(width, height)``; the other numbers count filters.

    ``repeats`` is the number of convolutions in each encoder, the first of which halves the picture. ``regular`` names
    blocks of a separable network whose convolutions are regular, such as ``encoder1`` or ``decoder5b``.
    """

    input_size: tuple[int, int] = (160, 160)
    stem: int | None = None
    encoders: tuple[int, ...] = (16, 32, 64, 128, 256)
    bottleneck: int = 256
    decoders: tuple[int, ...] = (128, 64, 32, 16, 16)
    separable: bool = True
    skips: bool = True
    norm: Norm = "after-relu"
    upsampling: Upsampling = "bilinear"
    repeats: int = 1
    regular: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.encoders or len(self.encoders) != len(self.decoders):
            raise BadInput(f"{len(self.encoders)} encoders need as many decoders, got {len(self.decoders)}")
        if self.repeats < 1:
            raise BadInput(f"an encoder needs at least one convolution, got {self.repeats}")
        widths = (*self.encoders, self.bottleneck, *self.decoders, *([] if self.stem is None else [self.stem]))
        if min(widths) < 1:
            raise BadInput(f"every layer needs at least one filter, got {widths}")
        for name, value, allowed in (("norm", self.norm, Norm), ("upsampling", self.upsampling, Upsampling)):
            if value not in get_args(allowed):
                raise BadInput(f"{name} is one of {', '.join(get_args(allowed))}, got {value!r}")
        check_size(self.input_size, self.stride)

    @property
    def stride(self) -> int:
        """How many input pixels one cell of the deepest layer spans; sizes must be its multiples."""
        return int(2 ** len(self.encoders))

    def with_filters(self, encoders: tuple[int, ...]) -> Spec:
        """Give the encoders other widths, and the rest the widths that mirror them as in the seed."""
        mirrored = (*reversed(encoders[:-1]), encoders[0])
        return replace(self, encoders=encoders, bottleneck=encoders[-1], decoders=mirrored)


def check_size(size: tuple[int, int], stride: int) -> None:
    """Refuse a ``(width, height)`` that the network cannot halve evenly all the way down.

    Raises:
        BadInput: a side is not a positive multiple of ``stride``.
    """
    if any(side < stride or side % stride for side in size):
        raise BadInput(f"width and height must be multiples of {stride} (the encoders halve them), got {size}")


def build(spec: Spec, *, any_size: bool = False, shifted: bool = False) -> keras.Model:
    """Build the network: uint8 ``[N, H, W, 3]`` RGB in, float32 ``[N, H, W, 3]`` class probabilities out.

    Args:
        spec: what to build.
        any_size: leave width and height open (for training on crops); otherwise they are ``spec.input_size``. Feed
            one size per compiled function: bilinear upsampling cannot be traced with both sides unknown.
        shifted: compute depthwise convolutions as XLA runs them fastest, from the same weights.

    Raises:
        BadInput: ``spec.regular`` names a block that is not there.
    """
    width, height = (None, None) if any_size else spec.input_size
    image = keras.Input((height, width, 3), dtype="uint8", name="image")
    tensor = layers.Rescaling(1 / 127.5, offset=-1.0, name="normalise")(image)
    parts = _Parts(spec, ShiftedSeparableConv2D if shifted else layers.SeparableConv2D)
    if spec.stem is not None:
        tensor = _block(tensor, parts, spec.stem, "stem")
    levels = [tensor]
    for number, filters in enumerate(spec.encoders, 1):
        tensor = _block(tensor, parts, filters, f"encoder{number}", strides=2)
        for repeat in range(2, spec.repeats + 1):
            tensor = _block(tensor, parts, filters, f"encoder{number}_{repeat}")
        levels.append(tensor)
    tensor = _block(tensor, parts, spec.bottleneck, "bottleneck", pointwise=True)
    for number, filters in enumerate(spec.decoders, 1):
        tensor = _decode(tensor, levels[-1 - number], parts, filters, f"decoder{number}")
    outputs = layers.Conv2D(len(CLASSES), 1, activation="softmax", name="probabilities")(tensor)
    network = keras.Model(image, outputs, name="fcn")
    blocks = [layer.name.removesuffix("_conv") for layer in network.layers if layer.name.endswith("_conv")]
    if unknown := sorted(set(spec.regular) - set(blocks)):
        raise BadInput(f"regular names no such block as {', '.join(unknown)}: there are {', '.join(blocks)}")
    return network


@dataclass(frozen=True, slots=True)
class _Parts:
    """What blocks are made of: the specification, and the class of its separable convolutions."""

    spec: Spec
    separable: type[layers.Layer]


def _decode(tensor: Any, skip: Any, parts: _Parts, filters: int, name: str) -> Any:
    tensor = _upsample(tensor, parts.spec, name)
    if parts.spec.skips:
        tensor = layers.Concatenate(name=f"{name}_skip")([tensor, skip])
    tensor = _block(tensor, parts, filters, f"{name}a")
    return _block(tensor, parts, filters, f"{name}b")


def _upsample(tensor: Any, spec: Spec, name: str) -> Any:
    if spec.upsampling == "bilinear":
        return layers.UpSampling2D(2, interpolation="bilinear", name=f"{name}_up")(tensor)
    return layers.Conv2DTranspose(tensor.shape[-1], 2, strides=2, name=f"{name}_up")(tensor)


def _block(tensor: Any, parts: _Parts, filters: int, name: str, *, strides: int = 1, pointwise: bool = False) -> Any:
    """One convolution with its ReLU and batch normalisation, in the order the specification asks for."""
    spec = parts.spec
    is_separable = spec.separable and not pointwise and name not in spec.regular
    kind = parts.separable if is_separable else layers.Conv2D
    kernel = 1 if pointwise else 3
    bias = spec.norm != "before-relu"
    tensor = kind(filters, kernel, strides=strides, padding="same", use_bias=bias, name=f"{name}_conv")(tensor)
    if spec.norm == "before-relu":
        tensor = layers.BatchNormalization(name=f"{name}_norm")(tensor)
    tensor = layers.ReLU(name=f"{name}_relu")(tensor)
    if spec.norm == "after-relu":
        tensor = layers.BatchNormalization(name=f"{name}_norm")(tensor)
    return tensor
