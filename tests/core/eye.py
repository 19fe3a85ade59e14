"""An eye that sees a walking person as ``locate`` would, and a tracker that looks through it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from quadfollow_core.geometry import Camera, Intrinsics, Pose, bearing
from quadfollow_core.kalman_tracker import KalmanTracker
from quadfollow_core.measure import Noise
from quadfollow_core.track import Look, Track
from quadfollow_core.types import DistanceSource, Sighting, Target

LENS = Intrinsics.from_fov(256, 256, math.radians(60))
POSE = Pose.from_rpy((0.0, 0.0, 2.4), 0.0, math.radians(20), 0.0)
CAMERA = Camera(LENS, POSE)
RATE = 20.0
STEP = 1 / RATE
EXACT = Noise(body=0.0)
NOBODY = Sighting(None)
Point = Sequence[float]


@dataclass
class Eye:
    """Sees world points through a camera as ``locate`` would, with noise where a generator is given."""

    camera: Camera = CAMERA
    source: DistanceSource | None = "depth"
    dice: np.random.Generator | None = None

    def target(self, point: Point) -> Target:
        """The target that stands around a point."""
        pose = self.camera.pose or POSE
        seen = pose.camera_from_world(point)
        distance = float(np.linalg.norm(seen))
        width, height = 0.5 * LENS.fx / seen[2], 1.6 * LENS.fy / seen[2]
        u, v = LENS.project(seen)
        u += self.error(math.hypot(1.0, 0.05 * width))
        v += self.error(math.hypot(1.0, 0.05 * height))
        distance += self.error(0.1 if self.source == "depth" else 0.15 * distance)
        azimuth, elevation = bearing(LENS.unproject(u, v))
        box = (u - width / 2, v - height / 2, u + width / 2, v + height / 2)
        place = (distance, self.source) if self.source else (None, None)
        return Target((u, v), box, width * height, 0.9, azimuth, elevation, *place)

    def error(self, sigma: float) -> float:
        """A draw of the noise."""
        return 0.0 if self.dice is None else float(self.dice.normal(0, sigma))

    def look(self, time: float, *points: Point) -> Look:
        """A frame that shows the points, the first one largest."""
        targets = tuple(self.target(point) for point in points)
        sighting = Sighting(targets[0], (), targets[1:]) if targets else NOBODY
        return Look(sighting, time, self.camera)


def walk(time: float) -> tuple[float, float, float]:
    """A person who crosses the view at a walk."""
    return (6.0, 1.485 * time - 1.5, 0.8)


def run(tracker: KalmanTracker, looks: Iterable[Look]) -> list[Track]:
    """The track after each look."""
    return [tracker.update(look) for look in looks]


def following(eye: Eye, seconds: float = 1.0) -> tuple[KalmanTracker, float]:
    """A tracker that has followed the walk for a while, and the time of the next frame."""
    tracker = KalmanTracker(noise=EXACT)
    count = round(seconds * RATE)
    tracks = run(tracker, (eye.look(k * STEP, walk(k * STEP)) for k in range(count)))
    assert tracks[-1].state == "following"
    return tracker, count * STEP


def error_of(track: Track, point: Point) -> float:
    """Metres between a track and a point."""
    return float(np.linalg.norm(np.subtract(track.position, point)))
