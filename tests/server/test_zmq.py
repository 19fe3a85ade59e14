"""What the ZeroMQ door answers, refuses and publishes; every client here is a raw socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import zmq
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from quadfollow_core import wire
from quadfollow_core.codec import decode_image, encode_jpeg, encode_png
from quadfollow_core.stream_client import StreamClient
from quadfollow_server.binding import bound
from quadfollow_server.dispatch import Dispatcher
from quadfollow_server.metrics import Metrics
from quadfollow_server.models import Models
from quadfollow_server.running import RunningServer
from quadfollow_server.settings import Settings
from quadfollow_server.zmq_door import ZmqDoor

CAMERA = {"fx": 100, "fy": 100, "cx": 64, "cy": 48}
Dealers = Callable[..., Any]


@pytest.fixture
def client(server: RunningServer, dealer: Dealers) -> Iterator[Any]:
    """A raw client, which must still get an answer to a good frame when the test is over."""
    connected = dealer(server.address)
    yield connected
    reply = connected.ask("a good frame")
    assert (reply["type"], reply["id"]) == ("result", "a good frame")
    assert reply["target"]["centroid"] == pytest.approx([50, 40])


def test_a_frame_is_answered_with_its_id_stream_and_capture_time(client: Any) -> None:
    """A reply repeats what tells its frame, and adds what the server knows of time."""
    reply = client.ask(7, stream="front", captured_at=1234.5, encoding="png")
    assert (reply["type"], reply["id"], reply["stream"], reply["captured_at"]) == ("result", 7, "front", 1234.5)
    assert reply["held_ms"] >= reply["timings"]["infer_ms"] >= 0
    assert reply["dropped"] == 0


def test_both_doors_locate_the_same(client: Any, server: RunningServer, png: bytes) -> None:
    """HTTP and ZeroMQ answer one frame with the same target and people."""
    import httpx

    over_http = httpx.post(f"{server.url}/segment", content=png).json()
    over_zmq = client.ask(1)
    assert (over_http["target"], over_http["people"]) == (over_zmq["target"], over_zmq["people"])


def test_a_png_mask_is_the_third_part(client: Any) -> None:
    """With `mask:png` the reply has a third part, the mask."""
    client.send(1, want=["target", "mask:png"])
    reply = client.read()
    assert reply.body["mask"] == {
        "encoding": "png",
        "width": 64,
        "height": 48,
        "mask_from_frame": {"scale_u": 0.5, "scale_v": 0.5, "offset_u": 0, "offset_v": 0},
    }
    assert set(np.unique(decode_image(reply.mask_png))) == {0, 1, 2}
    assert "people" not in reply.body


def test_raw_pixels_and_depth_need_no_codec(client: Any, picture: NDArray[np.uint8]) -> None:
    """Raw pixels with raw depth and a pose give a world position."""
    depth = np.full((96, 128), 5, dtype="<f4").tobytes()
    reply = client.ask(
        1,
        data=picture.tobytes(),
        depth_data=depth,
        encoding="raw-rgb8",
        width=128,
        height=96,
        camera=CAMERA | {"pose": {"position": [0, 0, 2], "rpy": [0, 0, 0]}},
        depth={"encoding": "raw-f32", "scale": 1, "width": 128, "height": 96},
    )
    assert reply["target"]["world"] == pytest.approx([5, 0.7, 2.4], abs=1e-3)


def test_a_ping_is_answered(client: Any) -> None:
    """A ping comes back with its id."""
    client.raw(*wire.encode_ping("hello"))
    assert client.read().body == {"type": "pong", "id": "hello"}


def test_a_model_is_named_in_the_header(client: Any) -> None:
    """A frame may name the other model; an unknown one is refused with those there are."""
    assert client.ask(1, model="small")["model"] == "small"
    reply = client.ask(2, model="nobody")
    assert (reply["type"], reply["id"], reply["code"]) == ("error", 2, "not-found")
    assert "colours, small" in reply["detail"]


NAN_POSE = b'{"id":3,"camera":{"fx":1,"fy":1,"cx":1,"cy":1,"pose":{"position":[NaN,0,0],"rpy":[0,0,0]}}}'


@pytest.mark.parametrize(
    ("parts", "code", "number"),
    [
        ([b""], "bad-message", None),
        ([b"qf2", b'{"id":3}', b"x"], "bad-message", None),
        ([b"qf1"], "bad-message", None),
        ([b"qf1", b'{"id":3}'], "bad-message", 3),  # three parts missing: only the header is there
        ([b"qf1", b'{"id":3}', b"x", b"y", b"z"], "bad-message", 3),
        ([b"qf1", b'{"id":3}', *[b""] * 5000], "bad-message", 3),
        ([b"qf1", b"", b"x"], "bad-message", None),
        ([b"qf1", b"\xff\xfe", b"x"], "bad-message", None),
        ([b"qf1", b"[1]", b"x"], "bad-message", None),
        ([b"qf1", b"null", b"x"], "bad-message", None),
        ([b"qf1", b"[" * 60000, b"x"], "bad-message", None),
        ([b"qf1", b'{"id":3,"a":"' + b"x" * 70000 + b'"}', b"x"], "limit-exceeded", None),
        ([b"qf1", b'{"id":[3]}', b"x"], "bad-message", None),
        ([b"qf1", b'{"id":"' + b"x" * 200 + b'"}', b"x"], "limit-exceeded", None),
        ([b"qf1", b'{"id":3,"type":"order"}', b"x"], "bad-message", 3),
        ([b"qf1", b'{"id":3,"encoding":"gif"}', b"x"], "unsupported-encoding", 3),
        ([b"qf1", b'{"id":3,"captured_at":NaN}', b"x"], "bad-message", 3),
        ([b"qf1", b'{"id":3,"captured_at":1.7e308}', b"x"], "bad-message", 3),
        ([b"qf1", b'{"id":3,"deadline_ms":-1}', b"x"], "bad-message", 3),
        ([b"qf1", b'{"id":3,"want":"mask"}', b"x"], "bad-message", 3),
        ([b"qf1", b'{"id":3,"depth":{"encoding":"png","scale":1}}', b"x"], "bad-message", 3),
        ([b"qf1", NAN_POSE, b"x"], "bad-geometry", 3),
        ([b"qf1", b'{"id":3}', b""], "bad-image", 3),
        ([b"qf1", b'{"id":3}', b"GIF89a"], "bad-image", 3),
        ([b"qf1", b'{"id":3,"encoding":"raw-rgb8"}', b"x"], "bad-message", 3),
        ([b"qf1", b'{"id":3,"encoding":"raw-rgb8","width":9,"height":9}', b"x"], "bad-message", 3),
        ([b"qf1", b'{"id":3,"encoding":"raw-rgb8","width":9000,"height":9000}', b"x"], "limit-exceeded", 3),
    ],
)
def test_a_malformed_message_is_answered_with_the_fault(
    client: Any, parts: list[bytes], code: str, number: int | None
) -> None:
    """Each fault has its code and its words, and the id where it can be read."""
    client.raw(*parts)
    reply = client.read().body
    assert (reply["type"], reply["code"], reply["id"]) == ("error", code, number)
    assert reply["detail"]


def test_a_stream_is_named_though_the_id_is_wrong(client: Any) -> None:
    """What can be read of a request is repeated."""
    client.raw(b"qf1", b'{"id":1.5,"stream":"front"}', b"x")
    reply = client.read().body
    assert (reply["code"], reply["id"], reply["stream"]) == ("bad-message", None, "front")


@pytest.mark.parametrize("stream", ["\\udc00", "a\\u0000b", "x" * 129])
def test_a_stream_that_is_none_is_not_repeated(client: Any, stream: str) -> None:
    """A name that is refused is left out of the refusal: half a surrogate pair would end many a JSON reader."""
    client.raw(b"qf1", b'{"id":1,"stream":"%b"}' % stream.encode(), b"x")
    reply = client.read().body
    assert (reply["type"], reply["id"], reply["stream"]) == ("error", 1, "")


@pytest.mark.parametrize("number", [b"true", b"[1]", b"9223372036854775808", b'"\\ud800"', b'"%b"' % (b"x" * 129)])
def test_a_ping_with_an_id_that_is_none(client: Any, number: bytes) -> None:
    """A ping's id is held to the same form as a frame's, and not repeated where it is not of it."""
    client.raw(b"qf1", b'{"type":"ping","id":%b}' % number)
    reply = client.read().body
    assert (reply["type"], reply["id"]) == ("error", None)
    assert reply["code"] in ("bad-message", "limit-exceeded")


def test_null_is_as_good_as_absent(client: Any, picture: NDArray[np.uint8]) -> None:
    """A client that writes what it has not as null is answered as one that leaves it out."""
    lens = {"fx": 100, "fy": 100, "cx": 64, "cy": 48, "distortion": None}
    pose = {"position": [0, 0, 2], "rpy": [0, 0, 0], "quaternion": None}
    header = {"id": 1, "type": None, "camera": lens | {"pose": pose}, "depth": None, "want": None}
    client.raw(b"qf1", json.dumps(header).encode(), encode_png(picture))
    assert client.read().body["type"] == "result"


def test_a_truncated_jpeg_is_a_bad_image(client: Any, picture: NDArray[np.uint8]) -> None:
    """Half a JPEG is refused, with its id."""
    data = encode_jpeg(picture)
    reply = client.ask(5, data=data[: len(data) // 2], stream="front")
    assert (reply["type"], reply["id"], reply["stream"], reply["code"]) == ("error", 5, "front", "bad-image")


def test_limits_are_named(client: Any, huge_png: bytes) -> None:
    """A picture and a message over the limit are refused with the limit's name and value."""
    reply = client.ask(5, data=huge_png)
    assert (reply["code"], reply["limit"], reply["allowed"]) == ("limit-exceeded", "max_pixels", 2_000_000)
    reply = client.ask(6, data=bytes(1_000_001))
    assert (reply["code"], reply["limit"], reply["allowed"]) == ("limit-exceeded", "max_body_bytes", 1_000_000)


