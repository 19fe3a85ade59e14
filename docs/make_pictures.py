"""Draw the pictures of the README: the server's own overlays of the drawn street, and the seed's network.

Run ``python docs/make_pictures.py`` after a change to the shipped default model, the overlay or the network.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import cv2
import httpx
import numpy as np
from numpy.typing import NDArray

from quadfollow_core.codec import decode_image, encode_jpeg
from quadfollow_server.running import RunningServer
from quadfollow_sim.drawn import DrawnSource
from quadfollow_training.picture import draw_network
from quadfollow_training.recipes import SEED

PICTURES = Path(__file__).with_name("img")
FRAMES = (10, 56, 112, 200)
"""Which frames of the walk are shown, at 20 per second."""


def overlay(url: str, jpeg: bytes) -> NDArray[np.uint8]:
    """Ask a running server for a frame with its overlay, and enlarge it."""
    headers = {"content-type": "image/jpeg", "accept": "image/png"}
    answer = httpx.post(f"{url}/segment", params={"overlay": 1}, content=jpeg, headers=headers, timeout=30)
    drawn = decode_image(answer.raise_for_status().content)
    return np.asarray(cv2.resize(drawn, None, fx=1.5, fy=1.5, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def main() -> None:
    """Write the pictures."""
    PICTURES.mkdir(exist_ok=True)
    walk = islice(iter(DrawnSource().read, None), max(FRAMES) + 1)
    chosen = [observation.image for number, observation in enumerate(walk) if number in FRAMES]
    with RunningServer() as server:
        strip = np.hstack([overlay(server.url, image) for image in chosen if isinstance(image, bytes)])
    (PICTURES / "demo.jpg").write_bytes(encode_jpeg(strip, 88))
    draw_network(SEED.spec, PICTURES / "network-seed.png")


if __name__ == "__main__":
    main()
