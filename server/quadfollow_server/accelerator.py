"""What an NVIDIA GPU needs of this machine before onnxruntime can use it, looked at piece by piece.

Nothing here runs a model. Each piece is found by loading it, as the provider itself will, so that a library that is
there but broken counts as missing.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import onnxruntime

WINDOWS = sys.platform == "win32"
DRIVER = "nvcuda.dll" if WINDOWS else "libcuda.so.1"
CUDA_RUNTIME = "cudart64_13.dll" if WINDOWS else "libcudart.so.13"
INSTALL = "pip install 'quadfollow[cuda]'"


@dataclass(frozen=True, slots=True)
class Library:
    """A shared library that the CUDA or TensorRT provider loads, and what brings it."""

    file: str
    remedy: str


def _wheel(file: str, wheel: str) -> Library:
    return Library(file, f"{INSTALL} (or {wheel} alone)")


# What libonnxruntime_providers_cuda.so and cuDNN load, in onnxruntime's builds for CUDA 13; Windows finds its own.
CUDA_LIBRARIES: tuple[Library, ...] = (
    ()
    if WINDOWS
    else (
        _wheel(CUDA_RUNTIME, "nvidia-cuda-runtime"),
        _wheel("libnvrtc.so.13", "nvidia-cuda-nvrtc"),
        _wheel("libcublasLt.so.13", "nvidia-cublas"),
        _wheel("libcublas.so.13", "nvidia-cublas"),
        _wheel("libcurand.so.10", "nvidia-curand"),
        _wheel("libcufft.so.12", "nvidia-cufft"),
        _wheel("libcudnn.so.9", "nvidia-cudnn-cu13"),
    )
)
TENSORRT_LIBRARIES = tuple(
    Library(file, "pip install 'tensorrt-cu13<11'")
    for file in (("nvinfer_10.dll",) if WINDOWS else ("libnvinfer.so.10", "libnvonnxparser.so.10"))
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: what was found, and the remedy where it is not as it should be."""

    name: str
    found: str
    remedy: str | None = None
    needed: bool = True
    """Whether what was asked for fails without it."""

    @property
    def well(self) -> bool:
        """Whether there is nothing that must be mended."""
        return self.remedy is None or not self.needed


def look(device: str) -> Iterator[Finding]:
    """Look at all that ``cuda`` or ``tensorrt`` needs, in the order in which it has to be mended."""
    provider = {"cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}[device]
    if provider not in onnxruntime.get_available_providers():
        yield Finding("onnxruntime", f"version {onnxruntime.__version__}, built without it", "install onnxruntime-gpu")
        return
    yield Finding("onnxruntime", f"version {onnxruntime.__version__}, built for CUDA {onnxruntime.cuda_version}")
    yield from _look_at_driver()
    _preload()
    libraries = CUDA_LIBRARIES + (TENSORRT_LIBRARIES if device == "tensorrt" else ())
    yield from (_look_at_library(library) for library in libraries)


def _look_at_driver() -> Iterator[Finding]:
    name = "NVIDIA driver"
    try:
        driver = ctypes.CDLL(DRIVER)
        version, count = ctypes.c_int(), ctypes.c_int()
        driver.cuDriverGetVersion(ctypes.byref(version))
        status = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    except (OSError, AttributeError) as error:
        lacks = f"no NVIDIA driver here: {DRIVER} is not found" if isinstance(error, OSError) else f"{error}"
        yield Finding(name, lacks, "install one, or run a container with `--gpus all`, or use `--device cpu`")
        return
    able = f"{version.value // 1000}.{version.value % 1000 // 10}"
    if version.value // 1000 < int(str(onnxruntime.cuda_version).split(".")[0]):
        remedy = f"install a driver for CUDA {onnxruntime.cuda_version} or newer, or an onnxruntime-gpu for CUDA {able}"
        yield Finding(name, f"its newest CUDA is {able}; onnxruntime needs {onnxruntime.cuda_version}", remedy)
    elif status or not count.value:
        remedy = "check `nvidia-smi`; in a container start it with `--gpus all`; after an update of the driver, reboot"
        yield Finding(name, f"for CUDA {able}, but no usable GPU (CUDA error {status})", remedy)
    else:
        yield Finding(name, f"for CUDA {able}; {', '.join(_gpu(driver, index) for index in range(count.value))}")


def _gpu(driver: ctypes.CDLL, index: int) -> str:
    name = ctypes.create_string_buffer(256)
    driver.cuDeviceGetName(name, len(name), index)
    return name.value.decode(errors="replace")


def _look_at_library(library: Library) -> Finding:
    try:
        ctypes.CDLL(library.file)
    except OSError as error:
        return Finding(library.file, f"does not load: {str(error).removeprefix(f'{library.file}: ')}", library.remedy)
    return Finding(library.file, "loads")


@cache
def _preload() -> None:
    """Load the CUDA and cuDNN libraries that were installed as wheels; the system's loader would not find them."""
    if hasattr(onnxruntime, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what is missing, which is told better here
            onnxruntime.preload_dlls()
