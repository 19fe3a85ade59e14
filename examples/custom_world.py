"""Show a server a world of your own, here a red square that wanders over grey: ``custom_world.py [ADDRESS]``."""

import math
import sys

import numpy as np

from quadfollow_core.stream_client import StreamClient
from quadfollow_sim.bridge import fly, require_server
from quadfollow_sim.report import summarise, table
from quadfollow_sim.world import Observation


class WanderingSquare:
    """A world is whatever has a rate, pictures to read and an end; see ``quadfollow_sim.world.FrameSource``."""

    rate = 10.0

    def __init__(self, pictures: int) -> None:
        self.pictures = pictures
        self.next = 0

    def read(self, skip: int = 0) -> Observation | None:
        """Pass over ``skip`` pictures and return the next; None at the end."""
        number = self.next + skip
        self.next = number + 1
        if number >= self.pictures:
            return None
        image = np.full((256, 256, 3), 90, dtype=np.uint8)
        truth = np.zeros((256, 256), dtype=np.uint8)
        left = round(100 + 80 * math.sin(number / 5))
        image[90:150, left : left + 40] = (200, 20, 20)
        truth[90:150, left : left + 40] = 2
        return Observation(image, f"square {number}", truth=truth)

    def close(self) -> None:
        """Nothing to give back."""


address = sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:5555"
with StreamClient(address, stream="square") as client:
    require_server(client)
    print(table(summarise(fly(WanderingSquare(20), client, ask=lambda seen: {"want": ["target", "mask:png"]}))))
