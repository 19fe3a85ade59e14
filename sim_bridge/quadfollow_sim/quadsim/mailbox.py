"""A slot that holds the newest item only: what arrives faster than it is taken is passed over and counted."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Mailbox(Generic[Item]):
    """Hand the newest item from one thread to another; the giver never waits."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: Item | None = None
        self._closed = False
        self.received = 0
        self.skipped = 0
        """Items that a newer one replaced before anybody took them."""

    def put(self, item: Item) -> None:
        """Leave the newest item."""
        with self._changed:
            self.received += 1
            self.skipped += self._item is not None
            self._item = item
            self._changed.notify()

    def take(self, timeout: float | None) -> Item | None:
        """Take the item out, waiting up to ``timeout`` seconds (None: for ever) for one; None when none came."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._closed, timeout)
            item, self._item = self._item, None
            return item

    def close(self) -> None:
        """Let everybody who waits go empty-handed, now and later."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
