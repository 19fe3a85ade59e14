"""The pilot: answers come in, commands go out. Controller, obstacles, safety and limits in their order.

It has no clock of its own: ``now`` and the capture times are seconds on one clock, the bridge's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from quadfollow_core.errors import BadInput
from quadfollow_core.track import Track
from quadfollow_sim.barrier import Caution, Wall, closing_speed, steer_clear, wall_from
from quadfollow_sim.follow import Formation, follow
from quadfollow_sim.limits import Limits
from quadfollow_sim.safety import Hearing, Mode, Order, SafetyRule
from quadfollow_sim.search import Search, search, side_of
from quadfollow_sim.surroundings import Scattered, Surroundings
from quadfollow_sim.vehicle import Brake, OwnState, Steering, Velocity
from quadfollow_sim.world import Point

REACH = 8.0
"""Metres within which obstacles and people matter."""
LONGEST_STEP = 0.2
"""Seconds of acceleration granted to one command at most, however long the last one was ago."""
ROUGH = 0.5
"""Metres per second of approach beyond what a wall allows that a gentle change can't mend: then brake."""

Controller = Callable[[Track, OwnState], Velocity | None]
"""Says which motion follows a track extrapolated to now; None where the track does not say in which direction."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All numbers a pilot flies by."""

    formation: Formation = field(default_factory=Formation)
    search: Search = field(default_factory=Search)
    limits: Limits = field(default_factory=Limits)
    caution: Caution = field(default_factory=Caution)
    safety: SafetyRule = field(default_factory=SafetyRule)
    obstacle_margin: float = 1.0
    """Metres to any solid thing."""

    def __post_init__(self) -> None:
        if not 0 < self.obstacle_margin < REACH:
            raise BadInput(
                f"a pilot keeps a margin above 0 and below {REACH:g} m to things, got {self.obstacle_margin}"
            )


class Pilot(Hearing):
    """Flies one vehicle after one target.

    Args:
        period: seconds between frames, which sets how old an answer may be.
        plan: the numbers to fly by.
        surroundings: what stands around; an open field if None.
        controller: what to wish for while she is followed or predicted; :func:`follow` in the plan's formation if None.
    """

    def __init__(
        self,
        period: float,
        plan: Plan | None = None,
        surroundings: Surroundings | None = None,
        controller: Controller | None = None,
    ) -> None:
        if not 0 < period <= 10:
            raise BadInput(f"a pilot needs a frame period between 0 and 10 s, got {period}")
        self._plan = plan or Plan()
        super().__init__(period, self._plan.safety)
        self._surroundings = surroundings or Scattered()
        self._controller = controller or partial(follow, formation=self._plan.formation)
        self._last: tuple[Point, float] | None = None
        self._side = 1.0

    def order(self, order: Order) -> Mode:
        """Obey an order of the operator and return the mode it led to."""
        if super().order(order) != "armed":
            self._last = None
        return self.mode

    def command(self, own: OwnState, now: float) -> Steering:
        """What the vehicle is to do now."""
        track = self.track(now)
        if isinstance(track, Brake):
            return self._brake(track.reason)
        wish = self._wish(track, own)
        if wish is None:
            return self._brake("the track has no bearing: frames need the camera's intrinsics")
        if self.earned:
            walls = self._walls(own, track)
            velocity = steer_clear(wish.linear, walls, self._plan.caution)
            if velocity is None:
                return self._brake("no way out between obstacles, people and fence", wish)
            wish = replace(wish, linear=velocity)
        else:
            walls, wish = (), replace(wish, linear=(0.0, 0.0, 0.0))
        return self._flown(wish, own, walls, now)

    def _wish(self, track: Track, own: OwnState) -> Velocity | None:
        if track.state in ("following", "coasting"):
            self._side = side_of(track, own)
            return self._controller(track, own)
        return search(track, own, self._plan.formation, self._plan.search, self._side)

    def _walls(self, own: OwnState, track: Track) -> Sequence[Wall]:
        """Fence and people from the safety rule, and the obstacles at their margin."""
        people = list(self._surroundings.people(own.position, REACH))
        if track.world is not None and track.state in ("following", "coasting"):
            people.append(track.world)
        things = self._surroundings.obstacles(own.position, REACH)
        solid = tuple(wall_from(thing, own.position, self._plan.obstacle_margin) for thing in things)
        return self._plan.safety.walls(own.position, people) + solid

    def _flown(self, wish: Velocity, own: OwnState, walls: Sequence[Wall], now: float) -> Steering:
        """The wish within limits; a brake where the way there would be too rough or makes no sense."""
        start = own.velocity if self.earned else (0.0, 0.0, 0.0)
        before, since = self._last or (start, now - self._period)
        seconds = min(max(now - since, 0.0), LONGEST_STEP)
        command = self._plan.limits.apply(wish, before, seconds)
        if any(self._is_rough(command, wall) for wall in walls):
            return self._brake("too close, too fast", command)
        self._last = (command.linear, now)
        return command

    def _is_rough(self, command: Velocity, wall: Wall) -> bool:
        closing = closing_speed(command.linear, wall)
        return closing > 0 and closing + self._plan.caution.least(wall.gap) > ROUGH

    def _brake(self, reason: str, wish: Velocity | None = None) -> Brake:
        self._last = None
        if wish is None:
            return Brake(reason)
        looking = self._plan.limits.apply(wish, (0.0, 0.0, 0.0), 0.0)
        return Brake(reason, looking.yaw_rate, looking.tilt)
