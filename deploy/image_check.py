"""Speaks to a running image as a stranger would: a frame over HTTP, seconds of video over ZeroMQ."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter

import numpy as np

from quadfollow_core.client_key import ClientKey
from quadfollow_core.http_client import HttpClient
from quadfollow_core.stream_client import StreamClient

SECONDS, RATE = 3.0, 20.0


def main() -> None:
    """Check both doors; print one JSON object; fail loudly."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--address", required=True, help="the ROUTER, tcp://HOST:PORT")
    options = parser.parse_args()
    frame = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    with HttpClient(options.url, key=ClientKey.from_environment()) as client:
        body = client.segment(frame).body
        served = client.info()
    fates = Counter(stream(options.address, frame))
    models = {model["name"]: model["device"]["provider"] for model in served["models"]}
    sys.stdout.write(json.dumps({"models": models, "http": body["timings"], "stream": fates}) + "\n")
    if not fates["result"] or fates["lost"] or fates["error"]:
        sys.exit(f"frames over ZeroMQ: {dict(fates)}")


def stream(address: str, frame: np.ndarray) -> list[str]:
    """Offer frames at a camera's pace and return what became of each."""
    outcomes = []
    with StreamClient(address, stream="image-test", key=ClientKey.from_environment()) as client:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            client.offer(frame)
            outcomes += [fate.outcome for fate in client.poll(1 / RATE)]
            time.sleep(1 / RATE)
        deadline = time.monotonic() + 5
        while not client.idle and time.monotonic() < deadline:
            outcomes += [fate.outcome for fate in client.poll(0.2)]
        outcomes += [fate.outcome for fate in client.poll(0.2)]
    return outcomes


if __name__ == "__main__":
    main()
