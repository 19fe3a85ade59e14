"""The default tracker: one pursued person, and rivals that must earn the place.

Each sighting moves whoever it surprises least, within the gate, the pursued person before those not seen beside her:
so somebody dressed nearly like the target who passes by has a place of his own and does not carry the pursuit away.
Rivals gather evidence (how surely, how wholly and how often they were seen of late). Who appears close beside the
pursued person, seen clearly better than that one, begins with all that spoke for it: where a passer-by has dragged the
pursuit off, the past tells for neither. Rivals take the place of the pursued person

- while she was seen lately: by clearly more evidence, as when the wrong one was picked;
- out of sight for longer, while she coasts: by being confirmed within her gate, since that is she, unless the two were
  seen side by side;
- once she is lost: by evidence enough, anywhere.

So a false blob during an occlusion costs nothing, and a target that comes back elsewhere is found again. Who stands
surely seen, for a few frames, close to where the pursued person should be and is not, is taken for that person: waiting
for both to be seen side by side lost the target of a flight in wind to the passer-by who had dragged the pursuit off.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from quadfollow_core.measure import Measurement, Noise, measure
from quadfollow_core.pursuit import (
    BESIDE,
    COAST_FOR,
    ENOUGH,
    EXPIRE_AFTER,
    MARGIN,
    MOST_GAIN,
    TRUST_FOR,
    Pursuit,
    apart,
    begin,
    gain_of,
)
from quadfollow_core.track import Look, State, Track, is_late, is_rewound

MOST_RIVALS = 4
"""Most persons that are kept in mind beside the pursued one."""


class KalmanTracker:
    """A constant-velocity Kalman filter with gating, confirmation, coasting and re-acquisition."""

    def __init__(self, noise: Noise | None = None) -> None:
        self._noise = noise or Noise()
        self.reset()

    def reset(self) -> None:
        """Forget the target."""
        self._pursued: Pursuit | None = None
        self._rivals: list[Pursuit] = []
        self._track: Track | None = None

    @property
    def pursued(self) -> Pursuit | None:
        """The confirmed person, with the whole belief, as of the last look."""
        return self._pursued

    @property
    def rivals(self) -> tuple[Pursuit, ...]:
        """Whoever else may be the target, the likeliest first, as of the last look."""
        return tuple(self._rivals)

    def update(self, look: Look) -> Track:
        """Take in one frame; see :meth:`quadfollow_core.track.Tracker.update`."""
        if self._track is not None and is_late(look, self._track):
            return self._track
        if is_rewound(look, self._track):
            self.reset()
        gain = MOST_GAIN if self._track is None else gain_of(look.time - self._track.time)
        self._advance(look.time)
        self._see(look, gain)
        self._choose()
        self._track = _describe(self._pursued, look)
        return self._track

    def _advance(self, time: float) -> None:
        """Predict to the frame's time, and forget who was out of sight for too long."""
        if self._pursued is not None:
            expired = time - self._pursued.seen > EXPIRE_AFTER
            # Who is out of sight for longer may be hidden, which says nothing about who it is.
            doubting = self._pursued.trusted
            self._pursued = None if expired else self._pursued.at(time, doubting=doubting)
        rivals = [rival.at(time) for rival in self._rivals if time - rival.seen <= EXPIRE_AFTER]
        self._rivals = [rival for rival in rivals if not rival.forgotten]

    def _see(self, look: Look, gain: float) -> None:
        """Let each sighting move whom it surprises least; what moves nobody may be somebody new."""
        known = self._pursued
        trusted = known is not None and known.trusted
        people = [known] if trusted and known is not None else []
        people += self._rivals
        sightings = _Seen(look, self._noise)
        hits = self._hits(sightings, people, first=trusted)
        seen = trusted and 0 in hits
        moved = [
            who.hit(hits[index], beside=seen and index > 0) if index in hits else who.miss()
            for index, who in enumerate(people)
        ]
        if trusted:
            self._pursued = moved.pop(0)
        elif known is not None:
            self._pursued = known.miss()
        clear = MARGIN + (hits[0].quality if seen else 0.0)
        newcomers = [
            self._newcomer(one, look.time, gain, known if trusted and one.quality > clear else None)
            for one in self._unexplained(sightings, list(hits.values()))
        ]
        self._rivals = sorted(moved + newcomers, key=lambda who: -who.evidence)[:MOST_RIVALS]

    def _newcomer(self, measurement: Measurement, time: float, gain: float, known: Pursuit | None) -> Pursuit:
        """Somebody new; close to the ``known`` one perhaps her, whom another drags off: the past is of both then."""
        person = begin(measurement, time, gain)
        if known is None or not known.near(person, astray=TRUST_FOR):
            return person
        return replace(person, evidence=known.evidence + person.evidence)

    def _hits(self, seen: _Seen, people: Sequence[Pursuit], *, first: bool) -> dict[int, Measurement]:
        """Which sighting moves whom, each at most one: the least surprising pairs within the gate first.

        Where the ``first`` of the people is the one pursued, those never surely seen beside that one come after:
        an odd sighting of her begins a rival, which would otherwise share all her later sightings.
        """
        pairs = [
            (first and index > 0 and who.beside < BESIDE, surprise, index, number, measurement)
            for index, who in enumerate(people)
            for number, measurement in seen.by(who)
            if (surprise := who.surprise(measurement)) <= who.gate
        ]
        hits: dict[int, Measurement] = {}
        used: set[int] = set()
        for *_, index, number, measurement in sorted(pairs, key=lambda pair: pair[:4]):
            if index not in hits and number not in used:
                hits[index] = measurement
                used.add(number)
        return hits

    def _unexplained(self, seen: _Seen, explained: list[Measurement]) -> list[Measurement]:
        """Sightings that no other one explains, largest first: the pieces of one person are one person."""
        fresh: list[Measurement] = []
        for _, measurement in seen.by(self._pursued):
            if all(measurement is not one and apart(measurement, one) for one in explained + fresh):
                fresh.append(measurement)
        return fresh

    def _choose(self) -> None:
        """Let the best rival that earned it take the place."""
        able = [rival for rival in self._rivals if rival.confirmed and self._may_follow(rival)]
        if not able:
            return
        before, best = self._pursued, max(able, key=lambda who: who.evidence)
        self._rivals.remove(best)
        if before is None:
            self._pursued = best
            return
        self._pursued = replace(best, updates=before.updates + best.updates)
        if before.trusted:
            self._rivals.append(before)
        elif before.age <= COAST_FOR:
            self._pursued = replace(self._pursued, evidence=max(before.evidence, best.evidence))

    def _may_follow(self, rival: Pursuit) -> bool:
        """Whether a rival may take the place of the pursued person, if confirmed."""
        known = self._pursued
        if rival.misses > 0:
            return False
        if known is None:
            return True
        if known.trusted:
            return rival.evidence > known.evidence + MARGIN
        if known.age <= COAST_FOR:
            return known.near(rival) and rival.beside < BESIDE
        return rival.evidence >= ENOUGH


