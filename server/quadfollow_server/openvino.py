"""OpenVINO on the processor, through onnxruntime's plug-in; it is registered when it is first asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import onnxruntime

from quadfollow_core.errors import Unavailable
from quadfollow_server.accelerator import Finding

PROVIDER = "OpenVINOExecutionProvider"
PACKAGE = "onnxruntime-ep-openvino"
REMEDY = "pip install 'quadfollow[openvino]'"


def look() -> Iterator[Finding]:
    """Look at all that it needs."""
    try:
        found = version(PACKAGE)
    except PackageNotFoundError:
        yield Finding("OpenVINO", f"{PACKAGE} is not installed", f"install it: {REMEDY}")
        return
    try:
        _devices()
    except Unavailable as error:
        yield Finding("OpenVINO", str(error), f"install the version this quadfollow is tested with: {REMEDY}")
    else:
        yield Finding("OpenVINO", f"{PACKAGE} {found}")


def add_to(options: onnxruntime.SessionOptions, threads: int, at_once: int = 1) -> None:
    """Have a session run on OpenVINO, in 32-bit floats where the model says nothing else; threads 0 for all cores.

    Of several calls ``at_once``, each gets its share of the threads; with one, calls wait for each other.

    Raises:
        Unavailable: the plug-in is not there or cannot be loaded.
    """
    # Without the hint it takes the fastest type that the processor has, such as 16-bit floats of 8 bits' precision.
    hints = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": str(at_once)}
    if threads:
        hints["INFERENCE_NUM_THREADS"] = str(threads)
    options.add_provider_for_devices(_devices(), {"load_config": json.dumps({"CPU": hints})})


@cache
def _devices() -> list[Any]:
    """Register the plug-in, and name the processor as the device that it offers."""
    try:
        import onnxruntime_ep_openvino as plugin

        onnxruntime.register_execution_provider_library(PROVIDER, plugin.get_library_path())
    except Exception as error:  # an ImportError, an OSError, or one of onnxruntime's, which share no base
        raise Unavailable(f"onnxruntime cannot load the plug-in: {error}") from error
    cpu = onnxruntime.OrtHardwareDeviceType.CPU
    return [one for one in onnxruntime.get_ep_devices() if one.ep_name == PROVIDER and one.device.type == cpu]
