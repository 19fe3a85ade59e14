"""That models loaded again and again leave no memory behind."""

from __future__ import annotations

import subprocess
import sys

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
