"""QuadSim as an airspace: the closed loop looks through its camera, and tells it where to follow.

QuadSim sends pictures at its own pace and takes points, so it needs a steersman that gives points
(:class:`quadfollow_sim.quadsim.guide.Guide`). The clock starts with the first picture.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace

from quadfollow_core.errors import BadInput, Unavailable
from quadfollow_sim.quadsim.commands import Box
from quadfollow_sim.quadsim.pose import Attitude
from quadfollow_sim.quadsim.world import QuadSimWorld
from quadfollow_sim.surroundings import Scattered, Surroundings
from quadfollow_sim.vehicle import Brake, Command, Follow, OwnState
from quadfollow_sim.world import Observation

MARKER = 1
"""The id of the box that shows where the target is believed to be."""
SILENCE = 10.0
"""Seconds without a picture, once they came, after which no more are expected."""
AT_REST = OwnState((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), 0.0, 0.0)


class QuadSimSpace:
    """A QuadSim that connects sooner or later; an airspace that paces itself.

    Args:
        world: the listening endpoint; it stays open.
        with_depth: whether to pass its depth pictures on.
        silence: see :data:`SILENCE`.
        patience: seconds after which a first picture is waited for no longer.
    """

    def __init__(
        self,
        world: QuadSimWorld,
        *,
        with_depth: bool = True,
        silence: float = SILENCE,
        patience: float = math.inf,
    ) -> None:
        self.own = AT_REST
        self.surroundings: Surroundings = Scattered()
        self.collisions: tuple[str, ...] = ()
        self._world = world
        self._with_depth = with_depth
        self._silence = silence
        self._patience = patience
        self._opened = time.monotonic()
        self._first: float | None = None
        self._newest = 0.0
        self._picture: Observation | None = None
        self._following = False

    @property
    def time(self) -> float:
        """Seconds since the first picture came, 0 before."""
        return 0.0 if self._first is None else time.monotonic() - self._first

    @property
    def skipped(self) -> int:
        """Pictures that a newer one replaced before anybody looked."""
        return self._world.skipped

    @property
    def over(self) -> bool:
        """Whether none came for long, after some did."""
        return self._first is not None and self.time - self._newest > self._silence

    def advance(self, time: float) -> None:
        """Nothing: QuadSim goes on by itself."""

    def wait(self, seconds: float) -> bool:
        """Wait for the next picture.

        Raises:
            WrongCulture: QuadSim prints decimal commas; the message names the remedy.
            Unavailable: its first picture did not come in time.
        """
        observation = self._world.poll(seconds)
        if observation is None:
            self._check_patience()
            return False
        if self._first is None:
            self._first = observation.captured
        self._take(replace(observation, captured=observation.captured - self._first))
        return True

    def capture(self) -> Observation:
        """The picture that was waited for.

        Raises:
            BadInput: nobody waited for one.
        """
        if self._picture is None:
            raise BadInput("wait for a picture of QuadSim before capturing it")
        return self._picture

    def command(self, command: Command) -> None:
        """Point to the target, or, once, say that it is lost.

        Raises:
            BadInput: a velocity; QuadSim flies itself.
        """
        match command:
            case Follow(point):
                self._world.follow(point)
                self._world.show(MARKER, Box(Attitude(point, 0.0, 0.0, 0.0)))
                self._following = True
            case Brake():
                if self._following:
                    self._world.lost()
                    self._world.hide(MARKER)
                self._following = False
            case _:
                raise BadInput(f"QuadSim takes points to follow, not {command}")

    def _check_patience(self) -> None:
        if self._first is None and time.monotonic() - self._opened > self._patience:
            where = f"no picture of QuadSim came to {self._world.address} within {self._patience:g} s"
            raise Unavailable(f"{where}: {self._why_not()}")

    def _why_not(self) -> str:
        counts = self._world.counts
        if counts.malformed:
            return "; ".join([f"it connected, but {counts.malformed} messages cannot be read", *self._world.notices])
        if counts.clients:
            return "it connected, but sent none: wait longer with --patience"
        return "start it on this machine, it connects by itself, or wait longer with --patience"

    def _take(self, observation: Observation) -> None:
        before, self._newest = self._newest, observation.captured
        self._picture = observation if self._with_depth else replace(observation, depth=None)
        body, camera = self._world.body, observation.camera
        if body is None or camera is None or camera.pose is None:
            return
        passed = max(observation.captured - before, 1e-3)
        moved = zip(body.position, self.own.position, strict=True)
        x, y, z = ((now - then) / passed if before else 0.0 for now, then in moved)
        ahead = camera.pose.rotation[:, 2]
        self.own = OwnState(body.position, (x, y, z), body.yaw, math.asin(max(-1.0, min(1.0, -float(ahead[2])))))
