"""Where the QuadSim recordings lie, for the tests marked ``data``."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("quadfollow", deadline=None)  # how fast the machine is, is not what is tested
hypothesis.settings.load_profile("quadfollow")

BESIDE_THE_CHECKOUT = Path(__file__).resolve().parents[2] / "shared" / "quadsim"


@pytest.fixture(scope="session")
def quadsim() -> Path:
    """The folder of real recordings; tests that need it are skipped where it is not."""
    folder = Path(os.environ.get("QUADFOLLOW_DATA") or BESIDE_THE_CHECKOUT)
    if not folder.is_dir():
        pytest.skip("no QuadSim recordings here: set QUADFOLLOW_DATA")
    return folder
