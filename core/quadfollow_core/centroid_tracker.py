"""The baseline: the rule of the follower that QuadSim came with.

More than 10 pixels of target count as seen; the target is where the centroid and its distance put it, at rest; after
7 frames without it, it is lost. No filter, no gate.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quadfollow_core.measure import Measurement, Noise, measure
from quadfollow_core.track import Look, State, Track, is_late, is_rewound

LEAST_AREA = 10.0
"""Square pixels of the frame that do not yet count as a sighting."""
LOST_AFTER = 7
"""Frames without a sighting after which the target is lost."""


class CentroidTracker:
    """Believes each frame, and the last one for a while."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the target."""
        self._track: Track | None = None
        self._misses = 0

    def update(self, look: Look) -> Track:
        """Take in one frame; see :meth:`quadfollow_core.track.Tracker.update`."""
        if self._track is not None and is_late(look, self._track):
            return self._track
        if is_rewound(look, self._track):
            self.reset()
        measurement = _seen(look)
        before = self._track or Track("searching", look.time)
        self._track = self._missed(before, look.time) if measurement is None else self._found(before, measurement, look)
        return self._track

    def _found(self, before: Track, measurement: Measurement, look: Look) -> Track:
        self._misses = 0
        still = (0.0,) * len(measurement.position)
        return Track(
            "following",
            look.time,
            measurement.space,
            position=tuple(measurement.position.tolist()),
            velocity=still,
            position_sigma=tuple(np.sqrt(np.diagonal(measurement.noise)).tolist()),
            velocity_sigma=still,
            age=0.0,
            updates=before.updates + 1,
            distance=measurement.distance,
            distance_source=measurement.distance_source,
            confidence=measurement.confidence,
        )

    def _missed(self, before: Track, time: float) -> Track:
        self._misses += 1
        if before.age is None:
            return replace(before, time=time)
        state: State = "coasting" if self._misses < LOST_AFTER else "lost"
        return replace(before, state=state, time=time, age=before.age + time - before.time)


def _seen(look: Look) -> Measurement | None:
    target = look.sighting.target
    if target is None or target.area <= LEAST_AREA:
        return None
    return measure(target, look.camera, Noise(body=0.0), look.depth_step)
