"""How many bytes the bodies of requests may hold between receipt and inference, in all and of one client."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

from quadfollow_core.errors import Overloaded

LIMIT, PER_CLIENT = "max_waiting_bytes", "max_waiting_bytes_per_client"


class Room:
    """A count of bytes with an end, and one for each client; may be used from any thread.

    Args:
        most: bytes that fit in.
        of_client: bytes of one client that fit in; what belongs to nobody (None) is limited only with all others.
    """

    def __init__(self, most: int, of_client: int) -> None:
        self._most = most
        self._most_of_client = of_client
        self._held = 0
        self._held_by: Counter[Hashable] = Counter()
        self._lock = threading.Lock()

    @property
    def held(self) -> int:
        """Bytes taken now."""
        return self._held

    def take(self, size: int, client: Hashable = None, instead_of: int = 0) -> None:
        """Take so many bytes, giving back those that they take the place of.

        Raises:
            Overloaded: there is no room for them; nothing has changed.
        """
        more = size - instead_of
        with self._lock:
            if client is not None:
                require_room(PER_CLIENT, self._most_of_client, self._held_by[client], more)
            require_room(LIMIT, self._most, self._held, more)
            self._held += more
            self._held_by[client] += more

    def give(self, size: int, client: Hashable = None) -> None:
        """Give so many bytes back."""
        with self._lock:
            self._held -= size
            self._held_by[client] -= size
            if not self._held_by[client]:
                del self._held_by[client]

    @contextmanager
    def share(self, client: Hashable) -> Iterator[Callable[[int], None]]:
        """Yield a ``take(size)`` whose bytes are all given back when the block ends."""
        taken = 0

        def take(size: int) -> None:
            nonlocal taken
            self.take(size, client)
            taken += size

        try:
            yield take
        finally:
            self.give(taken, client)


def require_room(limit: str, allowed: int, held: int, more: int = 1) -> None:
    """Refuse what does not fit in beside what is held.

    Raises:
        Overloaded: more than ``allowed`` would be held.
    """
    if held + more > allowed:
        raise Overloaded(
            f"{limit} is limited to {allowed}, and {held} are held: try again", limit=limit, allowed=allowed
        )
