"""QuadSim as a world: frames come in, points to follow go out.

QuadSim flies itself. Told where the target is, it looks for its own true hero and follows that, so it shows whether we
find the target, never how well we place it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from types import TracebackType

from quadfollow_core.errors import QuadfollowError
from quadfollow_core.geometry import Camera
from quadfollow_core.locate import Depth
from quadfollow_sim.quadsim import commands
from quadfollow_sim.quadsim.commands import Box, Command
from quadfollow_sim.quadsim.endpoint import HOST, PORT, Endpoint
from quadfollow_sim.quadsim.far_plane import FarPlaneCheck
from quadfollow_sim.quadsim.frames import FAR, parse_sensor_frame
from quadfollow_sim.quadsim.pose import Attitude, WrongCulture
from quadfollow_sim.quadsim.session import Counts, Received
from quadfollow_sim.world import Observation, Point

RATE = 5.0
"""Frames per second of real time, whatever speed the simulation runs at."""

log = logging.getLogger(__name__)


class QuadSimWorld:
    """A place for QuadSim to connect to. Use it as a context manager, from one thread.

    Args:
        host: address to listen at; QuadSim looks at 127.0.0.1 only.
        port: port to listen at; QuadSim looks at 4567 only.
        far: the simulator's far plane in metres: 100 in its last builds.
        ground: height of the ground in metres, against which ``far`` is checked; None for no check.
        tell: told each of the notices; a warning in the log by default.

    Raises:
        Unavailable: the port is taken.
    """

    def __init__(
        self,
        host: str = HOST,
        port: int = PORT,
        *,
        far: float = FAR,
        ground: float | None = 0.0,
        tell: Callable[[str], None] = log.warning,
    ) -> None:
        self.notices: list[str] = []
        """What the pilot should know, in full sentences; each is told once too."""
        self.body: Attitude | None = None
        """The quadcopter's own place and attitude in the last frame."""
        self._tell = tell
        self._far = far
        self._check = None if ground is None else FarPlaneCheck(far, ground)
        self._endpoint = Endpoint(host, port)
        self._endpoint.start()
        log.info("waiting for QuadSim at %s", self._endpoint.address)

    def __enter__(self) -> QuadSimWorld:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def port(self) -> int:
        """The port listened at."""
        return self._endpoint.port

    @property
    def address(self) -> str:
        """Where a simulator connects."""
        return self._endpoint.address

    @property
    def counts(self) -> Counts:
        """What came and went since the start; read only."""
        return self._endpoint.counts

    @property
    def skipped(self) -> int:
        """Frames that a newer one replaced before they were read."""
        return self._endpoint.frames.skipped

    def poll(self, seconds: float) -> Observation | None:
        """Wait for the next frame and return it; None when none came for so long, or after close.

        Raises:
            WrongCulture: QuadSim prints decimal commas, and would misread our numbers; the message names the remedy.
        """
        end = time.monotonic() + seconds
        while (received := self._endpoint.frames.take(max(0.0, end - time.monotonic()))) is not None:
            observation = self._observe(received)
            if observation is not None:
                return observation
        return None

    def close(self) -> None:
        """Hang up; QuadSim goes back to its patrol and tries to reconnect for ever."""
        self._endpoint.close()

    def follow(self, point: Point) -> None:
        """Say where the target is, world frame, metres. Repeat it at least once a second while following."""
        self._send(commands.object_detected(point))

    def lost(self) -> None:
        """Say that the target is lost."""
        self._send(commands.object_lost())

    def show(self, number: int, box: Box) -> None:
        """Show a box in QuadSim's window, or move the one of this number."""
        self._send(commands.create_box_marker(number, box))

    def hide(self, number: int) -> None:
        """Take a box away."""
        self._send(commands.delete_marker(number))

    def _send(self, command: Command) -> None:
        self._endpoint.emit(command.name, command.data)

    def _observe(self, received: Received) -> Observation | None:
        """Read a frame; None for a malformed one, which is counted."""
        try:
            frame = parse_sensor_frame(received.packet.argument(), self._far)
        except WrongCulture:
            raise
        except QuadfollowError as error:
            self._reject(error)
            return None
        self.body = frame.body
        if frame.depth is not None:
            self._check_far_plane(frame.depth, frame.camera)
        name = f"quadsim_{received.number:06d}"
        return Observation(frame.image, name, received.at, frame.camera, frame.depth)

    def _check_far_plane(self, depth: Depth, camera: Camera) -> None:
        if self._check is None:
            return
        self._check.add(depth.values, camera)
        verdict = self._check.verdict()
        if verdict is not None:
            self._notice(verdict)
            self._check = None

    def _reject(self, error: QuadfollowError) -> None:
        self.counts.malformed += 1
        if self.counts.malformed == 1:
            self._notice(f"ignored a frame that cannot be read: {error}")

    def _notice(self, text: str) -> None:
        self.notices.append(text)
        self._tell(text)
