"""A link: addresses, one peer, and whatever else arrives at an open port."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Callable, Iterator

import pytest

from quadfollow_core.errors import BadInput, Unavailable
from quadfollow_sim.mavlink.link import Link, load_messages, parse_address

Open = Callable[..., Link]


@pytest.fixture
def open_link() -> Iterator[Open]:
    """Open links, all closed at the end."""
    with contextlib.ExitStack() as stack:

        def open_it(address: str = "udpin://127.0.0.1:0") -> Link:
            return stack.enter_context(contextlib.closing(Link(address, 1, 1)))

        yield open_it


def greeting(mode: int = 0) -> object:
    """A heartbeat."""
    return load_messages().MAVLink_heartbeat_message(2, 12, 1, mode, 4, 3)


@pytest.mark.parametrize(
    ("address", "meaning"),
    [
        ("udp://:14540", (("0.0.0.0", 14540), True)),
        ("udp://0.0.0.0:14550", (("0.0.0.0", 14550), True)),
        ("udpin://127.0.0.1:1", (("127.0.0.1", 1), True)),
        ("udp://192.168.1.7:14550", (("192.168.1.7", 14550), False)),
        ("udpout://drone.local:5", (("drone.local", 5), False)),
    ],
)
def test_addresses(address: str, meaning: object) -> None:
    """MAVSDK's forms: with a host it sends, without one it listens."""
    assert parse_address(address) == meaning


@pytest.mark.parametrize("address", ["", "14540", "udp://", "udp://:x", "udp://:99999", "serial:///dev/ttyS0:57600"])
def test_other_addresses_are_refused(address: str) -> None:
    """With the forms that are taken, and the way for serial ports."""
    with pytest.raises(BadInput, match="mavlink-router"):
        parse_address(address)


def test_a_taken_port_is_named(open_link: Open) -> None:
    """Two programs cannot listen at one port."""
    address = f"udpin://127.0.0.1:{open_link().port}"
    with pytest.raises(Unavailable, match=address):
        open_link(address)


def test_messages_come_and_go(open_link: Open) -> None:
    """Who listens hears the sender, and can answer once it has chosen it."""
    ground = open_link()
    vehicle = open_link(f"udp://127.0.0.1:{ground.port}")
    ground.send(greeting())  # nobody to send to yet
    vehicle.send(greeting(7))
    ((message, sender),) = ground.receive()
    assert (message.get_type(), message.custom_mode) == ("HEARTBEAT", 7)
    ground.peer = sender
    ground.send(greeting(8))
    assert [message.custom_mode for message, _ in vehicle.receive()] == [8]


def test_strangers_are_not_heard(open_link: Open) -> None:
    """Once there is a peer, nobody else can speak in its place."""
    ground = open_link()
    vehicle, stranger = (open_link(f"udp://127.0.0.1:{ground.port}") for _ in range(2))
    vehicle.send(greeting(1))
    ((_, ground.peer),) = ground.receive()
    stranger.send(greeting(2))
    vehicle.send(greeting(3))
    assert [message.custom_mode for message, _ in ground.receive()] == [3]


def test_junk_is_passed_over(open_link: Open) -> None:
    """Random bytes, cut and damaged messages raise nothing and spoil no message after them."""
    ground = open_link()
    vehicle = open_link(f"udp://127.0.0.1:{ground.port}")
    whole = bytes(greeting(5).pack(load_messages().MAVLink(None, 1, 1)))  # type: ignore[attr-defined]
    chance = random.Random(1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as raw:
        for number in range(150):
            junk = [chance.randbytes(chance.randrange(60)), whole[: chance.randrange(len(whole))], b"\xfd" * number]
            damaged = bytearray(whole)
            damaged[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
            for data in (*junk, bytes(damaged)):
                raw.sendto(data, ("127.0.0.1", ground.port))
            ground.receive()
    vehicle.send(greeting(6))
    assert [message.custom_mode for message, _ in ground.receive()] == [6]


def test_nobody_there_is_no_error(open_link: Open) -> None:
    """Sending to a closed port raises nothing, then or later."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    link = open_link(f"udp://127.0.0.1:{port}")
    for _ in range(3):
        link.send(greeting())
        assert link.receive() == []