def test_a_far_too_large_message_ends_its_connection_and_no_other(
    client: Any, server: RunningServer, dealer: Dealers
) -> None:
    """A message of many times the limit is never taken in; others are answered, and its sender when it behaves."""
    offender = dealer(server.address)
    offender.send(1, data=bytes(5_000_000))
    offender.send(2)
    assert client.ask(3)["type"] == "result"
    assert offender.read().body["id"] == 2


noise = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.just(b"qf1"),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.integers(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
            max_leaves=5,
        ).map(lambda value: json.dumps(value).encode()),
        st.dictionaries(
            st.sampled_from(["id", "stream", "encoding", "want", "camera", "depth", "type", "deadline_ms", "width"]),
            st.none() | st.floats() | st.text(max_size=5) | st.lists(st.integers(), max_size=3),
        ).map(lambda value: json.dumps(value).encode()),
    ),
    min_size=1,
    max_size=6,
)


@given(messages=st.lists(noise, min_size=1, max_size=5))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_every_message_is_answered_once_whatever_it_holds(client: Any, messages: list[list[bytes]]) -> None:
    """Noise is answered message by message, never with an internal error."""
    for parts in messages:
        client.raw(*parts)
    replies = [client.read().body for _ in messages]
    client.raw(*wire.encode_ping("end"))
    assert client.read().body == {"type": "pong", "id": "end"}
    assert not [reply for reply in replies if reply.get("code") == "error"]


