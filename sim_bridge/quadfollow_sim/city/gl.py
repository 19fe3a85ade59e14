"""The one place that loads MuJoCo, because its OpenGL platform is fixed by the first import in a process."""

from __future__ import annotations

import ctypes.util
import importlib
import os
import sys
from functools import cache
from typing import Any

from quadfollow_core.errors import Unavailable

LIBRARIES = {"egl": "EGL", "osmesa": "OSMesa"}
PACKAGES = "apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri (or libosmesa6)"


@cache
def load_mujoco() -> Any:
    """Import MuJoCo for drawing without a display and return the module.

    ``MUJOCO_GL`` is respected where it is set, else EGL is taken, else OSMesa. Where neither is installed MuJoCo is
    loaded for physics alone, and :func:`make_context` says what is missing.

    Raises:
        Unavailable: MuJoCo is not installed, or its OpenGL library does not load.
    """
    os.environ["MUJOCO_GL"] = os.environ.get("MUJOCO_GL") or _find_platform()
    try:
        return importlib.import_module("mujoco")
    except ModuleNotFoundError as error:
        raise Unavailable('the city needs MuJoCo: pip install "quadfollow[sim]"') from error
    except (ImportError, AttributeError, OSError, RuntimeError) as error:
        raise Unavailable(f"MuJoCo found no OpenGL ({error}): {PACKAGES}") from error


def _find_platform() -> str:
    installed = (platform for platform, library in LIBRARIES.items() if ctypes.util.find_library(library))
    return next(installed, "disable")


def make_context(size: int, model: Any) -> tuple[Any, Any]:
    """Open an OpenGL context of this thread for pictures up to ``size`` pixels wide and high, and upload a model.

    Returns the context, now current, and MuJoCo's drawing context, which draws off screen with depth from far to near.

    Raises:
        Unavailable: no OpenGL is installed, no driver can draw here, or TensorFlow is loaded in this process.
    """
    if "tensorflow" in sys.modules:  # its LLVM and that of Mesa's software driver crash one another
        raise Unavailable("the city cannot be drawn in a process that has loaded TensorFlow: use one of its own")
    mujoco = load_mujoco()
    if not hasattr(mujoco, "GLContext"):
        raise Unavailable(f"the city draws with OpenGL, and neither EGL nor OSMesa is installed: {PACKAGES}")
    try:
        context = mujoco.GLContext(size, size)
        context.make_current()
        drawing = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
    except (ImportError, AttributeError, OSError, RuntimeError, mujoco.FatalError) as error:
        raise Unavailable(f"OpenGL cannot draw here ({error}): {PACKAGES}") from error
    mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, drawing)
    drawing.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
    return context, drawing
