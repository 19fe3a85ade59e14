"""From a located target to a measurement with its covariance, in the best space the frame allows.

The noise is first order: pixels and range have standard deviations, and the camera's axes carry them into the space
of the track (R = J·diag(σ²)·Jᵀ).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from quadfollow_core.geometry import Camera, Intrinsics, Pose, Vector
from quadfollow_core.kalman import Matrix
from quadfollow_core.request import DepthHeader
from quadfollow_core.track import Space
from quadfollow_core.types import DistanceSource, Target

MAX_COORDINATE = 1e8
"""Largest coordinate that is taken for a place, metres (or pixels)."""
MAX_VARIANCE = 1e12
"""Largest variance of one, in squares of its unit."""
WHOLE = 1.1
"""Metres of height in the picture from which on a blob is taken for all of a person: 1.6 m seen from 45 degrees up."""
MAX_DISTANCE = 1e4
"""Largest distance that is taken for one, metres."""


@dataclass(frozen=True, slots=True)
class Noise:
    """Standard deviations of what ``locate`` reports."""

    pixel: float = 1.0
    """Pixels, of the centroid."""
    gait: float = 0.05
    """Share of the box's side by which limbs and ragged masks move the centroid (DeepSORT's 1/20: Wojke 2017)."""
    depth: float = 0.1
    """Metres, of a measured distance, beside the picture's step."""
    height: float = 0.15
    """Share of a distance estimated from the apparent height."""
    unknown: float = 0.5
    """Share of a predicted distance, where the frame says nothing about it."""
    hidden: float = 0.2
    """Metres by which the middle of what is seen of a person is too high or too low, legs or head being hidden."""
    body: float = 0.1
    """Metres from the surface that depth measures to the middle of the body."""


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """How a target may move in a space, per axis; see :func:`quadfollow_core.kalman.predict`."""

    agility: Vector
    speed: Vector


WALKING = Motion(agility=np.array([2.0, 2.0, 0.1]), speed=np.array([1.5, 1.5, 0.3]))
"""A person in the world frame, who hardly rises or falls.

Agile enough that the gate outgrows a walker who turns on the spot: from 1.5 m/s to its opposite the prediction is
off by 3 m after a second, where four sigma are 3.3 m. With a quarter of it, one refused sighting at a corner lost a
target in plain view.
"""
TURNING = Motion(agility=np.array([1.0, 1.0]), speed=np.array([0.5, 0.5]))
"""A bearing seen from a camera that turns and flies itself, radians."""
SLIDING = Motion(agility=np.array([9.0, 9.0]), speed=np.array([3.0, 3.0]))
"""A blob in the picture, in heights of itself."""
CLOSING = Motion(agility=np.array([1.0]), speed=np.array([2.0]))
"""The distance from a camera that flies itself, metres."""


@dataclass(frozen=True, slots=True, eq=False)
class Measurement:
    """A measured position with its covariance, in the units of :class:`quadfollow_core.track.Track`."""

    space: Space
    position: Vector
    noise: Matrix
    motion: Motion
    confidence: float
    quality: float = 1.0
    """How much this speaks for the target: its confidence, less where the blob is too low to be all of a person."""
    distance: float | None = None
    distance_sigma: float = 0.0
    distance_source: DistanceSource | None = None


def depth_step(header: DepthHeader | None) -> float:
    """Metres between neighbouring values of a request's depth picture, 0 where they are floats or none came."""
    return 0.0 if header is None or header.encoding == "raw-f32" else header.scale


