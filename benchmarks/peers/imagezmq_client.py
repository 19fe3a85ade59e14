"""Cameras that stream by imagezmq: PORT STREAMS HZ SECONDS; each sends its newest frame once the last is answered."""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import imagezmq
import numpy as np

WARM_UP = 0.5


def connected(port: int) -> imagezmq.ImageSender:
    """A sender, to be closed: one that is left to the garbage collector may wait for itself for ever."""
    return imagezmq.ImageSender(connect_to=f"tcp://127.0.0.1:{port}")


def film(port: int, jpeg: np.ndarray, begin: float, hz: float, seconds: float) -> dict:
    """Send the newest frame whenever there is one and the hub is done; ages count from when the frame was due."""
    ages, last, measured = [], -1, begin + WARM_UP
    end = measured + seconds
    with connected(port) as sender:
        while time.monotonic() < end:
            newest = int((time.monotonic() - begin) * hz)
            if newest <= last or time.monotonic() < begin:
                time.sleep(max(0.0, begin + (last + 1) / hz - time.monotonic()))
                continue
            due, last = begin + newest / hz, newest
            sender.send_jpg("camera", jpeg)
            if due >= measured:
                ages.append(round(1000 * (time.monotonic() - due), 3))
    return {"offered": round(seconds * hz), "ages": ages, "outcomes": {"result": len(ages)}}


if __name__ == "__main__":
    port, streams, hz, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
    jpeg = np.frombuffer(sys.stdin.buffer.read(), np.uint8)
    with connected(port) as first:
        first.send_jpg("camera", jpeg)  # waits until the hub is there
    begin = time.monotonic() + 0.3
    with ThreadPoolExecutor(streams) as pool:
        made = [pool.submit(film, port, jpeg, begin + n / streams / hz, hz, seconds) for n in range(streams)]
        json.dump([one.result() for one in made], sys.stdout)
