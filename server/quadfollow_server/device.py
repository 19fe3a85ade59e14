"""Which execution provider a session runs on: the one asked for, or a reason why not.

onnxruntime falls back to the CPU with a line on stderr when an accelerator's libraries are missing, and goes on to
report the accelerator as available. So each thing an accelerator needs is checked here by itself, and the fall-back
is switched off.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import re
import sys
from pathlib import Path

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state

from quadfollow_core.errors import Unavailable

PROVIDERS = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": ("CUDAExecutionProvider",),
    # TensorRT leaves what it cannot run to CUDA, never to the CPU.
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider"),
}
DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
TENSORRT = "nvinfer_10.dll" if sys.platform == "win32" else "libnvinfer.so.10"

RUNTIME_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError,
    ValueError,
    *(
        kind
        for kind in vars(onnxruntime_pybind11_state).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    ),
)
"""All that onnxruntime raises: its exceptions share no base."""


def open_session(path: Path, device: str, threads: int = 0) -> onnxruntime.InferenceSession:
    """Open a model on exactly the device named, one of PROVIDERS.

    Raises:
        Unavailable: the device cannot be used here; the message says what is missing and what to do.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    if device == "cpu":
        return onnxruntime.InferenceSession(path, options, providers=PROVIDERS["cpu"])
    require_accelerator(device)
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    try:
        return onnxruntime.InferenceSession(path, options, providers=PROVIDERS[device], enable_fallback=0)
    except RUNTIME_ERRORS as error:
        raise Unavailable(f"device {device}: onnxruntime refuses the model there: {first_line(error)}") from error


def require_accelerator(device: str) -> None:
    """Check, cheapest first, all that ``cuda`` or ``tensorrt`` needs of this machine.

    Raises:
        Unavailable: something is missing; the message says what, and what to do.
    """
    if PROVIDERS[device][0] not in onnxruntime.get_available_providers():
        raise Unavailable(f"device {device}: this onnxruntime is built without it; install onnxruntime-gpu")
    if not _loads(DRIVER):
        raise Unavailable(
            f"device {device}: no NVIDIA driver here ({DRIVER} is not found); install one, or run a "
            "container with `--gpus all`, or use `--device cpu`"
        )
    missing = _preload()
    if missing:
        raise Unavailable(
            f"device {device}: cannot load {', '.join(missing)}; install them with `pip install 'quadfollow[cuda]'`"
        )
    if device == "tensorrt" and not _loads(TENSORRT):
        raise Unavailable(f"device tensorrt: {TENSORRT} is not found; install it with `pip install 'tensorrt-cu13<11'`")


def require_in_use(session: onnxruntime.InferenceSession, device: str) -> str:
    """Return the provider that a session which has run once is really using.

    Raises:
        Unavailable: it is not the one asked for.
    """
    used = str(session.get_providers()[0])
    if used != PROVIDERS[device][0]:
        raise Unavailable(f"device {device}: onnxruntime runs the model on {used} instead")
    return used


def first_line(error: Exception) -> str:
    """Return the first line of a message that may be long."""
    return (str(error).strip() or repr(error)).splitlines()[0][:500]


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _preload() -> list[str]:
    """Load the CUDA and cuDNN libraries that were installed as wheels; return those that cannot be found."""
    if not hasattr(onnxruntime, "preload_dlls"):
        return []
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):  # it prints what is missing instead of raising
        onnxruntime.preload_dlls()
    return re.findall(r"^Failed to load ([^\s:]+)", printed.getvalue(), re.MULTILINE)


def usable_devices() -> dict[str, str]:
    """Say of each device ``usable``, or why not; libraries are looked at, no model is run."""
    return {device: _usable(device) for device in PROVIDERS}


def _usable(device: str) -> str:
    if device != "cpu":
        try:
            require_accelerator(device)
        except Unavailable as error:
            return str(error)
    return "usable"
