"""The ZeroMQ door: frames in through a ROUTER, replies back through it, results out through a PUB.

The sockets live on the event loop's thread and never block it: reading goes on until nothing is left, a reply that a
client does not take is counted and forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import zmq

from quadfollow_core import wire
from quadfollow_core.codec import sniff
from quadfollow_core.errors import LimitExceeded, Overloaded, QuadfollowError
from quadfollow_core.request import FrameId, FrameRequest, Result, camera_header, frame_id, stream_name
from quadfollow_server.dispatch import Dispatcher
from quadfollow_server.frame_log import tell_refusal
from quadfollow_server.jobs import Dropped, Job, Outcome, as_known
from quadfollow_server.metrics import Metrics
from quadfollow_server.settings import MAX_PICTURE
from quadfollow_server.zmq_reader import BATCH, MessageReader

DOOR = "zmq"
FAREWELL = 4096
"""Unread message parts that are still answered when the server stops."""
READABLE = int(zmq.POLLIN)
MOST_TOPICS = 256
"""Subscribed topics up to which each result's is looked up among them."""


class ZmqDoor:
    """Serves the wire of :mod:`quadfollow_core.wire` on a bound ROUTER socket."""

    def __init__(self, router: zmq.Socket[bytes], dispatcher: Dispatcher, metrics: Metrics, max_bytes: int) -> None:
        self._router = router
        self._reader = MessageReader(router, self._accept, dispatcher.gathering)
        self._dispatcher = dispatcher
        self._metrics = metrics
        self._max_bytes = max_bytes

    def start(self) -> None:
        """Begin to take messages; call it on the event loop."""
        self._reader.start()

    def stop(self) -> None:
        """Answer what is still unread (the dispatcher drops it by now) and take no more."""
        self._reader.stop(FAREWELL)
        self._router.close(linger=500)

    def _accept(self, client: bytes, parts: list[memoryview]) -> None:
        try:
            asked = self._decode(parts)
        except Exception as error:  # noqa: BLE001  no message may stall the door
            known = as_known(error, "reading a message")
            self._metrics.count(DOOR, "error", known.code)
            number, stream = named(parts)
            tell_refusal(DOOR, known, id=number, stream=stream)
            return self.send(client, Result(error_body(known, number, stream)))
        if isinstance(asked, wire.Ping):
            return self.send(client, Result({"type": "pong", "id": asked.id}))
        lane = (client, asked.stream)
        answer = partial(self._answer, client, asked)
        return self._dispatcher.submit(Job(asked, DOOR, answer, lane, newest_wins=True, client=client))

    def _decode(self, parts: list[memoryview]) -> FrameRequest | wire.Ping:
        size = sum(len(part) for part in parts)
        if size > self._max_bytes:
            raise LimitExceeded("max_body_bytes", got=size, allowed=self._max_bytes)
        return wire.decode_request(parts)

    def _answer(self, client: bytes, request: FrameRequest, outcome: Outcome) -> None:
        match outcome:
            case Result():
                self.send(client, outcome)
            case Dropped():
                self.send(client, Result(dropped_body(outcome, request)))
            case QuadfollowError():
                self.send(client, Result(error_body(outcome, request.id, request.stream)))

    def send(self, client: bytes, reply: Result) -> None:
        """Send a client something; one that does not take it misses it."""
        if self._router.closed:
            return
        try:
            self._router.send_multipart([client, *wire.encode_reply(reply)], zmq.NOBLOCK)
        except zmq.ZMQError:  # gone, or it does not read
            self._metrics.lose()
        self._reader.soon()


class Publisher:
    """Publishes results, each under the topic of its stream, on a bound XPUB socket.

    Results, and pictures with results, are encoded only while somebody subscribes to the stream's topic.
    """

    def __init__(self, pub: zmq.Socket[bytes]) -> None:
        self._pub = pub
        self._results: set[bytes] = set()
        self._pictures: set[bytes] = set()

    def publish(self, job: Job, result: Result) -> None:
        """Send one result, without its mask, to whom it concerns; a subscriber that does not read misses it."""
        request = job.request
        self._hear()
        plain = _is_asked(wire.topic(request.stream), self._results)
        pictured = _is_asked(wire.picture_topic(request.stream), self._pictures)
        if not (plain or pictured):
            return
        body = {key: value for key, value in result.body.items() if key != "mask"}
        if request.truth is not None:
            body["truth"] = {"target": list(request.truth)}
        if plain:
            self._pub.send_multipart(wire.encode_publication(request.stream, body), zmq.NOBLOCK)
        if pictured:
            shown = request.image if len(request.image) <= MAX_PICTURE else b""
            self._pub.send_multipart(wire.encode_picture(request.stream, body | _as_sent(request), shown), zmq.NOBLOCK)

    def _hear(self) -> None:
        """Note who began (1) or ceased (0) to subscribe: the number's byte, then the topic."""
        for _ in range(BATCH):
            if not int(self._pub.getsockopt(zmq.EVENTS)) & READABLE:
                return
            change, asked = _split(self._pub.recv(zmq.NOBLOCK))
            topics = self._pictures if asked.startswith(wire.PICTURES) else self._results
            if change == 1:
                topics.add(asked)
            elif change == 0:
                topics.discard(asked)


def _is_asked(topic: bytes, asked: set[bytes]) -> bool:
    """Whether somebody may have subscribed; of too many topics each is taken to be, and the socket sorts it out."""
    return len(asked) > MOST_TOPICS or topic.startswith(tuple(asked))


def _split(message: bytes) -> tuple[int | None, bytes]:
    return (message[0] if message else None), message[1:]


def _as_sent(request: FrameRequest) -> dict[str, object]:
    """What the publication of a picture says beside the result: how to read it, and its camera."""
    picture: dict[str, object] = {"encoding": request.encoding or sniff(request.image)}
    if request.size is not None:
        picture["width"], picture["height"] = request.size
    camera = None if request.camera is None else camera_header(request.camera)
    return {"picture": picture if len(request.image) <= MAX_PICTURE else None, "camera": camera}


def dropped_body(dropped: Dropped, request: FrameRequest) -> dict[str, object]:
    """Write a ``dropped`` reply."""
    return {
        "type": "dropped",
        "id": request.id,
        "stream": request.stream,
        "captured_at": request.captured_at,
        "reason": dropped.reason,
        "held_ms": dropped.held_ms,
    }


def error_body(error: QuadfollowError, number: FrameId, stream: str) -> dict[str, object]:
    """Write an ``error`` reply."""
    body: dict[str, object] = {
        "type": "error",
        "id": number,
        "stream": stream,
        "code": error.code,
        "detail": str(error),
    }
    if isinstance(error, LimitExceeded | Overloaded):
        body |= {"limit": error.limit, "allowed": error.allowed}
    return body


def named(parts: Sequence[memoryview]) -> tuple[FrameId, str]:
    """Read id and stream of a request that is wrong in some other way, as far as they can be read."""
    try:
        header = wire.decode_header(parts)
    except QuadfollowError:
        return None, ""
    number, stream = None, ""
    with suppress(QuadfollowError):
        number = frame_id(header)
    with suppress(QuadfollowError):
        stream = stream_name(header)
    return number, stream
