"""What is said where OpenGL or MuJoCo is missing."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from quadfollow_core.errors import Unavailable
from quadfollow_sim.city import gl


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MUJOCO_GL", "")
    gl.load_mujoco.cache_clear()
    yield
    gl.load_mujoco.cache_clear()


FLY = """
import ctypes.util
ctypes.util.find_library = lambda name: None
from quadfollow_core.errors import Unavailable
from quadfollow_sim.city.city import City
city = City("plaza", pictures=False)
city.step(0.1)
try:
    City("plaza")
except Unavailable as error:
    print(city.time, error)
"""


def test_no_library() -> None:
    """Without EGL and OSMesa one can fly, and a picture's message names the packages to install."""
    environment = {key: value for key, value in os.environ.items() if key != "MUJOCO_GL"}
    done = subprocess.run([sys.executable, "-c", FLY], env=environment, capture_output=True, text=True, check=True)
    assert re.match(r"0\.1\d* .*libegl1 .*libosmesa6", done.stdout)


def test_no_mujoco(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without MuJoCo the message names the extra."""
    monkeypatch.setattr(importlib, "import_module", _raise(ModuleNotFoundError("mujoco")))
    with pytest.raises(Unavailable, match=r"quadfollow\[sim\]"):
        gl.load_mujoco()


def test_broken_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that is there but does not load is told with its own words."""
    monkeypatch.setattr(importlib, "import_module", _raise(AttributeError("eglQueryString")))
    with pytest.raises(Unavailable, match=r"eglQueryString.*libegl1"):
        gl.load_mujoco()


def _raise(error: Exception) -> object:
    def fail(_: str) -> None:
        raise error

    return fail
