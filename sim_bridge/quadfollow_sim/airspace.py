"""The seam between the closed loop and a world that is flown in: frames, a vehicle, and a clock they share.

Time passes by :meth:`Airspace.advance` alone, so the same world runs in lockstep with whoever looks at it, or beside
the real clock.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from quadfollow_sim.surroundings import Surroundings
from quadfollow_sim.vehicle import Command, OwnState
from quadfollow_sim.world import Observation


class Airspace(Protocol):
    """A world with a vehicle in it, on a clock of its own that starts at zero."""

    @property
    def time(self) -> float:
        """Seconds since the start."""

    @property
    def own(self) -> OwnState:
        """The vehicle's state now."""

    @property
    def surroundings(self) -> Surroundings:
        """What stands around now, but for the target: where that is, only the pictures tell."""

    @property
    def collisions(self) -> tuple[str, ...]:
        """What the vehicle has touched so far, a word for each touch."""

    def advance(self, time: float) -> None:
        """Fly on until ``time``; a time gone by changes nothing."""

    def capture(self) -> Observation:
        """The picture of now, ``captured`` on this clock."""

    def command(self, command: Command) -> None:
        """Take a command; it holds until the next one."""


@runtime_checkable
class SelfPaced(Protocol):
    """What an airspace has beside, if its pictures come when they come; its clock is the real one."""

    @property
    def skipped(self) -> int:
        """Pictures that a newer one replaced before anybody looked."""

    @property
    def over(self) -> bool:
        """Whether pictures came and will come no more."""

    def wait(self, seconds: float) -> bool:
        """Wait at most ``seconds`` for a picture that was not captured yet; say whether there is one."""
