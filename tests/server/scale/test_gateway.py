"""Streams through a gateway on real sockets: each stays with its replica, and every frame meets one fate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import zmq
from tests.server.conftest import has_ipv6
from tests.server.scale.conftest import Scaled

from quadfollow_core import wire
from quadfollow_core.stream_client import StreamClient


@pytest.fixture
def two(scaled: Scaled, constant: Callable[..., Any], until: Callable[..., None]) -> Scaled:
    """A gateway with two replicas, whose models have their names."""
    for name in ("left", "right"):
        scaled.add(constant(name=name))
    until(lambda: len(scaled.streams) == 2)
    return scaled


def test_streams_are_spread_and_each_stays_where_it_is(two: Scaled, dealer: Callable[..., Any]) -> None:
    """Of four streams each replica has two, and all frames of a stream are answered by the same one, in order."""
    client = dealer(two.address)
    answers = [client.ask(number, stream=f"s{number % 4}") for number in range(40)]
    assert [answer["id"] for answer in answers] == list(range(40))
    by_stream = {stream: {a["model"] for a in answers if a["stream"] == stream} for stream in ("s0", "s1", "s2", "s3")}
    assert all(len(models) == 1 for models in by_stream.values())
    assert Counter(str(models) for models in by_stream.values()) == {"{'left'}": 2, "{'right'}": 2}
    assert sorted(two.streams.values()) == [2, 2]


def test_a_stream_name_belongs_to_its_client(two: Scaled, dealer: Callable[..., Any]) -> None:
    """Two clients may use the same name: their streams are two, with a track each."""
    one, other = dealer(two.address), dealer(two.address)
    states: set[str] = set()
    while states != {"following"}:  # after three frames each, unless the machine stands still between two
        answers = [client.ask(1, stream="same", want=["target", "track"]) for client in (one, other)]
        states = {answer["track"]["state"] for answer in answers}
    assert {answer["model"] for answer in answers} == {"left", "right"}


def test_the_gateway_speaks_the_same_wire(two: Scaled, dealer: Callable[..., Any]) -> None:
    """Pings, masks, malformed messages and too large ones are answered as by a server itself."""
    client = dealer(two.address)
    client.raw(*wire.encode_ping("there?"))
    assert client.read().body == {"type": "pong", "id": "there?"}
    client.send(1, want=["mask:png"])
    assert client.read().mask_png is not None
    client.raw(b"qf0", b"{}", b"")
    assert client.read().body["code"] == "bad-message"
    client.send(2, stream="s", data=bytes(1_000_001))
    assert client.read().body["limit"] == "max_body_bytes"
    assert client.ask(3)["type"] == "result"


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
@pytest.mark.parametrize("host", ["::1"])
def test_replicas_meet_the_gateway_over_ipv6(two: Scaled, dealer: Callable[..., Any]) -> None:
    """On a node that has an address of IPv6, whatever clients use."""
    assert dealer(two.address).ask(1)["type"] == "result"


def test_without_replicas_a_client_is_told_so(scaled: Scaled, dealer: Callable[..., Any]) -> None:
    """Nothing waits for a replica that may never come."""
    answer = dealer(scaled.address).ask(7, stream="s")
    assert (answer["id"], answer["code"]) == (7, "unavailable")


def test_results_of_all_replicas_are_published_at_one_place(two: Scaled, dealer: Callable[..., Any]) -> None:
    """Who subscribes to the gateway gets every stream's results, and pictures where asked for."""
    client = dealer(two.address)
    with zmq.Context() as context, context.socket(zmq.SUB) as subscriber:
        subscriber.linger, subscriber.rcvtimeo = 0, 30_000
        subscriber.connect(two.pub_address)
        for prefix in (b"a\0", b"b\0", wire.PICTURES):
            subscriber.subscribe(prefix)
        heard: set[tuple[str, bytes]] = set()
        number = 0
        while len(heard) < 4:
            number += 1
            for stream in ("a", "b"):
                client.ask(number, stream=stream)
            while subscriber.poll(0):
                topic, body, *_ = subscriber.recv_multipart()
                heard.add((wire.decode_header([wire.MAGIC, body])["model"], topic))
    assert {topic for _, topic in heard} == {b"a\0", b"b\0", b"\xffa\0", b"\xffb\0"}
    assert {model for model, _ in heard} == {"left", "right"}


