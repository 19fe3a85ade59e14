"""The stream client keeps its promises against a peer that misbehaves: one fate per frame, never stuck, never old."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zmq

from quadfollow_core import stream_client, wire
from quadfollow_core.codec import encode_jpeg
from quadfollow_core.errors import BadInput, BadMessage, LimitExceeded
from quadfollow_core.stream_client import Fate, StreamClient
from quadfollow_core.track import Track

IMAGE = encode_jpeg(np.zeros((8, 8, 3), np.uint8))
PATIENCE = 60.0
"""Seconds until a wait is given up, by a test or by its client: far above what anything here takes."""


class Clock:
    """The client's clock, which a test may set ahead: what is to happen in time then happens now, and not before."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        """Seconds, as the client counts them."""
        return time.monotonic() + self.ahead

    def time(self) -> float:
        """The wall clock."""
        return time.time()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that clients go by."""
    made = Clock()
    monkeypatch.setattr(stream_client, "time", made)
    return made


class Peer:
    """A ROUTER whose every answer the test writes itself."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], address: str = "tcp://127.0.0.1:*") -> None:
        self.socket = context.socket(zmq.ROUTER)
        self.socket.linger = 0
        while not self._binds(address):
            time.sleep(0.01)
        self.address = self.socket.last_endpoint.decode()

    def _binds(self, address: str) -> bool:
        """Whether an address is to be had; of a socket that was closed, libzmq gives it back in its own time."""
        with contextlib.suppress(zmq.ZMQError):
            self.socket.bind(address)
        return bool(self.socket.last_endpoint)

    def take(self) -> tuple[bytes, dict[str, object]]:
        """The next request's sender and header."""
        assert self.socket.poll(int(1000 * PATIENCE)), "the client sent nothing"
        sender, _, header, *_ = self.socket.recv_multipart()
        return sender, json.loads(header)

    def waiting(self) -> bool:
        """Whether one more request has arrived."""
        return bool(self.socket.poll(100))

    def answer(self, sender: bytes, header: dict[str, object], kind: str = "result", **body: object) -> None:
        """Answer a request."""
        reply = {"type": kind, "id": header["id"], "target": None} | body
        self.socket.send_multipart([sender, wire.MAGIC, json.dumps(reply).encode()])


@pytest.fixture
def start() -> Iterator[Callable[..., Peer]]:
    """Start peers; all are closed at the end."""
    with zmq.Context() as context, contextlib.ExitStack() as stack:

        def make(address: str = "tcp://127.0.0.1:*") -> Peer:
            peer = Peer(context, address)
            stack.callback(peer.socket.close, 0)
            return peer

        yield make


def fates(client: StreamClient, count: int, seconds: float = PATIENCE) -> list[Fate]:
    """The next ``count`` fates, however long the peer takes within reason."""
    got: list[Fate] = []
    end = time.monotonic() + seconds
    while len(got) < count and time.monotonic() < end:
        got += client.poll(0.1)
    return got


def test_an_answer_comes_back_with_its_id_and_age(start: Callable[..., Peer]) -> None:
    """A frame offered is answered under the id that offer returned, with its age since capture."""
    peer = start()
    with StreamClient(peer.address, stream="cam", timeout=PATIENCE) as client:
        number = client.offer(IMAGE, captured=time.monotonic() - 1.0)
        sender, header = peer.take()
        assert (header["stream"], header["encoding"]) == ("cam", "jpeg")
        peer.answer(sender, header)
        (fate,) = fates(client, 1)
    assert (fate.id, fate.outcome) == (number, "result")
    assert fate.age > 1.0
    assert fate.sighting is not None
    assert fate.sighting.target is None


def test_only_the_newest_frame_waits_for_the_credit(start: Callable[..., Peer]) -> None:
    """While one request is in flight later frames replace each other, and the newest goes out next."""
    peer = start()
    with StreamClient(peer.address, timeout=PATIENCE) as client:
        numbers = [client.offer(IMAGE) for _ in range(5)]
        sender, header = peer.take()
        assert header["id"] == numbers[0]
        assert not peer.waiting()
        peer.answer(sender, header)
        got = fates(client, 4)
        sender, header = peer.take()
        assert header["id"] == numbers[-1]
        peer.answer(sender, header)
        got += fates(client, 1)
    outcomes = {fate.id: fate.outcome for fate in got}
    assert outcomes == dict(zip(numbers, ["result", "unsent", "unsent", "unsent", "result"], strict=True))


def test_a_reset_outlives_the_frame_that_asked_for_it(start: Callable[..., Peer]) -> None:
    """A frame that takes the place of one with `reset_track` asks in its stead; the next one no longer does."""
    peer = start()
    with StreamClient(peer.address, timeout=PATIENCE) as client:
        client.offer(IMAGE)
        sender, header = peer.take()
        for resets in ({"reset_track": True}, {}, {"reset_track": False}):
            client.offer(IMAGE, **resets)
        peer.answer(sender, header)
        fates(client, 3)
        sender, header = peer.take()
        assert header["reset_track"] is True
        peer.answer(sender, header)
        fates(client, 1)
        client.offer(IMAGE)
        assert "reset_track" not in peer.take()[1]


