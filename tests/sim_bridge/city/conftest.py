"""One city drawn once for all tests; they are skipped where OpenGL or MuJoCo is missing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from quadfollow_core.errors import Unavailable
from quadfollow_sim.city.city import City
from quadfollow_sim.city.gl import load_mujoco
from quadfollow_sim.city.looks import Setting, draw_setting
from quadfollow_sim.city.renderer import Renderer


@pytest.fixture(scope="session", autouse=True)
def _mujoco() -> None:
    try:
        if not hasattr(load_mujoco(), "GLContext"):
            pytest.skip("no OpenGL here: the city's tests draw")
    except Unavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def setting() -> Setting:
    """A plaza."""
    return draw_setting("plaza", 7)


@pytest.fixture(scope="session")
def renderer(setting: Setting) -> Iterator[Renderer]:
    """Draws the plaza at 256 by 256."""
    with Renderer(setting) as drawing:
        yield drawing


@pytest.fixture
def city() -> Iterator[City]:
    """A windless street to fly in, without pictures."""
    world = City("street", 11, pictures=False)
    yield world
    world.close()
