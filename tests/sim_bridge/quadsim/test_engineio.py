"""Packets as text."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quadfollow_core.errors import BadMessage
from quadfollow_sim.quadsim import engineio
from quadfollow_sim.quadsim.engineio import Kind, Packet, parse_packet


@pytest.mark.parametrize(
    ("text", "packet"),
    [
        ("2", Packet(Kind.PING)),
        ("3", Packet(Kind.PONG)),
        ("1", Packet(Kind.CLOSE)),
        ("2probe", Packet(Kind.PING, body="probe")),
        ("40", Packet(Kind.CONNECT)),
        ('40{"token":1}', Packet(Kind.CONNECT, body='{"token":1}')),
        ("40/other,", Packet(Kind.CONNECT, "/other")),
        ("41", Packet(Kind.DISCONNECT)),
        ('42["a",{"b":1}]', Packet(Kind.EVENT, event="a", body='["a",{"b":1}]')),
        ('4217["a"]', Packet(Kind.EVENT, ack="17", event="a", body='["a"]')),
        ('42/x,3["a"]', Packet(Kind.EVENT, "/x", "3", "a", '["a"]')),
    ],
)
def test_packets_are_read(text: str, packet: Packet) -> None:
    """Each packet a client sends is told apart, its JSON left unread."""
    assert parse_packet(text) == packet


@pytest.mark.parametrize("text", ["", "0{}", "x", "4", "43[]", "451-[]", "42", "42{}", "42[17]", '42["', "\x00"])
def test_what_is_no_packet_is_refused(text: str) -> None:
    """Anything else is one named error."""
    with pytest.raises(BadMessage):
        parse_packet(text)


PACKETS = st.sampled_from(
    ["2probe", '40{"token":1}', "40/other,", "41", '42["a",{"b":[1,null]}]', '42/x,3["a","\\u00e9"]']
)
PLACE = st.integers(0, 40)


@settings(max_examples=300)
@given(PACKETS, PLACE, PLACE, st.text(max_size=4))
def test_no_text_breaks_the_reader(packet: str, start: int, end: int, other: str) -> None:
    """A packet that was cut, or changed anywhere, is a packet or a BadMessage."""
    for text in (packet[:end], packet[start:], packet[:start] + other + packet[end:]):
        try:
            read = parse_packet(text)
            if read.kind is Kind.EVENT:
                read.argument()
        except BadMessage:
            pass


def test_packets_are_written_as_the_real_server_writes_them() -> None:
    """The server's packets are these bytes."""
    assert (
        engineio.open_packet("abc", 25, 60) == '0{"sid":"abc","upgrades":[],"pingInterval":25000,"pingTimeout":60000}'
    )
    assert engineio.connect_packet("abc") == '40{"sid":"abc"}'
    assert engineio.event_packet("object_lost", {}) == '42["object_lost",{}]'
    assert engineio.event_packet("e", {"coords": [1.0, 2.5, 0.0]}) == '42["e",{"coords":[1.0,2.5,0.0]}]'
    assert engineio.ack_packet("17") == "4317[]"


def test_an_event_holds_finite_numbers_only() -> None:
    """NaN is not JSON and never leaves."""
    with pytest.raises(BadMessage, match="finite"):
        engineio.event_packet("e", math.nan)
