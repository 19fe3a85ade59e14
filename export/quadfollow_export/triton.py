"""A model repository for NVIDIA Triton (and KServe, which runs it) from an exported ONNX file.

Two backends can run the same file: ``onnxruntime``, which NVIDIA's container has, and ``python``, which every Triton
has and which asks onnxruntime through a few lines of Python. Inputs and outputs are those of the model contract; the
frames are raw, at the model's size: decoding, locating and tracking stay with who asks.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Literal

from quadfollow_core.contract import CLASSES_OUTPUT, INPUT, METADATA_KEY, PROBABILITY_OUTPUT, Contract
from quadfollow_core.errors import BadInput
from quadfollow_core.files import part_of
from quadfollow_export.graph import read_model

Backend = Literal["onnxruntime", "python"]
MAX_BATCH = 16
"""Frames that Triton may put together."""
MAX_WAIT_US = 500
"""How long the first frame of a batch waits for others, in microseconds."""
MODEL_FILE = "model.onnx"
NAME = re.compile(r"\w[\w.-]*", re.ASCII)

CONFIG = """\
name: "{name}"
backend: "{backend}"
max_batch_size: {max_batch}
input [
  {{ name: "{input}", data_type: TYPE_UINT8, dims: [ {height}, {width}, 3 ] }}
]
output [
  {{ name: "{classes}", data_type: TYPE_UINT8, dims: [ {height}, {width} ] }},
  {{ name: "{probability}", data_type: TYPE_UINT8, dims: [ {height}, {width} ] }}
]
instance_group [ {{ kind: {kind}, count: 1 }} ]
dynamic_batching {{ max_queue_delay_microseconds: {wait} }}
model_warmup [
  {{
    name: "black frame"
    batch_size: 1
    inputs {{
      key: "{input}"
      value: {{ data_type: TYPE_UINT8, dims: [ {height}, {width}, 3 ], zero_data: true }}
    }}
  }}
]
parameters [ {{ key: "{metadata}", value: {{ string_value: "{contract}" }} }} ]
"""

TWIN = '''\
"""Runs {file} beside it through onnxruntime, for Tritons without the onnxruntime backend."""

import os

import onnxruntime
import triton_python_backend_utils as triton

OUTPUTS = ["{classes}", "{probability}"]


class TritonPythonModel:
    def initialize(self, args):
        path = os.path.join(args["model_repository"], args["model_version"], "{file}")
        wanted = ["CUDAExecutionProvider"] if args["model_instance_kind"] == "GPU" else ["CPUExecutionProvider"]
        self.session = onnxruntime.InferenceSession(path, providers=wanted)
        if self.session.get_providers()[0] != wanted[0]:
            raise RuntimeError(f"{{wanted[0]}} was asked for and {{self.session.get_providers()[0]}} came")

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        frames = triton.get_input_tensor_by_name(request, "{input}").as_numpy()
        planes = self.session.run(OUTPUTS, {{"{input}": frames}})
        return triton.InferenceResponse([triton.Tensor(*pair) for pair in zip(OUTPUTS, planes)])
'''


def find_place(name: str, out: Path) -> Path:
    """Where a model of that name goes in a repository, which is made.

    Raises:
        BadInput: the name is no folder's, the repository holds a model of that name already or cannot be written.
    """
    if not NAME.fullmatch(name):
        raise BadInput(f"Triton cannot serve {name!r}: give a --name of letters, digits and _.- only")
    folder = out / name
    if folder.exists():
        raise BadInput(f"{folder} is there already: remove it, or choose another --triton folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{out} cannot be made: {error.strerror}") from error
    if not os.access(out, os.W_OK):
        raise BadInput(f"{out} cannot be written: choose another --triton folder")
    return folder


def write_repository(model: Path, out: Path, backend: Backend = "onnxruntime", *, gpu: bool = True) -> Path:
    """Write ``out/NAME/`` with ``config.pbtxt`` and version 1 of a model; return that folder, whole or not there.

    Args:
        model: an ONNX file with its contract inside.
        out: the model repository; other models in it are left alone.
        backend: who runs the file.
        gpu: whether Triton is to run it on GPUs rather than CPUs.

    Raises:
        BadModel: the file is not ONNX or carries no contract.
        BadInput: it has no place there, see :func:`find_place`.
    """
    data, _, contract = read_model(model)
    folder = find_place(contract.name, out)
    part = part_of(folder)
    try:
        _fill(part, data, contract, backend, gpu=gpu)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _fill(folder: Path, model: bytes, contract: Contract, backend: Backend, *, gpu: bool) -> None:
    version = folder / "1"
    version.mkdir(parents=True)
    (version / MODEL_FILE).write_bytes(model)
    names = {"input": INPUT, "classes": CLASSES_OUTPUT, "probability": PROBABILITY_OUTPUT}
    if backend == "python":
        (version / "model.py").write_text(TWIN.format(file=MODEL_FILE, **names), encoding="utf-8")
    config = CONFIG.format(
        name=contract.name,
        backend=backend,
        max_batch=MAX_BATCH,
        width=contract.width,
        height=contract.height,
        kind="KIND_GPU" if gpu else "KIND_CPU",
        wait=MAX_WAIT_US,
        metadata=METADATA_KEY,
        contract=contract.to_json().replace("\\", "\\\\").replace('"', '\\"'),
        **names,
    )
    (folder / "config.pbtxt").write_text(config, encoding="utf-8")
