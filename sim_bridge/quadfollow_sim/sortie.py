"""What one closed-loop flight leaves behind: a step per picture, with what was known and done about it."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from quadfollow_core.resize import TARGET
from quadfollow_core.stream_client import Fate
from quadfollow_sim.answers import legible, reason_of
from quadfollow_sim.judge import Witness, judge
from quadfollow_sim.vehicle import Brake, Command, OwnState
from quadfollow_sim.world import Observation, Point


@dataclass(frozen=True, slots=True)
class Step:
    """One picture: where everything was when it was taken, what was answered, what was commanded then."""

    time: float
    """Seconds of the world's clock."""
    position: Point
    """The vehicle's, world frame, metres."""
    speed: float
    yaw: float
    target: Point | None
    """The middle of the target's body, in truth."""
    visible: int | None
    """Pixels of the target in the truth's mask; None where the world does not tell its truth."""
    lag_ms: float
    """How late the picture was taken."""
    outcome: str
    """``result``, ``dropped``, ``error``, ``unsent`` or ``lost``."""
    latency_ms: float | None = None
    """From capture (before the picture is drawn, or when it came) to the command that its answer led to, real clock."""
    state: str | None = None
    """The track's."""
    place: Point | None = None
    """The track's position in the world frame."""
    braking: str | None = None
    """Why the command was to brake; None where it was to fly."""

    name: str = ""
    """What the world calls the picture."""
    reason: str | None = None
    """Why there was no result, as the server told it."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


@dataclass(slots=True)
class Sortie:
    """One closed-loop flight."""

    rate: float
    steps: list[Step] = field(default_factory=list)
    skipped: int = 0
    """Pictures never taken, because the loop came too late for them."""
    collisions: tuple[str, ...] = ()
    seconds: float = 0.0
    interrupted: bool = False
    server_gone: bool = False
    aborted: bool = False
    """Whether an operator's order ended it."""
    orders: list[dict[str, Any]] = field(default_factory=list)
    """The operator's orders that changed the pilot's mode: ``time`` on the world's clock, ``order`` and ``mode``."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A picture whose fate is not known yet."""

    observation: Observation
    own: OwnState
    began: float
    """``time.monotonic()`` before it was drawn."""
    lag: float = 0.0
    """Seconds by which it was late."""
    counts: bool = True
    """Whether it becomes a step: what was taken before the flight began does not."""


class Recorder:
    """Turns pictures and their fates into the steps of a sortie."""

    def __init__(self, sortie: Sortie, witnesses: tuple[Witness, ...] = ()) -> None:
        self.sortie = sortie
        self.recording = True
        """Whether pictures that are taken become steps; before the flight has begun they do not."""
        self._witnesses = witnesses
        self._taken: dict[int, Taken] = {}

    @property
    def open(self) -> tuple[int, ...]:
        """The pictures whose fate is not known yet."""
        return tuple(self._taken)

    def take(self, number: int, taken: Taken) -> None:
        """Note a picture that was offered under a number."""
        self._taken[number] = taken

    def captured(self, fate: Fate) -> float:
        """When the picture of a fate was taken, on the world's clock."""
        return self._taken[fate.id].observation.captured

    def settle(self, fate: Fate, command: Command) -> None:
        """Note a picture's fate and the command that was just given."""
        taken = self._taken.pop(fate.id)
        if not taken.counts:
            return
        self.sortie.steps.append(_step(taken, fate, command))
        fate, when = legible(fate), taken.observation.captured
        row = judge(fate, taken.observation, offered_s=when, lag_ms=1000 * taken.lag, age_ms=None)
        for witness in self._witnesses:
            witness(row, taken.observation, fate)


def _step(taken: Taken, fate: Fate, command: Command) -> Step:
    observation, own, track = taken.observation, taken.own, fate.track
    return Step(
        time=round(observation.captured, 4),
        position=own.position,
        speed=math.hypot(*own.velocity),
        yaw=own.yaw,
        target=observation.target,
        visible=None if observation.truth is None else int((observation.truth == TARGET).sum()),
        lag_ms=round(1000 * taken.lag, 3),
        outcome=fate.outcome,
        latency_ms=round(1000 * (time.monotonic() - taken.began), 3) if fate.outcome == "result" else None,
        state=None if track is None else track.state,
        place=None if track is None else track.world,
        braking=command.reason if isinstance(command, Brake) else None,
        name=observation.name,
        reason=reason_of(fate),
    )
