"""Pictures are published to who asks for them, and only then; every subscriber here is a raw socket."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zmq
from tests.server.conftest import PATIENCE

from quadfollow_core import wire
from quadfollow_core.errors import BadMessage
from quadfollow_core.request import parse_camera
from quadfollow_server.running import RunningServer

Dealers = Callable[..., Any]
Subscribe = Callable[..., "zmq.Socket[bytes]"]
PROBE = "probe"
CAMERA = {"fx": 100.0, "fy": 101.0, "cx": 64.0, "cy": 48.0, "pose": {"position": [1, 2, 3], "rpy": [0, 0.5, 1]}}


@pytest.fixture
def subscribe(server: RunningServer) -> Iterator[Subscribe]:
    """Subscribe to topics; all subscribers are gone at the end."""
    with zmq.Context() as context:
        made: list[zmq.Socket[bytes]] = []

        def connect(*topics: bytes) -> zmq.Socket[bytes]:
            sub = context.socket(zmq.SUB)
            made.append(sub)
            sub.linger, sub.rcvtimeo = 0, int(1000 * PATIENCE)
            for topic in topics:
                sub.subscribe(topic)
            sub.connect(server.pub_address)
            return sub

        yield connect
        for sub in made:
            sub.close(0)


def wait_for(sub: zmq.Socket[bytes], client: Any, stream: str) -> None:
    """Send frames of a stream until the subscription has arrived."""
    end = time.monotonic() + PATIENCE
    while not sub.poll(20):
        assert time.monotonic() < end, "nothing published"
        client.ask(PROBE, stream=stream)


def heard(sub: zmq.Socket[bytes]) -> list[bytes]:
    """The next publication of what is no probe."""
    while json.loads((parts := sub.recv_multipart())[1])["id"] == PROBE:
        pass
    return parts


def test_a_picture_comes_as_it_was_sent_with_its_result_and_camera(
    server: RunningServer, dealer: Dealers, subscribe: Subscribe, png: bytes
) -> None:
    """Topic, the result's JSON with camera and encoding, and the very bytes; other streams stay out."""
    sub, client = subscribe(wire.picture_topic("1")), dealer(server.address)
    wait_for(sub, client, "1")
    client.ask(7, stream="10", camera=CAMERA)
    answer = client.ask(8, stream="1", camera=CAMERA, want=["target", "mask:png"])
    stream, body, image = wire.decode_picture(heard(sub))
    assert (stream, body["id"], image) == ("1", 8, png)
    assert body["picture"] == {"encoding": "png"}
    assert parse_camera(body["camera"]) == parse_camera(CAMERA)
    assert body["target"] == answer["target"]
    assert "mask" not in body


def test_raw_pixels_come_with_their_size(server: RunningServer, dealer: Dealers, subscribe: Subscribe) -> None:
    """What cannot be read from the bytes stands in the JSON; a camera that was not sent is null."""
    sub, client = subscribe(wire.PICTURES), dealer(server.address)
    wait_for(sub, client, "raw")
    data = bytes(range(240))
    client.ask(9, data=data, stream="raw", encoding="raw-rgb8", width=10, height=8)
    _, body, image = wire.decode_picture(heard(sub))
    assert body["picture"] == {"encoding": "raw-rgb8", "width": 10, "height": 8}
    assert (body["camera"], image) == (None, data)


def test_a_picture_too_large_to_publish_is_left_out(constant: Callable[..., Any], dealer: Dealers) -> None:
    """Its result comes with an empty part and says so."""
    with RunningServer(segmenters=[constant()]) as server, zmq.Context() as context, context.socket(zmq.SUB) as sub:
        sub.linger, sub.rcvtimeo = 0, int(1000 * PATIENCE)
        sub.subscribe(wire.picture_topic(""))
        sub.connect(server.pub_address)
        client = dealer(server.address)
        wait_for(sub, client, "")
        client.ask(1, data=bytes(1400 * 1200 * 3), encoding="raw-rgb8", width=1400, height=1200)
        _, body, image = wire.decode_picture(heard(sub))
    assert (body["id"], body["picture"], image) == (1, None, b"")


def test_nobody_who_did_not_ask_pays_for_pictures(server: RunningServer, dealer: Dealers, subscribe: Subscribe) -> None:
    """Who subscribes to everything gets no picture until another asks, and none after that one has gone."""
    everything, client = subscribe(b""), dealer(server.address)
    wait_for(everything, client, "1")

    def kinds(number: int) -> set[bool]:
        """Whether pictures are among what the frame of this number brings, all of it before the next one's."""
        client.ask(number, stream="1")
        client.ask(f"after {number}", stream="after")
        seen: set[bool] = set()
        while (told := json.loads((parts := heard(everything))[1]))["stream"] != "after":
            assert told["id"] == number
            seen.add(parts[0].startswith(wire.PICTURES))
        return seen

    assert kinds(1) == {False}
    asking = subscribe(wire.picture_topic("1"))
    wait_for(asking, client, "1")
    assert kinds(2) == {False, True}
    asking.close(0)
    end, number = time.monotonic() + PATIENCE, 3
    while kinds(number) != {False}:
        assert time.monotonic() < end, "pictures go on although nobody asks"
        number += 1


def test_who_subscribes_to_very_many_streams_gets_them_alone(
    server: RunningServer, dealer: Dealers, subscribe: Subscribe
) -> None:
    """Of hundreds of topics each stream's results come, and no other's."""
    sub, client = subscribe(*(wire.topic(str(number)) for number in range(400))), dealer(server.address)
    wait_for(sub, client, "399")
    client.ask(1, stream="other")
    client.ask(2, stream="7")
    assert wire.decode_publication(heard(sub))[0] == "7"


@pytest.mark.parametrize(
    "parts",
    [
        [b"1\0", b"{}"],
        [b"\xff1\0", b"{}"],
        [b"\xff1", b"{}", b""],
        [b"\xff1\0", b"[]", b""],
        [b"\xff\xfe\0", b"{}", b""],
    ],
)
def test_what_is_no_picture_is_refused(parts: list[bytes]) -> None:
    """A reader names the fault."""
    with pytest.raises(BadMessage):
        wire.decode_picture(parts)


def test_a_picture_is_no_plain_publication() -> None:
    """Who reads publications without pictures and meets one gets an error of ours, not of UTF-8."""
    with pytest.raises(BadMessage):
        wire.decode_publication([bytes(part) for part in wire.encode_picture("1", {}, b"")])
