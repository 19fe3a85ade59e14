"""How many bytes the bodies of requests may hold between receipt and inference, over both doors together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from quadfollow_core.errors import Overloaded

LIMIT = "max_waiting_bytes"


class Room:
    """A count of bytes with an end; may be used from any thread.

    Args:
        most: bytes that fit in.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._lock = threading.Lock()

    @property
    def held(self) -> int:
        """Bytes taken now."""
        return self._held

    def take(self, size: int, instead_of: int = 0) -> None:
        """Take so many bytes, giving back those that they take the place of.

        Raises:
            Overloaded: there is no room for them; nothing has changed.
        """
        with self._lock:
            held = self._held + size - instead_of
            if held > self._most:
                raise Overloaded(
                    f"{LIMIT} is limited to {self._most}, and {self._held} are held: try again",
                    limit=LIMIT,
                    allowed=self._most,
                )
            self._held = held

    def give(self, size: int) -> None:
        """Give so many bytes back."""
        with self._lock:
            self._held -= size

    @contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """Yield a ``take(size)`` whose bytes are all given back when the block ends."""
        taken = 0

        def take(size: int) -> None:
            nonlocal taken
            self.take(size)
            taken += size

        try:
            yield take
        finally:
            self.give(taken)
