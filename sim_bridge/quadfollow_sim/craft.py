"""A vehicle with its pilot, as an operator's orders see it: obeys, tells how it stands, knows when an abort is done."""

from __future__ import annotations

import math
from typing import Any, Protocol

from quadfollow_core.track import Track
from quadfollow_sim.airspace import Airspace
from quadfollow_sim.orders.door import OrdersDoor
from quadfollow_sim.safety import Mode, Order
from quadfollow_sim.vehicle import Brake, Command, OwnState

STANDING = 0.15
"""Metres per second below which an aborted vehicle has come to a stand."""
STOPS_WITHIN = 4.0
"""Seconds of the world's clock that it is given for that at most."""
MOST_ORDERS = 1000
"""Changes of mode that are kept for the report."""


class Steersman(Protocol):
    """Who turns answers into commands: a pilot that flies, or one that tells a simulator where to fly."""

    @property
    def mode(self) -> Mode:
        """What orders led to."""

    def order(self, order: Order) -> Mode:
        """Obey an order of the operator and return the mode it led to."""

    def hear(self, track: Track, captured: float, now: float) -> bool:
        """Take in the answer to a picture captured then; False where it changes nothing."""

    def command(self, own: OwnState, now: float) -> Command:
        """What the vehicle is to do now."""


class Craft:
    """The vehicle of a world and the pilot that flies it.

    Args:
        world: with the vehicle.
        pilot: as armed as it is.
        door: where orders come in; None for nowhere.
    """

    def __init__(self, world: Airspace, pilot: Steersman, door: OrdersDoor | None = None) -> None:
        self.orders: list[dict[str, Any]] = []
        """The orders that changed the pilot's mode: ``time`` on the world's clock, ``order`` and ``mode``."""
        self._world = world
        self._pilot = pilot
        self._door = door
        self._aborted_at: float | None = None
        self._state: str | None = None
        self._command: Command = Brake("not begun")

    @property
    def mode(self) -> Mode:
        """The pilot's."""
        return self._pilot.mode

    @property
    def takes_orders(self) -> bool:
        """Whether there is a door for them."""
        return self._door is not None

    @property
    def is_aborted(self) -> bool:
        """Whether an order aborted the flight."""
        return self._aborted_at is not None

    @property
    def has_stopped(self) -> bool:
        """Whether an abort is done: the vehicle has come to a stand, or had its time to."""
        if self._aborted_at is None:
            return False
        stands = math.hypot(*self._world.own.velocity) < STANDING
        return stands or self._world.time - self._aborted_at > STOPS_WITHIN

    def hear(self, track: Track, captured: float) -> None:
        """Let the pilot hear the answer to a picture taken at a time of the world's clock."""
        self._state = track.state
        self._pilot.hear(track, captured, self._world.time)

    def command(self) -> Command:
        """Command the vehicle what is to be done now, and return that."""
        self._command = self._pilot.command(self._world.own, self._world.time)
        self._world.command(self._command)
        return self._command

    def attend(self, timeout: float = 0.0, *, late: bool = False) -> None:
        """Look at the orders that have come; see :meth:`OrdersDoor.attend`."""
        if self._door is not None:
            self._door.attend(self, timeout, late=late)

    def order(self, order: Order) -> Mode:
        """Obey an order, and command by it at once; after an abort there is nothing else to obey."""
        before = self.mode
        if not self.is_aborted:
            self._pilot.order(order)
            self.command()
        if self.mode == "aborted" and self._aborted_at is None:
            self._aborted_at = self._world.time
        if self.mode != before and len(self.orders) < MOST_ORDERS:
            self.orders.append({"time": round(self._world.time, 3), "order": order, "mode": self.mode})
        return self.mode

    def status(self) -> dict[str, Any]:
        """How it stands, ready for JSON: world frame, metres, seconds of the world's clock."""
        own = self._world.own
        return {
            "mode": self.mode,
            "time": round(self._world.time, 3),
            "position": [round(value, 3) for value in own.position],
            "speed": round(math.hypot(*own.velocity), 3),
            "state": self._state,
            "braking": self._command.reason if isinstance(self._command, Brake) else None,
        }
