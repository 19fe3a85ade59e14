"""Reads a ZeroMQ socket on the event loop, without ever blocking it and without leaving anything unread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import zmq

BATCH = 256
"""Message parts read in one go before the event loop gets its turn."""
MAX_PARTS = 4
"""Parts of the longest message of the wire; of a longer one, one more is kept, so that it can be noticed."""

Accept = Callable[[bytes, list[memoryview]], None]


class MessageReader:
    """Hands a socket's messages on, each as its first part (a ROUTER's: who sent it) and the others.

    Args:
        socket: it lives on the event loop's thread.
        accept: called with each message; must not raise.
        gathering: entered while a batch is read.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        accept: Accept,
        gathering: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._socket = socket
        self._descriptor = int(socket.getsockopt(zmq.FD))
        self._accept = accept
        self._gathering = gathering
        self._parts: list[memoryview] = []
        self._coming_back = False

    def start(self) -> None:
        """Begin to read; call it on the event loop."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._descriptor, self._drain)
        self.soon()

    def stop(self, most: int = 0) -> None:
        """Read no more than so many parts that have come already, then nothing."""
        self._loop.remove_reader(self._descriptor)
        self._read(most)

    def soon(self) -> None:
        """Come back, once however often it is asked. A send may swallow the news of what has come: ask after each."""
        if not self._coming_back:
            self._coming_back = True
            self._loop.call_soon(self._drain)

    def _drain(self) -> None:
        """Take all that waits. The socket's descriptor tells only of changes, so stopping early means coming back."""
        self._coming_back = False
        if self._socket.closed:
            return
        with self._gathering():
            exhausted = self._read(BATCH)
        if not exhausted:
            self.soon()

    def _read(self, most: int) -> bool:
        """Take up to so many message parts; return whether nothing is left."""
        for _ in range(most):
            try:
                part = self._socket.recv(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return True
            if len(self._parts) <= 1 + MAX_PARTS:
                self._parts.append(part.buffer)
            if not part.more:
                (first, *parts), self._parts = self._parts, []
                self._accept(bytes(first), parts)
        return False
