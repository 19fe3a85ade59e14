"""Models loaded again and again leave no memory behind; a picture larger than the memory costs one frame."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from tests.server.conftest import png_file

PROGRAM = """
import sys, threading
import psutil
from quadfollow_core.shipped import find_model
from quadfollow_server.engine import load_model
from quadfollow_server.memory import give_back, map_large_blocks

if sys.argv[1] == "handed back":
    map_large_blocks()
held, used = [], []
for _ in range(12):
    loading = threading.Thread(target=lambda: held.append(load_model(find_model(), "cpu", 1)))
    loading.start()
    loading.join()
    del held[:-1]
    if sys.argv[1] == "handed back":
        give_back()
    used.append(psutil.Process().memory_full_info().uss / 2**20)
print(max(used[2:]) - used[2])
"""


def grown(how: str) -> float:
    """MiB that a process has grown by while it loaded a model in turn, each time in another thread."""
    return float(
        subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True).stdout
    )


def test_reloads_leave_no_memory_behind() -> None:
    """Ten more times cost less than 5 MiB; the allocator left to itself keeps tens, so that this would show."""
    assert grown("handed back") < 5
    assert grown("left alone") > 15


def picture(side: int) -> bytes:
    """A PNG file of black and white pixels, an eighth of a byte each: small, and huge once it is decoded."""
    return png_file(side, 1, 0, bytes(side * (side // 8 + 1)))


@pytest.mark.skipif(sys.platform != "linux", reason="sets a limit of Linux on a running process")
def test_a_picture_larger_than_the_memory_costs_that_frame_alone(
    models: tuple[Path, Path], serve: Any, dealer: Any
) -> None:
    """Where memory does not suffice, both doors say so; nothing ends, and the next frame is answered."""
    with serve("--model", str(models[0]), "--max-pixels", str(2**28), "--no-supervisor") as served:
        served.wait_ready()
        client, huge = dealer(served.address), picture(16_000)
        assert client.ask("before")["type"] == "result"
        process = psutil.Process(served.process.pid)
        room = process.memory_info().vms + 100 * 2**20
        process.rlimit(psutil.RLIMIT_AS, (room, room))
        refused = client.ask("huge", data=huge)
        assert (refused["code"], "memory" in refused["detail"]) == ("unavailable", True)
        assert httpx.post(f"{served.url}/segment", content=huge, timeout=60).status_code == 503
        assert client.ask("after")["type"] == "result"
