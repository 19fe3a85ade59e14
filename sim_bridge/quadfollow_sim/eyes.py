"""What looks at the pictures of a flight: a server's network, or an arm of comparison in this process.

The arms go through the same ``locate`` and tracker as a server's answer: ``truth`` sees the world's own class mask,
``mirrored`` that mask with left and right swapped, ``blind`` nothing at all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from quadfollow_core.codec import encode_png
from quadfollow_core.errors import BadInput
from quadfollow_core.locate import Depth, Rule, Segmentation, locate
from quadfollow_core.resize import BACKGROUND, TARGET, plan_fit
from quadfollow_core.stream_client import Fate, StreamClient
from quadfollow_core.track import Look
from quadfollow_core.trackers import make_tracker
from quadfollow_sim.world import Observation, known_fields

Mask = NDArray[np.uint8]
Arm = Literal["truth", "mirrored", "blind"]
ARMS: Mapping[Arm, Callable[[Mask], Mask]] = {
    "truth": lambda truth: truth,
    "mirrored": lambda truth: np.ascontiguousarray(truth[:, ::-1]),
    "blind": lambda truth: np.full_like(truth, BACKGROUND),
}


class Eyes(Protocol):
    """Takes pictures and tells, sooner or later, the fate of each: an answer with a track, or why there is none."""

    def offer(self, observation: Observation) -> int:
        """Hand a picture in, and return the number by which its fate will be known."""

    def poll(self, timeout: float) -> list[Fate]:
        """The fates known by now, waiting at most ``timeout`` seconds for the first."""

    def answers(self) -> bool:
        """Whether somebody is there to answer."""


class NetworkEyes:
    """A server's network, over the wire.

    Args:
        client: a connection of this flight alone, since a track belongs to (client, stream).
        mask: whether to ask for the mask too, to draw it.
        model: which of the server's; None for its default.
    """

    def __init__(self, client: StreamClient, *, mask: bool = False, model: str | None = None) -> None:
        self._client = client
        self._header: dict[str, Any] = {"want": ["target", "people", "track", *(["mask:png"] if mask else [])]}
        self._header |= {"model": model} if model else {}

    def offer(self, observation: Observation) -> int:
        """Offer a picture with all that is known of its place, and the world's time as its time of capture."""
        header = self._header | known_fields(observation)
        return self._client.offer(observation.image, captured_at=observation.captured, **header)

    def poll(self, timeout: float) -> list[Fate]:
        """The fates known by now."""
        return self._client.poll(timeout)

    def answers(self) -> bool:
        """Whether the server answers a ping."""
        return self._client.ping()


class LocalEyes:
    """An arm of comparison, which answers at once.

    Args:
        arm: ``truth``, ``mirrored`` or ``blind``.
        tracker: ``kalman`` or ``centroid``.
        mask: whether to answer with the mask too, to draw it.
    """

    def __init__(self, arm: Arm = "truth", *, tracker: str = "kalman", mask: bool = False) -> None:
        self._see = ARMS[arm]
        self._tracker = make_tracker(tracker)
        self._mask = mask
        self._count = 0
        self._fates: list[Fate] = []

    def offer(self, observation: Observation) -> int:
        """Look at a picture.

        Raises:
            BadInput: the world does not know its truth.
        """
        if observation.truth is None:
            raise BadInput("these eyes see the world's own class mask, and this world has none: use --eyes network")
        start = time.monotonic()
        self._count += 1
        body, mask = self._answer(observation, self._see(observation.truth))
        self._fates.append(Fate(self._count, "result", time.monotonic() - start, body, mask))
        return self._count

    def poll(self, timeout: float) -> list[Fate]:
        """The fates known by now; without any there is nothing to wait for but time."""
        if not self._fates:
            time.sleep(timeout)
        fates, self._fates = self._fates, []
        return fates

    def answers(self) -> bool:
        """Always."""
        return True

    def _answer(self, observation: Observation, classes: Mask) -> tuple[dict[str, Any], bytes | None]:
        height, width = observation.pixels().shape[:2]
        rows, columns = classes.shape
        letterbox, _ = plan_fit((width, height), (columns, rows))
        probability = np.where(classes == TARGET, np.uint8(255), np.uint8(0))
        seen = Segmentation(classes, probability, letterbox, (width, height))
        sighting = locate(seen, Rule(), observation.camera, observation.depth)
        look = Look(sighting, observation.captured, observation.camera, _depth_step(observation.depth))
        track = self._tracker.update(look)
        body = {"frame": {"width": width, "height": height}, **sighting.as_dict(), "track": track.as_dict()}
        if not self._mask:
            return body, None
        shape = {"encoding": "png", "width": columns, "height": rows, "mask_from_frame": asdict(letterbox)}
        return body | {"mask": shape}, encode_png(classes)


def _depth_step(depth: Depth | None) -> float:
    """Metres between neighbouring depth values, as a server takes it from the wire."""
    return depth.scale if depth is not None and np.issubdtype(depth.values.dtype, np.integer) else 0.0
