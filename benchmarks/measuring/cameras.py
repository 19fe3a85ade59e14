"""Cameras that stream to our server, each at its own rate whatever the server does, in a process of their own.

``python cameras.py ADDRESS STREAMS HZ SECONDS < frame.jpg``; one JSON object out, one entry per stream (see
:func:`film`). The cameras begin evenly spread over one period. An age counts from the moment a frame was due.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from quadfollow_core.stream_client import StreamClient

WANT = ["target", "track"]
WARM_UP = 0.5
"""Seconds at the beginning whose frames are not counted."""
PATIENCE = 5.0
"""Longest wait in the end for the fates of the last frames."""


def film(address: str, name: str, jpeg: bytes, begin: float, hz: float, seconds: float) -> dict[str, Any]:
    """Stream frames, and return ``offered``, the ``ages`` of the answers in ms and the ``outcomes`` counted."""
    ages: list[float] = []
    outcomes: Counter[str] = Counter()
    counted_from, number = 0, 0
    with StreamClient(address, stream=name) as client:

        def hear(until: float) -> None:
            while (left := until - time.monotonic()) > 0:
                for fate in client.poll(left):
                    if fate.id >= counted_from > 0:
                        outcomes[fate.outcome] += 1
                        if fate.outcome == "result":
                            ages.append(round(1000 * fate.age, 3))

        while number < (WARM_UP + seconds) * hz:
            due = begin + number / hz
            hear(due)
            identity = client.offer(jpeg, captured=due, want=WANT)
            if not counted_from and number >= WARM_UP * hz:
                counted_from = identity
            number += 1
        end = time.monotonic() + PATIENCE
        while not client.idle and time.monotonic() < end:
            hear(time.monotonic() + 0.02)
    return {"offered": number - round(WARM_UP * hz), "ages": ages, "outcomes": dict(outcomes)}


def main() -> None:
    """Let all cameras stream, and write what became of their frames."""
    address, streams, hz, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
    jpeg = sys.stdin.buffer.read()
    begin = time.monotonic() + 0.3
    with ThreadPoolExecutor(streams) as pool:
        offsets = [begin + number / streams / hz for number in range(streams)]
        made = [
            pool.submit(film, address, f"camera-{number}", jpeg, offset, hz, seconds)
            for number, offset in enumerate(offsets)
        ]
        json.dump([one.result() for one in made], sys.stdout)


if __name__ == "__main__":
    main()