def measure(
    target: Target,
    camera: Camera | None,
    noise: Noise,
    step: float = 0.0,
    expected: float | None = None,
) -> Measurement | None:
    """Read a target as a measurement; None where its numbers are out of all bounds.

    Args:
        target: as ``locate`` found it.
        camera: the one it was located with.
        noise: its standard deviations.
        step: metres between neighbouring depth values.
        expected: the distance predicted for it, metres. It stands in where the frame tells none, and scales the
            noise of an estimate: scaled by the estimate itself, short ones would count for more than long ones.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused below
        measurement = _measured(target, camera, noise, step, expected)
        return measurement if measurement is not None and _usable(measurement) else None


def _measured(
    target: Target, camera: Camera | None, noise: Noise, step: float, expected: float | None
) -> Measurement | None:
    if camera is None or target.azimuth is None or target.elevation is None:
        return _in_pixels(target, noise)
    distance, sigma = _distance(target, noise, step, expected)
    pose = camera.pose
    if distance is None and expected is not None and pose is not None:
        distance, sigma = expected, noise.unknown * expected
    if distance is not None and not 0 < distance <= MAX_DISTANCE:
        return None
    if pose is None or distance is None:
        return _in_bearing(target, camera.intrinsics, noise, distance, sigma)
    return _in_world(target, camera.intrinsics, pose, noise, distance, sigma)


def _in_world(target: Target, lens: Intrinsics, pose: Pose, noise: Noise, distance: float, sigma: float) -> Measurement:
    """The point at ``distance``, uncertain by pixels across, by ``sigma`` metres along its ray, and in height."""
    ray = _ray(target.azimuth or 0.0, target.elevation or 0.0)
    u, v = _pixel_sigma(target, noise)
    along_axis = distance * float(ray[2])
    columns = [[u * along_axis / lens.fx, 0.0, 0.0], [0.0, v * along_axis / lens.fy, 0.0], ray * sigma]
    spread = pose.rotation @ np.array(columns).T
    return Measurement(
        "world",
        pose.world_from_camera(ray * distance),
        spread @ spread.T + np.diag([1e-4, 1e-4, 1e-4 + noise.hidden**2]),
        WALKING,
        target.confidence,
        target.confidence * min(1.0, _height(target, lens, along_axis) / WHOLE),
        distance,
        sigma,
        target.distance_source,
    )


def _height(target: Target, lens: Intrinsics, along_axis: float) -> float:
    """How high the blob is, upright in the picture, metres."""
    return (target.box[3] - target.box[1]) / lens.fy * along_axis


def _in_bearing(target: Target, lens: Intrinsics, noise: Noise, distance: float | None, sigma: float) -> Measurement:
    u, v = _pixel_sigma(target, noise)
    variance = np.square([u / lens.fx, v / lens.fy]) + 1e-8
    return Measurement(
        "bearing",
        np.array([target.azimuth, target.elevation]),
        np.diag(variance),
        TURNING,
        target.confidence,
        target.confidence,
        distance,
        sigma,
        target.distance_source,
    )


def _in_pixels(target: Target, noise: Noise) -> Measurement:
    height = target.box[3] - target.box[1]
    motion = Motion(SLIDING.agility * (height * height), SLIDING.speed * height)
    variance = np.square(_pixel_sigma(target, noise)) + 1e-2
    confidence = target.confidence
    return Measurement("pixel", np.array(target.centroid), np.diag(variance), motion, confidence, confidence)


def _pixel_sigma(target: Target, noise: Noise) -> tuple[float, float]:
    left, top, right, bottom = target.box
    return math.hypot(noise.pixel, noise.gait * (right - left)), math.hypot(noise.pixel, noise.gait * (bottom - top))


def _distance(target: Target, noise: Noise, step: float, expected: float | None) -> tuple[float | None, float]:
    """The distance to the middle of the body and its standard deviation, metres.

    Half a depth step counts as one sigma: the error of a distance that hardly changes does not average out.
    """
    if target.distance is None:
        return None, 0.0
    if target.distance_source == "depth":
        return target.distance + noise.body, math.hypot(noise.depth, step / 2)
    return target.distance, noise.height * (target.distance if expected is None else expected)


def _ray(azimuth: float, elevation: float) -> Vector:
    """The camera-frame direction of a bearing, length 1; the inverse of :func:`quadfollow_core.geometry.bearing`."""
    level = math.cos(elevation)
    return np.array([level * math.sin(azimuth), -math.sin(elevation), level * math.cos(azimuth)])


def _usable(measurement: Measurement) -> bool:
    """Whether its numbers are ones that squares and inverses can carry (a NaN is not)."""
    spread = np.concatenate([measurement.noise.ravel(), measurement.motion.agility])
    return bool(np.all(np.abs(measurement.position) <= MAX_COORDINATE) and np.all(np.abs(spread) <= MAX_VARIANCE))
