"""Where the QuadSim recordings lie, for the tests marked ``data``; and for all the same examples and much patience."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import hypothesis
import pytest
from httpx._config import DEFAULT_TIMEOUT_CONFIG

from quadfollow_server.running import RunningServer

# How fast the machine is, is not what is tested: no example is too slow, no answer over HTTP (which httpx gives 5 s
# unless told otherwise) comes too late, and a server may take long to become ready. Nor is luck: examples are the same
# each time, but under `make fuzz`.
hypothesis.settings.register_profile(
    "quadfollow", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile(
    "repeatable", hypothesis.settings.get_profile("quadfollow"), derandomize=True, database=None
)
hypothesis.settings.load_profile("quadfollow" if os.environ.get("QUADFOLLOW_FUZZ_EXAMPLES") else "repeatable")
for step in ("connect", "read", "write", "pool"):
    setattr(DEFAULT_TIMEOUT_CONFIG, step, 60.0)
RunningServer.__init__.__kwdefaults__["wait"] = 240.0
# A shell's background job is started with Ctrl-C ignored, which every program inherits that a test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

BESIDE_THE_CHECKOUT = Path(__file__).resolve().parents[2] / "shared" / "quadsim"


@pytest.fixture(scope="session")
def quadsim() -> Path:
    """The folder of real recordings; tests that need it are skipped where it is not."""
    folder = Path(os.environ.get("QUADFOLLOW_DATA") or BESIDE_THE_CHECKOUT)
    if not folder.is_dir():
        pytest.skip("no QuadSim recordings here: set QUADFOLLOW_DATA")
    return folder