def test_two_credits_allow_two_in_flight(start: Callable[..., Peer]) -> None:
    """With two credits a second request leaves before the first is answered."""
    peer = start()
    with StreamClient(peer.address, credit=2, timeout=PATIENCE) as client:
        client.offer(IMAGE)
        client.offer(IMAGE)
        peer.take()
        peer.take()
        client.offer(IMAGE)
        assert not peer.waiting()


def test_depth_goes_out_with_its_header(start: Callable[..., Peer]) -> None:
    """Depth bytes travel as the fourth part, described in the header."""
    peer = start()
    with StreamClient(peer.address, timeout=PATIENCE) as client:
        client.offer(IMAGE, depth=b"depth", depth_header={"encoding": "png", "scale": 0.1})
        assert peer.socket.poll(int(1000 * PATIENCE))
        _, _, header, _, depth = peer.socket.recv_multipart()
    assert depth == b"depth"
    assert json.loads(header)["depth"] == {"encoding": "png", "scale": 0.1}


def test_an_address_that_is_none_is_refused() -> None:
    """A typo in the address is an error that shows what one looks like."""
    with pytest.raises(BadInput, match=r"tcp://127\.0\.0\.1:5555"):
        StreamClient("nonsense")


@pytest.mark.parametrize("kind", ["dropped", "error"])
def test_drops_and_errors_return_the_credit(start: Callable[..., Peer], kind: str) -> None:
    """A dropped or refused frame frees the way for the next."""
    peer = start()
    with StreamClient(peer.address, timeout=PATIENCE) as client:
        client.offer(IMAGE)
        peer.answer(*peer.take(), kind=kind, reason="superseded", code="bad-image")
        (fate,) = fates(client, 1)
        assert fate.outcome == kind
        assert fate.sighting is None
        client.offer(IMAGE)
        peer.take()


