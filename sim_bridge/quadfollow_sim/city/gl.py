"""The one place that loads MuJoCo, because its OpenGL platform is fixed by the first import in a process."""

from __future__ import annotations

import ctypes.util
import importlib
import os
from functools import cache
from typing import Any

from quadfollow_core.errors import Unavailable

LIBRARIES = {"egl": "EGL", "osmesa": "OSMesa"}
PACKAGES = "apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri (or libosmesa6)"


@cache
def load_mujoco() -> Any:
    """Import MuJoCo for rendering without a display and return the module.

    ``MUJOCO_GL`` is respected where it is set, else EGL is taken, else OSMesa.

    Raises:
        Unavailable: MuJoCo or the system's OpenGL library is not installed.
    """
    os.environ["MUJOCO_GL"] = os.environ.get("MUJOCO_GL") or _find_platform()
    try:
        return importlib.import_module("mujoco")
    except ModuleNotFoundError as error:
        raise Unavailable('the city needs MuJoCo: pip install "quadfollow[sim]"') from error
    except (ImportError, AttributeError, OSError, RuntimeError) as error:
        raise Unavailable(f"MuJoCo found no OpenGL ({error}): {PACKAGES}") from error


def make_context(size: int) -> Any:
    """Open an OpenGL context of this thread for pictures up to ``size`` pixels wide and high, and make it current.

    Raises:
        Unavailable: no driver can draw here.
    """
    try:
        context = load_mujoco().GLContext(size, size)
        context.make_current()
    except (ImportError, AttributeError, OSError, RuntimeError) as error:
        raise Unavailable(f"OpenGL cannot draw here ({error}): {PACKAGES}") from error
    return context


def _find_platform() -> str:
    for platform, library in LIBRARIES.items():
        if ctypes.util.find_library(library):
            return platform
    raise Unavailable(f"the city draws with OpenGL, and neither EGL nor OSMesa is installed: {PACKAGES}")
