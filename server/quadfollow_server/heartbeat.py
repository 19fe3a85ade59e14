"""What a server process tells its supervisor: its ports, that it is ready, and again and again that it goes on.

One line each on a pipe: ``listening {"http": …}``, ``ready``, ``beat``. A beat is written by the event loop, and only
if the inference worker heard of longest ago has moved on since the last one: event loop and every worker must make
progress for the supervisor to hear it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from dataclasses import asdict

from quadfollow_server.service import Service

BEAT_SECONDS = 0.5
"""Time from one beat to the next; longer than an idle worker's turn."""


class Heartbeat:
    """Writes to the supervisor's pipe from the server's event loop.

    Args:
        pipe: descriptor of its writing end; it is closed with this process.
    """

    def __init__(self, pipe: int) -> None:
        os.set_blocking(pipe, False)  # a supervisor that does not read must not stop the server
        os.set_inheritable(pipe, False)
        self._pipe = pipe
        self._heard = 0.0

    def watch(self, service: Service) -> None:
        """Tell that the server listens, and later that it is ready; see :class:`quadfollow_server.serve.Server`."""
        if service.models.ready:
            self._tell("ready")
        else:
            self._tell(f"listening {json.dumps(asdict(service.ports))}")
            self._beat(service)

    def _beat(self, service: Service) -> None:
        if service.dispatcher.turned > self._heard:
            self._heard = service.dispatcher.turned
            self._tell("beat")
        asyncio.get_running_loop().call_later(BEAT_SECONDS, self._beat, service)

    def _tell(self, line: str) -> None:
        try:
            os.write(self._pipe, f"{line}\n".encode())
        except BlockingIOError:
            pass  # the pipe holds thousands of unread beats
        except OSError:  # the supervisor is gone, and nobody else would end this process
            signal.raise_signal(signal.SIGTERM)
