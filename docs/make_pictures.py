"""Draw the pictures of the README and the site: overlays, the steps of an answer, the seed's network.

Run ``python docs/make_pictures.py`` after a change to the shipped default model, the overlay or the network.
The live view's pictures come from its browser test, see ``tests/closed_loop/live_view/test_demo.py``.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import cv2
import httpx
import numpy as np
from numpy.typing import NDArray

from quadfollow_core.codec import decode_image, encode_jpeg
from quadfollow_core.overlay import PERSON_COLOUR, TARGET_COLOUR
from quadfollow_core.resize import fit_frame
from quadfollow_core.shipped import find_model
from quadfollow_server.engine import load_model
from quadfollow_server.running import RunningServer
from quadfollow_sim.drawn import DrawnSource
from quadfollow_training.picture import draw_network
from quadfollow_training.recipes import SEED

Picture = NDArray[np.uint8]
PICTURES = Path(__file__).with_name("img")
FRAMES = (10, 56, 112, 200)
"""Which frames of the walk are shown, at 20 per second."""
STEP = 56
"""The frame whose answer is taken apart."""


def overlay(url: str, jpeg: bytes) -> Picture:
    """Ask a running server for a frame with its overlay, and enlarge it."""
    headers = {"content-type": "image/jpeg", "accept": "image/png"}
    answer = httpx.post(f"{url}/segment", params={"overlay": 1}, content=jpeg, headers=headers, timeout=30)
    return enlarged(decode_image(answer.raise_for_status().content))


def enlarged(picture: Picture) -> Picture:
    """The picture half as large again."""
    return np.asarray(cv2.resize(picture, None, fx=1.5, fy=1.5, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def steps(url: str, jpeg: bytes) -> Picture:
    """One frame's way to its answer: as sent, how sure the network is of the target, the classes, what is located."""
    model = load_model(find_model(), "cpu")
    frame, _ = fit_frame(decode_image(jpeg), model.contract.size)
    classes, probability = model.segment(frame)
    sure = cv2.cvtColor(cv2.applyColorMap(probability, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    palette = np.array([(40, 40, 40), PERSON_COLOUR, TARGET_COLOUR], dtype=np.uint8)
    panels = [
        enlarged(decode_image(jpeg)),
        enlarged(np.asarray(sure, np.uint8)),
        enlarged(palette[classes]),
        overlay(url, jpeg),
    ]
    names = ("the frame", "target: how sure", "classes", "located")
    return np.hstack([titled(panel, name) for panel, name in zip(panels, names, strict=True)])


def titled(picture: Picture, text: str) -> Picture:
    """The picture under a line of text."""
    line = np.full((34, picture.shape[1], 3), 255, dtype=np.uint8)
    cv2.putText(line, text, (8, 23), cv2.FONT_HERSHEY_SIMPLEX, 0.62, (27, 31, 36), 1, cv2.LINE_AA)
    return np.vstack([line, picture])


def main() -> None:
    """Write the pictures."""
    PICTURES.mkdir(exist_ok=True)
    walk = [one.image for one in islice(iter(DrawnSource().read, None), max(FRAMES) + 1)]
    images = [image for image in walk if isinstance(image, bytes)]
    with RunningServer() as server:
        strip = np.hstack([overlay(server.url, images[number]) for number in FRAMES])
        (PICTURES / "demo.jpg").write_bytes(encode_jpeg(strip, 88))
        (PICTURES / "steps.jpg").write_bytes(encode_jpeg(steps(server.url, images[STEP]), 88))
    draw_network(SEED.spec, PICTURES / "network-seed.png")


if __name__ == "__main__":
    main()
