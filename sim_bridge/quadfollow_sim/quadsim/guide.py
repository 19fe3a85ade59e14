"""The steersman for a vehicle that flies itself: answers come in, points to follow go out.

It keeps to the pilot's rules: nothing without an order to arm, no stale answer, no first word without a sure track.
"""

from __future__ import annotations

from quadfollow_sim.safety import Hearing, SafetyRule
from quadfollow_sim.vehicle import Brake, Command, Follow, OwnState

RULE = SafetyRule(min_updates=3)
"""Its least confidence and sightings hold for the first word; fence and margins are the vehicle's own business."""


class Guide(Hearing):
    """Points to the target while its track is followed or predicted, and brakes otherwise.

    Brake means *lost* to a vehicle that looks after itself. ``now`` and capture times are seconds on one clock.
    """

    def __init__(self, period: float, rule: SafetyRule = RULE) -> None:
        super().__init__(period, rule)

    def command(self, own: OwnState, now: float) -> Command:
        """Where the target is now, or why nobody can say."""
        track = self.track(now)
        if isinstance(track, Brake):
            return track
        if not self.earned:
            return Brake("not sure enough yet")
        if track.state not in ("following", "coasting"):
            return Brake(track.state)
        return Brake("the track has no place in the world") if track.world is None else Follow(track.world)
