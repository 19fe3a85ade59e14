"""A model's file as it was read, and the contract that it must meet."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime

from quadfollow_core.contract import INPUT, Contract
from quadfollow_core.errors import BadModel, NotFound
from quadfollow_server.device import PROVIDERS, RUNTIME_ERRORS, first_line
from quadfollow_server.runners import OUTPUTS

UINT8 = "tensor(uint8)"


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model file as it was when it was read; what is replaced meanwhile is not mixed with it."""

    name: str
    data: bytes

    @property
    def version(self) -> str:
        """The first 12 hexadecimal digits of its SHA-256."""
        return hashlib.sha256(self.data).hexdigest()[:12]


def read_contract(path: Path) -> Contract:
    """Read a model file's contract and check that inputs and outputs are as it says.

    Raises:
        NotFound: there is no such file.
        BadModel: it is not an ONNX model, or one that does not meet its contract.
    """
    return contract_of(read_file(path))


def read_file(path: Path) -> ModelFile:
    """Read a file as a whole.

    Raises:
        NotFound: there is none.
    """
    try:
        return ModelFile(path.name, path.read_bytes())
    except OSError as error:
        raise NotFound(f"no model file at {path}: {error.strerror}") from error


def contract_of(file: ModelFile) -> Contract:
    """Check a file on the CPU, so that what goes wrong later on a device can only be the device's fault.

    Raises:
        BadModel: see :func:`read_contract`.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(file.data, options, providers=PROVIDERS["cpu"])
    except RUNTIME_ERRORS as error:
        raise BadModel(f"{file.name} is not a model that onnxruntime can load: {first_line(error)}") from error
    contract = Contract.from_metadata(session.get_modelmeta().custom_metadata_map)
    size = [contract.height, contract.width]
    _check_tensor(file.name, "input", session.get_inputs(), INPUT, [*size, 3])
    for name in OUTPUTS:
        _check_tensor(file.name, "output", session.get_outputs(), name, size)
    return contract


def _check_tensor(file: str, kind: str, tensors: Sequence[Any], name: str, size: list[int]) -> None:
    found = {tensor.name: tensor for tensor in tensors}
    if name not in found:
        raise BadModel(f"{file} has no {kind} {name!r}; it has {', '.join(sorted(found)) or 'none'}")
    tensor = found[name]
    if tensor.type != UINT8 or not _fits(tensor.shape, size):
        raise BadModel(
            f"{file}: {kind} {name!r} is {tensor.type} {tensor.shape}; its contract needs {UINT8} {['N', *size]}"
        )


def _fits(shape: Sequence[int | str | None], size: list[int]) -> bool:
    """Whether a tensor is ``[N, *size]``; sides that the graph leaves open are settled by the warm-up run."""
    if len(shape) != len(size) + 1 or (isinstance(shape[0], int) and shape[0] != 1):
        return False
    return all(not isinstance(side, int) or side == want for side, want in zip(shape[1:], size, strict=True))