def test_results_are_published_under_their_stream_alone(server: RunningServer, dealer: Dealers) -> None:
    """A subscriber of stream "1" gets that stream's results and none of stream "10"."""
    with zmq.Context() as context, context.socket(zmq.SUB) as sub:
        sub.linger, sub.rcvtimeo = 0, 30_000
        sub.subscribe(wire.topic("1"))
        sub.subscribe(wire.topic("ready?"))
        sub.connect(server.pub_address)
        client = dealer(server.address)
        while not sub.poll(5):  # until the subscription has arrived
            client.ask("probe", stream="ready?")
        for number, stream in enumerate(("10", "1", "10", "1")):
            client.ask(number, stream=stream)
        heard = []
        while len(heard) < 2:
            stream, body = wire.decode_publication(sub.recv_multipart())
            heard += [(stream, body)] if stream != "ready?" else []
        assert [(stream, body["id"]) for stream, body in heard] == [("1", 1), ("1", 3)]
        assert heard[0][1]["target"]["centroid"] == pytest.approx([50, 40])
        assert not sub.poll(20)


def test_the_stream_client_gets_its_fates(server: RunningServer, picture: NDArray[np.uint8]) -> None:
    """The distribution's own client is answered over the same door."""
    with StreamClient(server.address, stream="mine", timeout=30) as client:
        assert client.ping(timeout=30)
        number = client.offer(picture)
        fates = client.poll(timeout=30)
        assert [(fate.id, fate.outcome) for fate in fates] == [(number, "result")]
        assert fates[0].sighting is not None
        assert fates[0].sighting.target is not None


class CountingLoop:
    """An event loop that calls nothing by itself: the test does."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], None]] = []

    def add_reader(self, _: int, callback: Callable[[], None]) -> None:
        """Remember who reads."""
        self._reader = callback

    def remove_reader(self, _: int) -> None:
        """Forget nothing."""

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Remember what is to be called."""
        self.soon.append(callback)

    def step(self) -> None:
        """Call what was to be called first, else who reads."""
        (self.soon.pop(0) if self.soon else self._reader)()


def test_however_many_messages_wait_one_call_comes_back_for_them(
    monkeypatch: pytest.MonkeyPatch, dealer: Dealers
) -> None:
    """Under a flood the door never has more than one call pending, and it still answers every message."""
    loop = CountingLoop()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
    settings = Settings(port=0, zmq_port=0, pub_port=0)
    with bound(settings) as sockets:
        metrics = Metrics()
        door = ZmqDoor(sockets.zeromq.router, Dispatcher(Models(), metrics, settings, lambda *_: None), metrics, 1000)
        client = dealer(f"tcp://127.0.0.1:{sockets.ports.zmq}")
        for number in range(500):
            client.raw(*wire.encode_ping(number))
        door.start()
        answered = 0
        while answered < 500:
            loop.step()
            assert len(loop.soon) <= 1
            while client.socket.poll(1):
                assert client.read().body["id"] == answered
                answered += 1
        door.stop()
