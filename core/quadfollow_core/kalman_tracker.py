"""The default tracker: one pursued person, and one rival that must earn the place.

While the pursued person was seen lately, a sighting within the gate moves it and every other one is a decoy. Out of
sight for longer, a person is first confirmed beside it: within the gate while it coasts, anywhere once it is lost.
So a false blob during an occlusion costs nothing, and a target that comes back elsewhere is found again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from quadfollow_core.measure import Measurement, Noise, measure
from quadfollow_core.pursuit import Patience, Pursuit, begin
from quadfollow_core.track import Look, State, Track, is_late, is_rewound


class KalmanTracker:
    """A constant-velocity Kalman filter with gating, confirmation, coasting and re-acquisition."""

    def __init__(self, patience: Patience | None = None, noise: Noise | None = None) -> None:
        self._patience = patience or Patience()
        self._noise = noise or Noise()
        self.reset()

    def reset(self) -> None:
        """Forget the target."""
        self._pursued: Pursuit | None = None
        self._rival: Pursuit | None = None
        self._track: Track | None = None

    @property
    def pursued(self) -> Pursuit | None:
        """The confirmed person, with the whole belief, as of the last look."""
        return self._pursued

    def update(self, look: Look) -> Track:
        """Take in one frame; see :meth:`quadfollow_core.track.Tracker.update`."""
        if self._track is not None and is_late(look, self._track):
            return self._track
        if is_rewound(look, self._track):
            self.reset()
        self._advance(look.time)
        if self._pursued is not None and self._pursued.trusted(self._patience):
            self._rival, self._pursued = None, self._followed(self._pursued, look)
        else:
            self._confirm(look)
        self._track = _describe(self._pursued, look, self._patience)
        return self._track

    def _advance(self, time: float) -> None:
        """Predict to the frame's time, and forget who was out of sight for too long."""
        ages = self._patience.expire_after
        people = (self._pursued, self._rival)
        known = (who if who is not None and time - who.seen <= ages else None for who in people)
        self._pursued, self._rival = (None if who is None else who.at(time) for who in known)

    def _measurements(self, look: Look, known: Pursuit | None) -> Iterator[Measurement]:
        """All that could be the person known, largest first."""
        sighting, expected = look.sighting, None if known is None else known.distance(look.camera)
        targets = () if sighting.target is None else (sighting.target, *sighting.candidates)
        for target in targets:
            measurement = measure(target, look.camera, self._noise, look.depth_step, expected)
            if measurement is not None and (known is None or known.takes(measurement)):
                yield measurement

    def _followed(self, person: Pursuit, look: Look) -> Pursuit:
        """Take in the nearest sighting within the gate, or note that there was none."""
        frames = self._patience.confirm[1]
        best = min(self._measurements(look, person), key=person.surprise, default=None)
        return person.miss(frames) if best is None else person.hit(best, frames)

    def _confirm(self, look: Look) -> None:
        """Look for somebody to pursue; who is confirmed takes the place."""
        if self._pursued is not None:
            self._pursued = self._pursued.miss(self._patience.confirm[1])
        if self._rival is not None:
            self._rival = self._followed(self._rival, look)
        if self._rival is None or self._rival.hopeless(self._patience):
            self._rival = self._newcomer(look)
        if self._rival is not None and self._rival.confirmed(self._patience):
            before = 0 if self._pursued is None else self._pursued.updates
            self._pursued, self._rival = replace(self._rival, updates=before + self._rival.updates), None

    def _newcomer(self, look: Look) -> Pursuit | None:
        """The first sighting that may be the target: near the one that coasts, anywhere otherwise."""
        known = self._pursued
        coasting = known is not None and known.age <= self._patience.coast_for
        first = next(self._measurements(look, known if coasting else None), None)
        return None if first is None else begin(first, look.time)


def _state(person: Pursuit | None, patience: Patience) -> State:
    if person is None:
        return "searching"
    if person.misses == 0:
        return "following"
    return "coasting" if person.age <= patience.coast_for else "lost"


def _describe(person: Pursuit | None, look: Look, patience: Patience) -> Track:
    state = _state(person, patience)
    if person is None:
        return Track(state, look.time)
    sigma = person.belief.sigma
    return Track(
        state,
        look.time,
        person.space,
        position=tuple(person.belief.position.tolist()),
        velocity=tuple(person.belief.velocity.tolist()),
        position_sigma=tuple(sigma[: person.belief.size].tolist()),
        velocity_sigma=tuple(sigma[person.belief.size :].tolist()),
        age=person.age,
        updates=person.updates,
        distance=person.distance(look.camera),
        distance_source=person.distance_source,
        confidence=person.confidence,
    )
