"""From a class mask to the target's place: pixel, bearing, distance, world position.

The decision rule (threshold on the target's probability, smallest blob) stands in the model's contract and can be
changed per request. The largest blob above it is the target.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from quadfollow_core.errors import BadGeometry, BadInput
from quadfollow_core.geometry import LARGEST, Camera, Vector, bearing
from quadfollow_core.resize import PERSON, Letterbox, plan_fit
from quadfollow_core.types import Blob, DistanceSource, Sighting, Target

TARGET_HEIGHT = 1.6
"""Height of QuadSim's hero in metres, for the range estimate without depth."""
TARGET_DEPTH = 0.25
"""How deep she is from front to back in metres: from above, her box reaches from the near foot to the far shoulder,
from below from the far foot to the near shoulder."""
STEEPEST = math.radians(75)
"""Largest angle to the ground, in radians, under which a person's height tells her distance.

Seen from more steeply, head and shoulders fill most of the box, and the estimate is short by a fifth or more.
"""
MOST_LEANING = math.radians(60)
"""Largest angle between a body as the camera sees it and the plane of the box's middle line, in radians."""
MAX_PEOPLE = 64
"""Most person blobs reported per frame, largest first."""
MAX_CANDIDATES = 4
"""Most target blobs looked at per frame, largest first: the target and those a tracker may prefer."""


@dataclass(frozen=True, slots=True)
class Rule:
    """When a blob counts as the target: probability ≥ ``threshold``/255 on at least ``min_area`` mask pixels."""

    threshold: int = 128
    min_area: int = 4

    def __post_init__(self) -> None:
        if not all(type(value) is int for value in (self.threshold, self.min_area)):
            raise BadInput(f"threshold and min_area are integers, got {self.threshold!r} and {self.min_area!r}")
        if not 1 <= self.threshold <= 255:
            raise BadInput(f"threshold lies between 1 and 255 (probability times 255), got {self.threshold}")
        if self.min_area < 1:
            raise BadInput(f"min_area is at least 1 mask pixel, got {self.min_area}")


@dataclass(frozen=True, slots=True)
class Depth:
    """Planar depth along the optical axis, registered to the frame.

    ``values`` is ``(H, W)`` of any size with the frame's proportions; metres = value · ``scale``. Zero, values of
    ``max_value`` and above (sky) and values that are not finite carry no measurement.
    """

    values: NDArray[np.generic]
    scale: float
    max_value: float = float("inf")

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.size == 0:
            raise BadGeometry(f"depth must be a (height, width) picture, got shape {self.values.shape}")
        if not 0 < self.scale <= LARGEST:
            raise BadGeometry(f"depth scale must be a positive number of metres per unit, got {self.scale}")

    def require_shape_of(self, frame_size: tuple[int, int]) -> None:
        """Refuse to be laid over a frame of other proportions, ``(width, height)``.

        Raises:
            BadGeometry: they differ by more than rounding to whole pixels.
        """
        height, width = self.values.shape
        if abs(width * frame_size[1] - height * frame_size[0]) > max(frame_size):
            raise BadGeometry(
                f"a depth picture of {width}x{height} cannot lie over a frame of {frame_size[0]}x{frame_size[1]}: "
                "register it to the camera's picture first"
            )