@pytest.mark.parametrize("code", ["overloaded", "unavailable"])
def test_a_server_that_has_no_room_is_not_hammered(
    start: Callable[..., Peer], clock: Clock, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    """After an answer that says "not now" the next frame waits a moment, here an hour, and then goes out."""
    monkeypatch.setattr(stream_client, "BACKOFF", (3600.0, 3600.0))
    peer = start()
    with StreamClient(peer.address, timeout=PATIENCE) as client:
        client.offer(IMAGE)
        peer.answer(*peer.take(), kind="error", code=code)
        assert fates(client, 1)[0].outcome == "error"
        client.offer(IMAGE)
        assert not client.idle
        assert fates(client, 1, 0.1) == []
        assert not peer.waiting()
        clock.ahead += 3600.0
        assert fates(client, 1, 0.1) == []
        peer.take()


def test_a_reply_to_nothing_is_counted_and_passed_over(start: Callable[..., Peer]) -> None:
    """An answer with an unknown id neither ends the client nor spends a credit."""
    peer = start()
    with StreamClient(peer.address, timeout=PATIENCE) as client:
        client.offer(IMAGE)
        sender, header = peer.take()
        peer.answer(sender, {"id": 4711})
        peer.answer(sender, header)
        assert fates(client, 1)[0].outcome == "result"
        assert client.strays == 1


@pytest.mark.parametrize(
    "reply",
    [b"not JSON", b'{"type": "result"}', b'{"type": "result", "id": [1]}', b'{"type": "pong", "id": 1}'],
    ids=["text", "no id", "list for an id", "pong"],
)
def test_a_message_that_is_no_reply_is_counted_and_passed_over(start: Callable[..., Peer], reply: bytes) -> None:
    """Whatever a peer says, a client that flies goes on, and its frame keeps its one fate."""
    peer = start()
    with StreamClient(peer.address, timeout=PATIENCE) as client:
        client.offer(IMAGE)
        sender, header = peer.take()
        peer.socket.send_multipart([sender, wire.MAGIC, reply])
        peer.answer(sender, header)
        assert [fate.outcome for fate in fates(client, 1)] == ["result"]
        assert client.strays == 1


def test_a_silent_server_costs_the_frame_not_the_client(start: Callable[..., Peer], clock: Clock) -> None:
    """Without an answer the frame is lost; the next one goes out on a fresh connection, where no late answer comes."""
    peer = start()
    with StreamClient(peer.address, timeout=PATIENCE) as client:
        first = client.offer(IMAGE)
        old_sender, old_header = peer.take()
        clock.ahead += PATIENCE
        (fate,) = fates(client, 1)
        assert (fate.id, fate.outcome) == (first, "lost")
        second = client.offer(IMAGE)
        while not peer.waiting():
            assert client.poll(0.05) == []
        peer.answer(old_sender, old_header)
        sender, header = peer.take()
        assert header["id"] == second
        assert sender != old_sender
        peer.answer(sender, header)
        (fate,) = fates(client, 1)
        assert (fate.id, fate.outcome, client.strays) == (second, "result", 0)


def test_it_goes_on_after_the_server_comes_back(start: Callable[..., Peer], clock: Clock) -> None:
    """A server that dies and returns on the same port is found again, without help."""
    peer = start()
    with StreamClient(peer.address, timeout=PATIENCE) as client:
        client.offer(IMAGE)
        peer.answer(*peer.take())
        assert fates(client, 1)[0].outcome == "result"
        peer.socket.close(0)
        client.offer(IMAGE)
        clock.ahead += PATIENCE
        assert fates(client, 1)[0].outcome == "lost"
        peer = start(peer.address)
        client.offer(IMAGE)
        while not peer.waiting():
            assert client.poll(0.05) == []
        peer.answer(*peer.take())
        assert fates(client, 1)[0].outcome == "result"


def test_nothing_grows_while_no_server_is_there() -> None:
    """A thousand frames offered to nobody leave one waiting, one in flight at most, and a fate for every other."""
    with StreamClient("tcp://127.0.0.1:9", timeout=0.05) as client:
        settled = []
        for _ in range(1000):
            client.offer(IMAGE)
            settled += client.poll()
        assert len(settled) >= 998
        assert {fate.outcome for fate in settled} <= {"unsent", "lost"}
        assert len({fate.id for fate in settled}) == len(settled)


def test_ping_tells_a_living_server_from_none(start: Callable[..., Peer]) -> None:
    """A ping that is answered is True, and one to nobody is False within its time."""
    peer = start()
    with StreamClient(peer.address) as client, ThreadPoolExecutor() as pool:
        pinged = pool.submit(client.ping, PATIENCE)
        sender, header = peer.take()
        assert header["type"] == "ping"
        peer.answer(sender, header, kind="pong")
        assert pinged.result()
    with StreamClient("tcp://127.0.0.1:9") as client:
        assert not client.ping(0.1)


def test_a_ping_answered_by_something_else_found_no_server(start: Callable[..., Peer]) -> None:
    """Whoever does not speak the wire is none."""
    peer = start()
    with StreamClient(peer.address) as client, ThreadPoolExecutor() as pool:
        pinged = pool.submit(client.ping, PATIENCE)
        sender, _ = peer.take()
        peer.socket.send_multipart([sender, b"HTTP/1.1 400 Bad Request"])
        assert pinged.result() is False


def test_closing_with_frames_in_flight_does_not_hang() -> None:
    """A client that is closed while frames wait is gone at once."""
    client = StreamClient("tcp://127.0.0.1:9")
    client.offer(IMAGE)
    client.offer(IMAGE)
    client.close()
    assert client._context.closed


def test_an_answer_carries_its_track() -> None:
    """The reply's track is read as a value; a reply without one has none."""
    track = Track("searching", 1.5)
    assert Fate(1, "result", 0.1, {"track": track.as_dict()}).track == track
    assert Fate(1, "result", 0.1, {}).track is None


def test_an_offer_that_is_refused_leaves_the_waiting_frame_its_one_fate(start: Callable[..., Peer]) -> None:
    """A header that JSON cannot carry, or no server reads, is refused; what waited goes on waiting, answered once."""
    peer = start()
    with StreamClient(peer.address, timeout=PATIENCE) as client:
        first, second = client.offer(IMAGE), client.offer(IMAGE)
        with pytest.raises(BadMessage):
            client.offer(IMAGE, camera={"fx": float("nan")})
        with pytest.raises(LimitExceeded, match="max_header_bytes"):
            client.offer(IMAGE, note="x" * wire.MAX_HEADER)
        fates = []
        for _ in range(2):
            peer.answer(*peer.take())
            fates += client.poll(PATIENCE)
        assert [(fate.id, fate.outcome) for fate in fates] == [(first, "result"), (second, "result")]
        assert client.idle


def test_the_clients_own_keys_cannot_be_overridden(start: Callable[..., Peer]) -> None:
    """Another id or stream in the header would lose every answer."""
    peer = start()
    with StreamClient(peer.address, stream="front", timeout=PATIENCE) as client:
        number = client.offer(IMAGE, id="frame-1", stream="rear")
        sender, header = peer.take()
        assert (header["id"], header["stream"]) == (number, "front")
        peer.answer(sender, header)
        assert [fate.outcome for fate in client.poll(PATIENCE)] == ["result"]


@pytest.mark.parametrize("how", [{"credit": 0}, {"timeout": 0.0}, {"timeout": -1.0}])
def test_a_client_that_could_never_send_is_refused(how: dict[str, float]) -> None:
    """Without a credit nothing goes out, and without time nothing comes back."""
    with pytest.raises(BadInput, match="credit"):
        StreamClient("tcp://127.0.0.1:9", **how)  # type: ignore[arg-type]
