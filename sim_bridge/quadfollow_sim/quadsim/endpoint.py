"""The WebSocket door that QuadSim knocks at: one client at a time, served by a thread of its own.

The event loop runs apart from whoever uses the frames, so a slow network never delays a pong. A second client is
refused while the first is alive, and takes its place once that has been silent for SILENCE.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import Any

from quadfollow_core.errors import Unavailable

try:
    from aiohttp import web
except ImportError as error:
    raise Unavailable("QuadSim's endpoint needs aiohttp: pip install 'quadfollow[sim]'") from error

from quadfollow_sim.quadsim import engineio
from quadfollow_sim.quadsim.mailbox import Mailbox
from quadfollow_sim.quadsim.session import Counts, Received, Session, Timing

HOST, PORT, PATH = "127.0.0.1", 4567, "/socket.io/"
"""Where QuadSim looks; it cannot be told otherwise."""
SILENCE = 3.0
"""Seconds without a word after which a client may be replaced; QuadSim pings about every 0.7 s."""
MAX_MESSAGE = 4 * 1024 * 1024
"""Largest message in bytes; a frame of QuadSim has about 100 kB."""

TIMING = Timing()

log = logging.getLogger(__name__)


class Endpoint:
    """A Socket.IO server for one simulator.

    Args:
        host: address to listen at.
        port: 4567 for QuadSim, 0 for any free one.
        timing: Engine.IO's times.
        patience: seconds for which a second client is held before it is refused. QuadSim tries again at once and
            for ever, so without it two of them would keep a core busy.
    """

    def __init__(self, host: str = HOST, port: int = PORT, *, timing: Timing = TIMING, patience: float = 1.0) -> None:
        self.host = host
        self.port = port
        self.frames: Mailbox[Received] = Mailbox()
        self.counts = Counts()
        self._timing = timing
        self._patience = patience
        self._session: Session | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="quadsim-endpoint", daemon=True)
        self._runner: web.AppRunner | None = None

    @property
    def connected(self) -> bool:
        """Whether a client is being served."""
        return self._session is not None

    @property
    def address(self) -> str:
        """Where a simulator connects."""
        return f"ws://{self.host}:{self.port}{PATH}"

    def start(self) -> None:
        """Listen.

        Raises:
            Unavailable: the port is taken.
        """
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        except OSError as error:
            self.close()
            raise Unavailable(
                f"port {self.port} at {self.host} cannot be had ({error.strerror}): QuadSim connects to {PORT} only, "
                "so stop what else listens there, such as another bridge"
            ) from error

    def close(self) -> None:
        """Hang up and stop listening. Who waits for a frame goes without one."""
        self.frames.close()
        if not self._thread.is_alive():
            return
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def emit(self, name: str, data: Any) -> None:
        """Send an event to the client, from any thread, without waiting; it is counted where there is none.

        Raises:
            BadMessage: a number that is not finite.
        """
        text = engineio.event_packet(name, data)
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._offer, text)

    def _offer(self, text: str) -> None:
        if self._session is None:
            self.counts.unsent += 1
        else:
            self._session.offer(text)

    async def _listen(self) -> None:
        app = web.Application()
        app.router.add_get("/socket.io{slash:/?}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        if self._session is not None:
            await self._session.hang_up()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("transport") != "websocket":
            return _refusal(400, 0, "WebSocket only: connect with transports=['websocket']")
        if not await self._make_room():
            self.counts.refused += 1
            log.warning("refused a second client from %s: one simulator at a time", request.remote)
            return _refusal(409, 4, "another simulator is connected; one at a time")
        socket = web.WebSocketResponse(max_msg_size=MAX_MESSAGE, compress=False, timeout=1.0)
        session = Session(socket, self.frames, self.counts, self._timing, greet_first=request.query.get("EIO") == "3")
        self._session = session
        try:
            await socket.prepare(request)
            await self._serve(session)
        finally:
            if self._session is session:
                self._session = None
        return socket

    async def _serve(self, session: Session) -> None:
        self.counts.clients += 1
        log.info("a simulator connected (client %d)", self.counts.clients)
        await session.run()
        log.info("the simulator went; %d frames came, %d passed over", self.frames.received, self.frames.skipped)

    async def _make_room(self) -> bool:
        """Wait a little for the present client to go; drop it if it has fallen silent."""
        end = time.monotonic() + self._patience
        while (present := self._session) is not None:
            if time.monotonic() - present.last_heard > SILENCE:
                log.warning("the simulator has been silent for %g s: a new one takes its place", SILENCE)
                self._session = None
                await present.hang_up()
                return self._session is None
            if time.monotonic() >= end:
                return False
            await asyncio.sleep(0.02)
        return True


def _refusal(status: int, code: int, message: str) -> web.Response:
    return web.json_response({"code": code, "message": message}, status=status)