@dataclass(frozen=True, slots=True)
class Segmentation:
    """The network's answer for one frame, at the model's size, and how the frame lies in it.

    ``classes`` is ``(h, w)`` uint8 (0 background, 1 person, 2 target); ``target_probability`` is ``(h, w)`` uint8,
    floor(255·p); ``frame_size`` is ``(width, height)`` of the frame as sent.
    """

    classes: NDArray[np.uint8]
    target_probability: NDArray[np.uint8]
    letterbox: Letterbox
    frame_size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Component:
    """One connected component: its blob in frame pixels, and where its pixels are."""

    blob: Blob
    labels: NDArray[np.int32]
    """The labels within its box."""
    label: int
    """Which of them are its own."""
    corner: tuple[int, int]
    """The mask's row and column of the box's upper left pixel."""

    def mean(self, plane: NDArray[np.uint8]) -> float:
        """Mean of a plane of the mask's size over its pixels, 0 to 255."""
        top, left = self.corner
        height, width = self.labels.shape
        marked = (self.labels == self.label).view(np.uint8)
        # OpenCV multiplies by one over the number of pixels, which may round to a bit above the largest value.
        return min(255.0, cv2.mean(plane[top : top + height, left : left + width], marked)[0])

    def pixels(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Its pixels in the mask, as rows and columns."""
        rows, columns = np.nonzero(self.labels == self.label)
        return rows + self.corner[0], columns + self.corner[1]


def locate(
    segmentation: Segmentation,
    rule: Rule,
    camera: Camera | None = None,
    depth: Depth | None = None,
    *,
    people: bool = True,
) -> Sighting:
    """Find the target and, with ``people``, the other people in a segmented frame.

    Bearing needs ``camera``; distance needs ``depth``, or is estimated from the apparent height; the world position
    needs the camera's pose as well.

    Raises:
        BadGeometry: ``depth`` has other proportions than the frame.
    """
    if depth is not None:
        depth.require_shape_of(segmentation.frame_size)
    chosen = _within_frame(segmentation.target_probability >= rule.threshold, segmentation)
    components = _components(chosen, rule.min_area, segmentation, most=MAX_CANDIDATES)
    others: tuple[Blob, ...] = ()
    if people:
        persons = _within_frame(segmentation.classes == PERSON, segmentation) & ~chosen
        others = tuple(part.blob for part in _components(persons, rule.min_area, segmentation, most=MAX_PEOPLE))
    if not components:
        return Sighting(None, others)
    target, *candidates = (_target(component, segmentation, camera, depth) for component in components)
    return Sighting(target, others, tuple(candidates))


def _within_frame(mask: NDArray[np.bool_], segmentation: Segmentation) -> NDArray[np.bool_]:
    """Clear what the network sees in the bars that pad a frame of another shape than the model's."""
    height, width = mask.shape
    _, (left, top, inner_width, inner_height) = plan_fit(segmentation.frame_size, (width, height))
    if (inner_width, inner_height) != (width, height):
        inside = np.zeros_like(mask)
        inside[top : top + inner_height, left : left + inner_width] = True
        mask = mask & inside
    return mask


def _components(mask: NDArray[np.bool_], min_area: int, segmentation: Segmentation, most: int) -> list[_Component]:
    """Return the largest ``most`` 8-connected components of at least ``min_area`` pixels, largest first."""
    pixels = mask.view(np.uint8)
    left, top, width, height = cv2.boundingRect(pixels)
    if not width:
        return []
    inner = pixels[top : top + height, left : left + width]  # most of a mask is empty: only this much is searched
    _, labels, stats, centroids = cv2.connectedComponentsWithStats(inner, connectivity=8)
    found = list(zip(range(len(stats)), stats.tolist(), centroids.tolist(), strict=True))[1:]  # 0 is the background
    found = [one for one in found if one[1][cv2.CC_STAT_AREA] >= min_area]
    found.sort(key=lambda one: -one[1][cv2.CC_STAT_AREA])
    return [_component(labels, *one, (left, top), segmentation.letterbox) for one in found[:most]]


def _component(
    labels: NDArray[np.int32],
    label: int,
    stats: list[int],
    centroid: list[float],
    corner: tuple[int, int],
    box: Letterbox,
) -> _Component:
    """Read one component of a part of the mask whose upper left pixel is ``corner``."""
    left, top, width, height, area = stats
    own = labels[top : top + height, left : left + width]
    left, top = left + corner[0], top + corner[1]
    # connectedComponents puts pixel centres at integers; ours are at half integers.
    u, v = centroid[0] + 0.5, centroid[1] + 0.5
    blob = Blob(
        centroid=box.to_frame(u + corner[0], v + corner[1]),
        box=(*box.to_frame(left, top), *box.to_frame(left + width, top + height)),
        area=area / (box.scale_u * box.scale_v),
    )
    return _Component(blob, own, label, (top, left))


def _target(component: _Component, segmentation: Segmentation, camera: Camera | None, depth: Depth | None) -> Target:
    blob, confidence = component.blob, component.mean(segmentation.target_probability) / 255
    target = Target(blob.centroid, blob.box, blob.area, confidence)
    return target if camera is None else _with_place(target, component, segmentation, camera, depth)


def _with_place(
    target: Target, component: _Component, segmentation: Segmentation, camera: Camera, depth: Depth | None
) -> Target:
    try:
        ray = camera.intrinsics.unproject(*target.centroid)
    except BadGeometry:  # a pixel where the lens model does not hold: better no bearing than a wrong one
        return target
    azimuth, elevation = bearing(ray)
    target = replace(target, azimuth=azimuth, elevation=elevation)
    along_axis = _measured_depth(component, segmentation, depth) if depth is not None else None
    source: DistanceSource = "depth" if along_axis is not None else "height"
    if along_axis is None:
        along_axis = _depth_from_height(target, segmentation.frame_size, camera)
    if along_axis is None:
        return target
    point = ray * along_axis
    world = None if camera.pose is None else _triple(camera.pose.world_from_camera(point))
    return replace(target, distance=float(np.linalg.norm(point)), distance_source=source, world=world)


def _measured_depth(component: _Component, segmentation: Segmentation, depth: Depth) -> float | None:
    """Median planar depth in metres over the blob's pixels, or None where nothing was measured."""
    height, width = depth.values.shape
    frame_width, frame_height = segmentation.frame_size
    rows, columns = component.pixels()
    u, v = segmentation.letterbox.to_frame(columns + 0.5, rows + 0.5)  # type: ignore[arg-type]
    columns = np.clip(np.asarray(u) * width / frame_width, 0, width - 1).astype(np.intp)
    rows = np.clip(np.asarray(v) * height / frame_height, 0, height - 1).astype(np.intp)
    values = depth.values[rows, columns].astype(np.float64)
    values = values[np.isfinite(values) & (values > 0) & (values < depth.max_value)]
    return float(np.median(values)) * depth.scale if values.size else None


def _depth_from_height(target: Target, frame_size: tuple[int, int], camera: Camera) -> float | None:
    """Planar depth in metres of an upright person of TARGET_HEIGHT and TARGET_DEPTH that fills the target's box.

    The rays through the middle of the box's lower and upper edge must meet her feet and, TARGET_HEIGHT above them, her
    shoulders: of feet and shoulders each the near side or the far one, whichever the view from above or below leaves
    outermost. Two unknown ranges, three equations, solved by least squares. Up is the world's when the pose is known,
    the picture's otherwise. None when the frame's edge cuts the person, the lens model does not hold there, she is seen
    from more steeply than STEEPEST, or nobody upright fits the box.
    """
    left, top, right, bottom = target.box
    if top <= 0.5 or bottom >= frame_size[1] - 0.5:
        return None
    middle = (left + right) / 2
    try:
        head, feet = camera.intrinsics.unproject(middle, top), camera.intrinsics.unproject(middle, bottom)
    except BadGeometry:
        return None
    up = np.array([0.0, -1.0, 0.0]) if camera.pose is None else camera.pose.rotation.T @ np.array([0.0, 0.0, 1.0])
    ahead = (head + feet) / np.linalg.norm(head + feet)
    level = ahead - (ahead @ up) * up
    if np.linalg.norm(level) < math.cos(STEEPEST):
        return None
    farther = -(np.sign(head @ up) + np.sign(feet @ up)) / 2  # 1 seen from above, 0 from between, -1 from below
    body = up * TARGET_HEIGHT + level / np.linalg.norm(level) * TARGET_DEPTH * farther
    ranges, missed, *_ = np.linalg.lstsq(np.column_stack([head, -feet]), body, rcond=None)
    across = body @ body - (body @ ahead) ** 2
    fits = ranges.min() > 0 and missed.size and missed[0] < math.sin(MOST_LEANING) ** 2 * across
    return float(ranges.mean()) if fits else None


def _triple(vector: Vector) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in vector)
    return x, y, z
