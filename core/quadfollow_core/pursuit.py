"""One hypothesis of where one person is: a belief, what confirmed it, and how long ago.

Frozen values: prediction, a hit and a miss each make a new one. Confirmation is "m of the last n frames"
(Blackman and Popoli, *Design and Analysis of Modern Tracking Systems*, 1999, section 6.2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from quadfollow_core import kalman
from quadfollow_core.geometry import Camera
from quadfollow_core.kalman import Belief
from quadfollow_core.measure import CLOSING, Measurement, Motion
from quadfollow_core.track import Space
from quadfollow_core.types import DistanceSource

EVIDENCE_OVER = 1.0
"""Seconds over which evidence is gathered and forgotten (the time constant of its mean)."""
MOST_GAIN = 0.25
"""Largest share of the evidence that one frame makes, however long ago the last one was."""
GATE = {2: 13.82, 3: 16.27}
"""Largest squared Mahalanobis distance of a measurement that belongs: the chi-square distribution's 99.9 % point."""
CONFIRMING, LOOKED_AT = 3, 5
"""Seen in so many of the last so many frames, somebody is confirmed."""
TRUST_FOR = 0.5
"""Seconds out of sight after which one sighting no longer moves a person, but it is confirmed anew."""
TRUST_MISSES = 4
"""The same in frames, for slow streams: so many misses are forgiven, while the person is not lost."""
COAST_FOR = 2.0
"""Seconds out of sight after which a person is lost."""
EXPIRE_AFTER = 10.0
"""Seconds out of sight after which the person pursued is forgotten."""
RIVAL_FOR = 1.0
"""Seconds out of sight after which a person beside it is forgotten."""
BESIDE = 3
"""Frames in which somebody must be seen beside the person pursued to be surely another one."""
ENOUGH = 0.2
"""Evidence for a person elsewhere to take the place of one that is lost: 0.3 s in plain view are."""
MARGIN = 0.15
"""Evidence by which a person elsewhere must be better than one in sight to take its place."""


@dataclass(frozen=True, slots=True, eq=False)
class Pursuit:
    """A person believed to be somewhere at ``time``."""

    space: Space
    belief: Belief
    motion: Motion
    time: float
    seen: float
    """Time of the last sighting taken in."""
    recent: tuple[bool, ...]
    """Hit or miss, the last n frames of the confirmation."""
    misses: int
    """Frames in a row without a sighting."""
    updates: int
    range: Belief | None
    """The distance from the camera where the space has none of its own, metres."""
    distance_source: DistanceSource | None
    confidence: float
    evidence: float = 0.0
    """Mean quality of the frames of the last second or so, 0 where it was not seen in any."""
    gain: float = 0.0
    """Share of the evidence that this frame makes."""
    beside: int = 0
    """Frames in which it was seen beside the person pursued, and so was somebody else."""

    @property
    def age(self) -> float:
        """Seconds since the last sighting."""
        return self.time - self.seen

    @property
    def trusted(self) -> bool:
        """Whether one sighting within the gate is enough to move it."""
        few = self.misses < TRUST_MISSES and self.age <= COAST_FOR
        return few or self.age <= TRUST_FOR

    @property
    def confirmed(self) -> bool:
        """Whether it was seen in m of the last n frames."""
        return sum(self.recent) >= CONFIRMING

    @property
    def forgotten(self) -> bool:
        """Whether a person who is not the one pursued was out of sight for long enough to be given up."""
        return self.misses > LOOKED_AT - CONFIRMING and self.age > RIVAL_FOR

    def at(self, time: float, *, doubting: bool = True) -> Pursuit:
        """Predict it to ``time``, seconds, not before its own; unless ``doubting``, its evidence stays as it is."""
        seconds = time - self.time
        belief = kalman.predict(self.belief, seconds, self.motion.agility)
        ahead = None if self.range is None else kalman.predict(self.range, seconds, CLOSING.agility)
        gain = gain_of(seconds) if doubting else 0.0
        evidence = (1 - gain) * self.evidence
        return replace(self, belief=belief, range=ahead, time=time, gain=gain, evidence=evidence)

    def distance(self, camera: Camera | None) -> float | None:
        """Metres from a camera to where it is believed to be; None where that is unknown."""
        if self.space != "world":
            return None if self.range is None else max(0.0, float(self.range.position[0]))
        pose = None if camera is None else camera.pose
        return None if pose is None else math.dist(self.belief.position, pose.position)

    def surprise(self, measurement: Measurement) -> float:
        """The squared Mahalanobis distance of a measurement, infinite in another space."""
        if measurement.space != self.space:
            return math.inf
        return kalman.surprise(self.belief, measurement.position, measurement.noise)

    @property
    def gate(self) -> float:
        """Largest surprise of a measurement that belongs."""
        return GATE[self.belief.size]

    def near(self, other: Pursuit, astray: float = 0.0) -> bool:
        """Whether another one is where this one may be, by the gate.

        Args:
            other: somebody else, at the same time.
            astray: seconds for which this one's velocity may have been wrong.
        """
        if other.space != self.space:
            return False
        size = self.belief.size
        spread = kalman.predict(self.belief, astray, self.motion.agility).covariance
        belief = replace(self.belief, covariance=spread)
        return kalman.surprise(belief, other.belief.position, other.belief.covariance[:size, :size]) <= self.gate

    def hit(self, measurement: Measurement, *, beside: bool = False) -> Pursuit:
        """Take in a measurement of its own time; ``beside``: the person pursued was seen elsewhere in the frame."""
        return replace(
            self,
            beside=self.beside + beside,
            evidence=self.evidence + self.gain * measurement.quality,
            belief=kalman.update(self.belief, measurement.position, measurement.noise),
            motion=measurement.motion,
            seen=self.time,
            recent=(*self.recent, True)[-LOOKED_AT:],
            misses=0,
            updates=self.updates + 1,
            range=_ranged(self.range, measurement),
            distance_source=measurement.distance_source or self.distance_source,
            confidence=measurement.confidence,
        )

    def miss(self) -> Pursuit:
        """Note a frame in which it was not seen."""
        return replace(self, recent=(*self.recent, False)[-LOOKED_AT:], misses=self.misses + 1)


def apart(one: Measurement, other: Measurement) -> bool:
    """Whether two measurements of one frame are too far from each other to be pieces of one person."""
    if one.space != other.space:
        return True
    difference = one.position - other.position
    spread = one.noise + other.noise
    return float(difference @ np.linalg.solve(spread, difference)) > GATE[len(difference)]


def gain_of(seconds: float) -> float:
    """Share of the evidence that a frame makes, so long after the last one."""
    return min(MOST_GAIN, -math.expm1(-seconds / EVIDENCE_OVER))


def begin(measurement: Measurement, time: float, gain: float = 0.0) -> Pursuit:
    """Start from one measurement, which makes ``gain`` of the evidence."""
    return Pursuit(
        space=measurement.space,
        belief=kalman.begin(measurement.position, measurement.noise, measurement.motion.speed),
        motion=measurement.motion,
        time=time,
        seen=time,
        recent=(True,),
        misses=0,
        updates=1,
        range=_ranged(None, measurement),
        distance_source=measurement.distance_source,
        confidence=measurement.confidence,
        evidence=gain * measurement.quality,
    )


def _ranged(known: Belief | None, measurement: Measurement) -> Belief | None:
    if measurement.distance is None:
        return known
    measured, noise = np.array([measurement.distance]), np.array([[measurement.distance_sigma**2 + 1e-4]])
    return kalman.begin(measured, noise, CLOSING.speed) if known is None else kalman.update(known, measured, noise)