def test_a_replica_that_dies_costs_what_it_had_and_no_more(
    two: Scaled, dealer: Callable[..., Any], gate: Any, constant: Callable[..., Any], until: Callable[..., None]
) -> None:
    """The clients of frames under way are told at once; the next frame of the stream is answered elsewhere."""
    doomed = two.add(constant(gate, name="doomed"))
    until(lambda: len(two.streams) == 3)
    client = dealer(two.address)
    for stream in ("a", "b"):
        client.ask(0, stream=stream)
    client.send(1, stream="c")
    gate.wait_reached()
    two.kill(doomed)
    told = client.read().body
    assert (told["id"], told["stream"], told["code"]) == (1, "c", "unavailable")
    assert client.ask(2, stream="c")["model"] in ("left", "right")
    assert len(two.streams) == 2


def test_a_replica_that_leaves_answers_what_it_has(
    two: Scaled, dealer: Callable[..., Any], until: Callable[..., None]
) -> None:
    """Its streams go on with the others: frame by frame, none is lost and none overtakes another."""
    with StreamClient(two.address, stream="s", timeout=30.0) as client:
        outcomes = []
        for number in range(60):
            client.offer(dealer(two.address)._image)
            outcomes += [(fate.id, fate.outcome, fate.body.get("model")) for fate in client.poll(30.0)]
            if number == 30:
                model = outcomes[-1][2]
                two.remove(next(m for m in two.members if m.service.models.all[0].contract.name == model))
    assert [number for number, _, _ in outcomes] == list(range(1, 61))
    assert Counter(outcome for _, outcome, _ in outcomes) == {"result": 60}
    assert len({model for _, _, model in outcomes}) == 2
    until(lambda: len(two.streams) == 1)


def test_a_new_replica_takes_its_share(
    scaled: Scaled, dealer: Callable[..., Any], constant: Callable[..., Any], until: Callable[..., None]
) -> None:
    """Streams that are idle between two frames change over until each replica has as many."""
    scaled.add(constant(name="first"))
    until(lambda: len(scaled.streams) == 1)
    client = dealer(scaled.address)
    names = [f"s{number}" for number in range(6)]
    assert {client.ask(0, stream=name)["model"] for name in names} == {"first"}
    scaled.add(constant(name="second"))
    until(lambda: len(scaled.streams) == 2)
    assert Counter(client.ask(1, stream=name)["model"] for name in names) == {"first": 3, "second": 3}


def test_a_replica_that_falls_silent_is_given_up(
    scaled: Scaled, dealer: Callable[..., Any], until: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that hangs: its connection is there, but nobody answers. The client of a frame that it has is told."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as hanging:
        hanging.linger, hanging.identity = 0, b"hanging"
        hanging.connect(scaled.gateway.addresses.frames)
        hanging.send_multipart([b"", *wire.encode_reply(wire.Result({"type": "pong"}))])
        until(lambda: scaled.streams == {"hanging": 0})
        client = dealer(scaled.address)
        client.send(1, stream="s")
        until(lambda: scaled.streams == {"hanging": 1})
        monkeypatch.setattr("quadfollow_server.scale.gateway.SILENCE", 0.0)
        answer = client.read().body
        assert (answer["id"], answer["code"], "gone" in answer["detail"]) == (1, "unavailable", True)
        assert scaled.streams == {}


def test_nonsense_from_a_replica_stalls_nothing(
    two: Scaled, dealer: Callable[..., Any], until: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever speaks at the replicas' door out of turn is ignored."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as stranger:
        stranger.linger, stranger.identity = 0, b"\xfe\xff"
        stranger.connect(two.gateway.addresses.frames)
        for parts in ([b""], [b"x", b"qf1"], [b"x", b"qf1", b"[]"], [b"x", b"qf1", b"{}"], [b"", b"qf1", b"{}"]):
            stranger.send_multipart(parts)
        until(lambda: len(two.streams) == 3)
        client = dealer(two.address)
        for number in range(6):
            client.send(number, stream=f"s{number}")
        answered = {client.read().body["id"] for _ in range(4)}
    lost = {client.read().body["id"] for _ in range(2)}
    assert answered | lost == set(range(6))
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
