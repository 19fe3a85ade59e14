"""ZeroMQ clients that die in the middle of a message, or hold a connection open and say nothing more."""

from __future__ import annotations

import socket
import struct
from contextlib import ExitStack
from typing import Any

import pytest

from quadfollow_server.running import RunningServer

GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + b"\0" + bytes(31)
READY = b"\x05READY" + b"\x0bSocket-Type" + struct.pack(">I", 6) + b"DEALER"
COMMAND = b"\x04" + bytes([len(READY)]) + READY
MORE_QF1 = b"\x01\x03qf1"
HALF = b"\x02" + struct.pack(">Q", 1_000_000) + bytes(1000)
"""The beginning of ZMTP 3.0 (ZeroMQ RFC 23): a last part of a million bytes of which a thousand come."""

STEPS = {
    "nothing": (),
    "half a greeting": (GREETING[:20],),
    "no ZeroMQ at all": (b"GET / HTTP/1.1\r\n\r\n",),
    "a greeting": (GREETING,),
    "half a command": (GREETING, COMMAND[:10]),
    "half a message": (GREETING, COMMAND, MORE_QF1),
    "half a part": (GREETING, COMMAND, MORE_QF1, HALF),
}


def speak(raw: socket.socket, *steps: bytes) -> None:
    """Say one thing after the other, as a client does that hears the greeting out before it goes on."""
    for step in steps:
        raw.sendall(step)
        if step == GREETING:
            heard = b""
            while len(heard) < len(GREETING):
                part = raw.recv(65536)
                assert part, heard
                heard += part


@pytest.mark.parametrize("dies", [False, True], ids=["half open", "killed"])
@pytest.mark.parametrize("said", STEPS.values(), ids=STEPS)
def test_half_a_message_harms_nobody(server: RunningServer, dealer: Any, said: tuple[bytes, ...], dies: bool) -> None:
    """Many connections that stop at one step, or are reset there as a killed client's are: others are answered."""
    with ExitStack() as held:
        for _ in range(20):
            raw = held.enter_context(socket.create_connection(("127.0.0.1", server.service.ports.zmq), timeout=30))
            speak(raw, *said)
            if dies:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                raw.close()
        client = dealer(server.address)
        assert [client.ask(number)["type"] for number in range(3)] == ["result"] * 3


def test_a_whole_message_of_the_same_kind_is_answered(server: RunningServer) -> None:
    """What these connections speak is ZMTP indeed: a whole ping gets its pong."""
    ping = b'{"type":"ping","id":7}'
    with socket.create_connection(("127.0.0.1", server.service.ports.zmq), timeout=30) as raw:
        speak(raw, GREETING, COMMAND, MORE_QF1 + bytes([0, len(ping)]) + ping)
        answer = b""
        while b"pong" not in answer:
            part = raw.recv(65536)
            assert part, answer
            answer += part
