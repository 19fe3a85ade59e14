"""A gateway that asks for keys, at both of its doors: who has one is answered, all others meet silence."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zmq
from tests.server.conftest import PATIENCE
from tests.server.scale.conftest import Scaled

from quadfollow_core.client_key import ClientKey
from quadfollow_core.stream_client import StreamClient
from quadfollow_server.access import Access
from quadfollow_server.keys import new_client, revoke_client

SILENCE = 0.5
"""Seconds without an answer that count as silence; an authorised client is answered within a few milliseconds."""


@pytest.fixture
def access(key: ClientKey, folder: Path) -> Access:
    """Who may come in at the gateway: who has a key."""
    return Access(keys=str(folder))


@pytest.fixture
def guarded(scaled: Scaled, constant: Callable[..., Any], until: Callable[..., None]) -> Scaled:
    """A gateway that asks for keys, with a replica, which has none."""
    scaled.add(constant())
    until(lambda: len(scaled.streams) == 1)
    return scaled


@pytest.fixture
def come() -> Iterator[Callable[..., tuple[StreamClient, zmq.Socket[bytes]]]]:
    """Connect clients with their keys, or with none, to both doors; gone when the test ends."""
    with zmq.Context() as context, ExitStack() as stack:

        def connect(scaled: Scaled, key: ClientKey | None) -> tuple[StreamClient, zmq.Socket[bytes]]:
            heard = stack.enter_context(context.socket(zmq.SUB))
            heard.linger = 0
            if key is not None:
                key.apply(heard)
            heard.subscribe(b"")
            heard.connect(scaled.pub_address)
            return stack.enter_context(StreamClient(scaled.address, stream="s", timeout=PATIENCE, key=key)), heard

        yield connect


def drain(heard: zmq.Socket[bytes]) -> None:
    """Throw away what was published until now."""
    while heard.poll(0):
        heard.recv_multipart()


def is_served(client: StreamClient, heard: zmq.Socket[bytes], png: bytes) -> bool:
    """Ask until an answer was published; whether all frames on the way were answered."""
    outcomes, end = [], time.monotonic() + PATIENCE
    drain(heard)
    while not heard.poll(20):
        assert time.monotonic() < end, "nothing was published"
        client.offer(png)
        outcomes += [fate.outcome for fate in client.poll(PATIENCE)]
    return set(outcomes) <= {"result"}


def test_the_gateway_answers_and_publishes_to_known_clients_alone(
    guarded: Scaled, come: Callable[..., Any], key: ClientKey, png: bytes, tmp_path: Path
) -> None:
    """A client without a key, one with another gateway's and one with an unknown key get nothing, ever."""
    stranger = new_client(tmp_path / "elsewhere", "drone")
    others = [come(guarded, one) for one in (None, stranger, replace(stranger, server_key=key.server_key))]
    for client, _ in others:
        client.offer(png)
    assert is_served(*come(guarded, key), png)
    assert [client.poll(SILENCE) for client, _ in others] == [[]] * 3
    assert [heard.poll(0) for _, heard in others] == [0] * 3


def test_a_revoked_key_falls_silent_at_the_gateway_and_others_go_on(
    guarded: Scaled, come: Callable[..., Any], key: ClientKey, folder: Path, png: bytes
) -> None:
    """Connections made with it end at both doors; other clients come back by themselves."""
    (client, unheard), stays = come(guarded, key), come(guarded, new_client(folder, "other"))
    assert is_served(client, unheard, png)
    assert is_served(*stays, png)
    revoke_client(folder, "drone")
    for one in (client, stays[0]):  # what is under way when all have to show their keys again is lost
        one._timeout = 4 * SILENCE
    outcomes: set[str] = set()
    end = time.monotonic() + PATIENCE
    while "lost" not in outcomes:
        assert time.monotonic() < end, "it is still answered"
        client.offer(png)
        outcomes |= {fate.outcome for fate in client.poll(PATIENCE)}
    is_served(*stays, png)
    drain(unheard)
    assert is_served(*stays, png)
    client.offer(png)
    assert "result" not in [fate.outcome for fate in client.poll(5 * SILENCE)]
    assert not unheard.poll(0)
