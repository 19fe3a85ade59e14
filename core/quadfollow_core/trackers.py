"""The trackers to choose from."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from quadfollow_core.centroid_tracker import CentroidTracker
from quadfollow_core.errors import BadInput
from quadfollow_core.kalman_tracker import KalmanTracker
from quadfollow_core.track import Tracker

TRACKERS: Mapping[str, Callable[[], Tracker]] = {"kalman": KalmanTracker, "centroid": CentroidTracker}
"""``centroid`` is the baseline."""


def make_tracker(name: str = "kalman") -> Tracker:
    """Make a tracker by its name, ``kalman`` or ``centroid``.

    Raises:
        BadInput: there is no such tracker.
    """
    if name not in TRACKERS:
        raise BadInput(f"there is no tracker {name!r}: use {' or '.join(TRACKERS)}")
    return TRACKERS[name]()
