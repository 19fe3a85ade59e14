"""What is said where OpenGL or MuJoCo is missing. No test here loads either."""

from __future__ import annotations

import ctypes.util
import importlib
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


def test_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without EGL and OSMesa the message names the packages to install."""
    monkeypatch.setattr(ctypes.util, "find_library", lambda _: None)
    with pytest.raises(Unavailable, match=r"libegl1 .* libosmesa6"):
        gl.load_mujoco()


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
