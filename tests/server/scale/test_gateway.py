"""Streams through a gateway on real sockets: each stays with its replica, and every frame meets one fate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import zmq
from tests.server.conftest import PATIENCE, has_ipv6
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


class StandIn:
    """A replica that takes frames and answers them when it is told to."""

    def __init__(self, socket: zmq.Socket[bytes], scaled: Scaled, name: str) -> None:
        self._socket = socket
        socket.linger, socket.identity = 0, name.encode()
        socket.rcvtimeo, socket.rcvhwm = int(1000 * PATIENCE), 1
        socket.connect(scaled.gateway.addresses.frames)
        self.say_hello()

    def say_hello(self) -> None:
        """Give a sign of life."""
        self._send(b"", {"type": "pong"})

    def take(self) -> tuple[bytes, dict[str, Any]]:
        """Take the next frame: whose it is, and its header."""
        while True:
            client, *parts = self._socket.recv_multipart()
            if client:
                return client, wire.decode_header(parts[:2])

    def answer(self, client: bytes, header: dict[str, Any]) -> None:
        """Answer a frame."""
        self._send(client, {"type": "result", "id": header["id"], "stream": header["stream"]})

    def _send(self, client: bytes, body: dict[str, Any]) -> None:
        self._socket.send_multipart([client, *wire.encode_reply(wire.Result(body))])


@pytest.fixture
def stand_in(scaled: Scaled, until: Callable[..., None]) -> Iterator[Callable[[str], StandIn]]:
    """Connect stand-ins of a name to the gateway; gone when the test ends."""
    with zmq.Context() as context, ExitStack() as stack:

        def connect(name: str) -> StandIn:
            made = StandIn(stack.enter_context(context.socket(zmq.DEALER)), scaled, name)
            until(lambda: name in scaled.streams)
            return made

        yield connect


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


def test_a_replica_that_lags_has_so_many_frames_waiting_for_it_and_no_more(
    scaled: Scaled, stand_in: Callable[[str], StandIn], dealer: Callable[..., Any]
) -> None:
    """Beyond them a frame is refused at once; those that wait are answered when it reads again."""
    replica, client, sent = stand_in("lagging"), dealer(scaled.address), 200
    for number in range(sent):
        client.send(number, stream=f"s{number % 10}", data=bytes(900_000))
    client.raw(*wire.encode_ping("all is read"))
    refused = list(iter(lambda: client.read().body, {"type": "pong", "id": "all is read"}))
    assert {(told["code"], told["limit"], told["allowed"]) for told in refused} == {("overloaded", "max_unsent", 64)}
    waiting = set(range(sent)) - {told["id"] for told in refused}
    assert 64 <= len(waiting) < 128, "those, and what the system's own buffers hold"
    for _ in waiting:
        replica.answer(*replica.take())
    assert {client.read().body["id"] for _ in waiting} == waiting
    client.send("next", stream="s0")
    replica.answer(*replica.take())
    assert client.read().body["id"] == "next"


def test_a_replica_that_falls_silent_is_given_up_until_it_speaks_again(
    scaled: Scaled,
    stand_in: Callable[[str], StandIn],
    dealer: Callable[..., Any],
    until: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A machine that hangs: its connection is there, but nobody answers. The client of a frame that it has is told, and
    gets no second answer when it wakes up.
    """
    replica, client = stand_in("sleeping"), dealer(scaled.address)
    client.send(1, stream="s")
    late = replica.take()
    with monkeypatch.context() as impatient:
        impatient.setattr("quadfollow_server.scale.gateway.SILENCE", 0.0)
        told = client.read().body
        assert (told["id"], told["code"], "gone" in told["detail"]) == (1, "unavailable", True)
        until(lambda: scaled.streams == {})
    assert client.ask(2, stream="s")["code"] == "unavailable"
    replica.answer(*late)
    until(lambda: scaled.streams == {"sleeping": 0})
    client.send(3, stream="s")
    replica.answer(*replica.take())
    assert (client.read().body["id"], scaled.streams) == (3, {"sleeping": 1})


def test_a_replica_comes_back_before_its_dead_connection_was_noticed(
    scaled: Scaled, stand_in: Callable[[str], StandIn], dealer: Callable[..., Any]
) -> None:
    """What it had it answers from where it is now, and there it gets the next frame."""
    old, client = stand_in("same"), dealer(scaled.address)
    client.send(1, stream="s")
    frame = old.take()
    new = stand_in("same")
    new.answer(*frame)
    assert client.read().body["id"] == 1
    client.send(2, stream="s")
    new.answer(*new.take())
    assert (client.read().body["id"], scaled.streams) == (2, {"same": 1})


def test_a_replica_connects_anew_under_its_name(
    scaled: Scaled, dealer: Callable[..., Any], constant: Callable[..., Any], until: Callable[..., None]
) -> None:
    """After its connection ended, as after the gateway was started again elsewhere, its streams go on."""
    member, client = scaled.add(constant(name="only")), dealer(scaled.address)
    until(lambda: len(scaled.streams) == 1)
    assert client.ask(1, stream="s")["model"] == "only"
    scaled.call(member._disconnect)
    until(lambda: scaled.streams == {})
    assert client.ask(2, stream="s")["code"] == "unavailable"
    scaled.call(lambda: member.connect(scaled.gateway.addresses))
    until(lambda: len(scaled.streams) == 1)
    assert client.ask(3, stream="s")["model"] == "only"
