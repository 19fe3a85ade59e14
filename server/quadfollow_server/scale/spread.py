"""Which replica answers which stream, and what each of them still owes; no sockets, no clock of its own.

A stream stays with its replica, so that its frames are answered in order and its track holds. It changes over only
where nothing of it is under way: because its replica leaves, or because another one has two streams fewer.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from quadfollow_core.errors import Overloaded, QuadfollowError, Unavailable
from quadfollow_core.request import FrameId
from quadfollow_server.room import require_room

LANE_SECONDS = 60.0
"""Silence after which a stream is forgotten, and age at which a frame counts as lost on its way: longer than a replica
may hold one (``queue_seconds``)."""
MAX_LANES = 4096
"""Streams at once at most; beyond it the one that was silent longest is forgotten, if nothing of it is under way."""
MAX_LANES_PER_CLIENT = MAX_LANES // 8
"""Streams of one client at most, likewise."""
MAX_FLIGHTS = 32
"""Frames of one stream that a replica may owe at most; as it drops all but the newest, it seldom owes more than two."""

Lane = tuple[bytes, str]
"""A stream: who sends it, and its name."""


@dataclass(frozen=True, slots=True)
class Flight:
    """One frame that a replica has and has not answered."""

    lane: Lane
    id: FrameId


class Leaving(QuadfollowError):
    """The replica of a stream takes no more frames, and still owes some of that stream."""


@dataclass(slots=True, eq=False)
class _Replica:
    heard: float
    lanes: int = 0
    leaving: bool = False


@dataclass(slots=True)
class _Lane:
    replica: bytes
    seen: float
    flights: list[tuple[FrameId, float]] = field(default_factory=list)
    """What is owed, and since when."""


class Spread:
    """Keeps the books of one gateway."""

    def __init__(self) -> None:
        self._replicas: dict[bytes, _Replica] = {}
        self._lanes: OrderedDict[Lane, _Lane] = OrderedDict()
        """The one that was silent longest is the first."""
        self._lanes_of_client: Counter[bytes] = Counter()

    @property
    def replicas(self) -> list[bytes]:
        """Those that are there, the leaving ones too."""
        return list(self._replicas)

    def lanes_of(self, replica: bytes) -> int:
        """How many streams a replica has."""
        return self._replicas[replica].lanes

    def hear(self, replica: bytes, now: float) -> bool:
        """Note a sign of life; return whether the replica is new."""
        known = self._replicas.get(replica)
        if known is None:
            self._replicas[replica] = _Replica(now)
            return True
        known.heard = now
        return False

    def silent(self, before: float) -> list[bytes]:
        """Those last heard before a moment."""
        return [name for name, replica in self._replicas.items() if replica.heard < before]

    def leave(self, replica: bytes) -> None:
        """Give a replica no more frames; it goes on to owe what it has."""
        if replica in self._replicas:
            self._replicas[replica].leaving = True

    def lose(self, replica: bytes) -> list[Flight]:
        """Forget a replica; return what it owed, which nobody will answer."""
        lost = []
        for name, lane in [item for item in self._lanes.items() if item[1].replica == replica]:
            lost += [Flight(name, number) for number, _ in lane.flights]
            self._end(name, lane)
        self._replicas.pop(replica, None)
        return lost

    def send(self, name: Lane, number: FrameId, now: float) -> bytes:
        """Choose the replica for a frame, which owes it from now on.

        Raises:
            Unavailable: there is no replica.
            Leaving: its replica takes no more, and owes older frames of the stream.
            Overloaded: too many frames of this stream, or too many streams of which some are under way.
        """
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._begin(name, now)
        elif not lane.flights:
            self._change_over(lane)
        elif self._replicas[lane.replica].leaving:
            raise Leaving("the replica of this stream is leaving")
        require_room("max_flights", MAX_FLIGHTS, len(lane.flights))
        lane.seen = now
        self._lanes.move_to_end(name)
        lane.flights.append((number, now))
        return lane.replica

    def settle(self, name: Lane, number: FrameId) -> bool:
        """Note an answer; return whether it was owed."""
        owed = self._lanes[name].flights if name in self._lanes else []
        for flight in owed:
            if flight[0] == number:
                owed.remove(flight)
                return True
        return False

    def expire(self, now: float) -> list[Flight]:
        """Forget streams that fell silent, and frames owed for too long; return those frames."""
        late = []
        for name, lane in list(self._lanes.items()):
            while lane.flights and now - lane.flights[0][1] > LANE_SECONDS:
                late.append(Flight(name, lane.flights.pop(0)[0]))
            if now - lane.seen > LANE_SECONDS:
                self._end(name, lane)
        return late

    def flights(self) -> Iterator[Flight]:
        """All that is owed."""
        for name, lane in self._lanes.items():
            yield from (Flight(name, number) for number, _ in lane.flights)

    def _begin(self, name: Lane, now: float) -> _Lane:
        client = name[0]
        if self._lanes_of_client[client] >= MAX_LANES_PER_CLIENT:
            self._make_room("max_streams_per_client", MAX_LANES_PER_CLIENT, client)
        elif len(self._lanes) >= MAX_LANES:
            self._make_room("max_streams", MAX_LANES)
        lane = self._lanes[name] = _Lane(self._least(), now)
        self._replicas[lane.replica].lanes += 1
        self._lanes_of_client[client] += 1
        return lane

    def _make_room(self, limit: str, allowed: int, client: bytes | None = None) -> None:
        """Forget the stream, of one client where one is given, that was silent longest and of which nothing is owed."""
        for name, lane in self._lanes.items():
            if not lane.flights and client in (None, name[0]):
                return self._end(name, lane)
        raise Overloaded(f"frames of {allowed} streams are under way: try again", limit=limit, allowed=allowed)

    def _end(self, name: Lane, lane: _Lane) -> None:
        self._replicas[lane.replica].lanes -= 1
        self._lanes_of_client[name[0]] -= 1
        if not self._lanes_of_client[name[0]]:
            del self._lanes_of_client[name[0]]
        del self._lanes[name]

    def _change_over(self, lane: _Lane) -> None:
        """Move a stream of which nothing is under way to where there are fewer, if that makes a difference."""
        least, now = self._least(), self._replicas[lane.replica]
        if now.leaving or self._replicas[least].lanes + 1 < now.lanes:
            now.lanes -= 1
            self._replicas[least].lanes += 1
            lane.replica = least

    def _least(self) -> bytes:
        staying = [name for name, replica in self._replicas.items() if not replica.leaving]
        if not staying:
            raise Unavailable("no replica is ready: try again in a moment")
        return min(staying, key=lambda name: self._replicas[name].lanes)
