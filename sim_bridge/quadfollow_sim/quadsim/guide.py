"""The steersman for a vehicle that flies itself: answers come in, points to follow go out.

It keeps to the pilot's rules: nothing without an order to arm, no stale answer, no first word without a sure track.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from quadfollow_core.track import Track
from quadfollow_sim.safety import Mode, Order, SafetyRule, is_flyable, is_fresh, obey
from quadfollow_sim.vehicle import Brake, Command, Follow, OwnState


@dataclass(slots=True)
class Guide:
    """Points to the target while its track is followed or predicted, and brakes otherwise.

    Brake means *lost* to a vehicle that looks after itself. ``now`` and capture times are seconds on one clock.
    """

    period: float
    """Seconds between frames, which sets how old an answer may be."""
    safety: SafetyRule = field(default_factory=lambda: SafetyRule(min_updates=3))
    """Its least confidence and sightings hold for the first word; fence and margins are the vehicle's own business."""
    mode: Mode = "disarmed"
    _heard: tuple[Track, float] | None = None
    _earned: bool = False

    def order(self, order: Order) -> Mode:
        """Obey an order of the operator and return the mode it led to."""
        self.mode = obey(self.mode, order)
        if self.mode in ("disarmed", "aborted"):
            self._earned = False
        return self.mode

    def hear(self, track: Track, captured: float, now: float) -> bool:
        """Take in the answer to a frame captured then; False where it is stale, not newer than the last, or absurd."""
        newest = self._heard is None or captured > self._heard[1]
        if not (newest and is_fresh(captured, now, self.period) and is_flyable(track)):
            return False
        self._heard = (track, captured)
        self._earned = self._earned or self.safety.earns_first_motion(track)
        return True

    def command(self, own: OwnState, now: float) -> Command:
        """Where the target is now, or why nobody can say."""
        if self.mode != "armed":
            return Brake(self.mode)
        if self._heard is None or not is_fresh(self._heard[1], now, self.period):
            return Brake("no fresh answer")
        track, captured = self._heard
        if not self._earned:
            return Brake("not sure enough yet")
        if track.state not in ("following", "coasting"):
            return Brake(track.state)
        point = track.after(now - captured).world
        return Brake("the track has no place in the world") if point is None else Follow(point)