class _Seen:
    """The sightings of one frame as measurements. Who looks for a person knows how far off that one should be."""

    def __init__(self, look: Look, noise: Noise) -> None:
        target = look.sighting.target
        self._targets = () if target is None else (target, *look.sighting.candidates)
        self._look = look
        self._noise = noise
        self._made: dict[tuple[int, float | None], Measurement | None] = {}

    def by(self, known: Pursuit | None) -> Iterator[tuple[int, Measurement]]:
        """All that can be measured, numbered, largest first."""
        distance = None if known is None else known.distance(self._look.camera)
        for number, target in enumerate(self._targets):
            # Where the distance was measured, nobody's expectation matters.
            expected = None if target.distance_source == "depth" else distance
            measurement = self._measured(number, expected)
            if measurement is not None:
                yield number, measurement

    def _measured(self, number: int, expected: float | None) -> Measurement | None:
        key = (number, expected)
        if key not in self._made:
            look, target = self._look, self._targets[number]
            self._made[key] = measure(target, look.camera, self._noise, look.depth_step, expected)
        return self._made[key]


def _state(person: Pursuit | None) -> State:
    if person is None:
        return "searching"
    if person.misses == 0:
        return "following"
    return "coasting" if person.age <= COAST_FOR else "lost"


def _describe(person: Pursuit | None, look: Look) -> Track:
    state = _state(person)
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
