"""The door itself, over real sockets: who asks is answered, whatever was asked, and nobody holds it up."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from quadfollow_core import wire
from quadfollow_core.errors import BadInput, ServerGone, Unavailable
from quadfollow_sim.orders.client import OrdersClient
from quadfollow_sim.orders.door import MOST, OrdersDoor
from quadfollow_sim.orders.wire import ADDRESS, LARGEST, Question, encode_question
from quadfollow_sim.safety import Mode, Order, obey

PATIENCE = 30.0


class Obedient:
    """A switch and nothing else."""

    def __init__(self) -> None:
        self.mode: Mode = "disarmed"
        self.asked = 0

    def order(self, order: Order) -> Mode:
        """Obey."""
        self.mode = obey(self.mode, order)
        return self.mode

    def status(self) -> dict[str, Any]:
        """The mode."""
        self.asked += 1
        return {"mode": self.mode}


@contextlib.contextmanager
def attended(door: OrdersDoor, craft: Obedient) -> Iterator[None]:
    """Attended to by a thread."""
    over = threading.Event()

    def attend() -> None:
        while not over.is_set():
            door.attend(craft, 0.02)

    thread = threading.Thread(target=attend)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.fixture
def door() -> Iterator[OrdersDoor]:
    """A door at a free port."""
    with OrdersDoor("tcp://127.0.0.1:*") as door:
        yield door


@contextlib.contextmanager
def connected(door: OrdersDoor) -> Iterator[zmq.Socket[bytes]]:
    """A bare socket of somebody who has no client of ours."""
    context = zmq.Context()
    dealer = context.socket(zmq.DEALER)
    dealer.linger = 0
    dealer.connect(door.address)
    try:
        yield dealer
    finally:
        context.destroy(linger=0)


def test_orders_are_obeyed_and_answered(door: OrdersDoor) -> None:
    """What was ordered, whether it led there, and how it stands now."""
    with attended(door, Obedient()), OrdersClient(door.address, PATIENCE) as client:
        assert client.status()["mode"] == "disarmed"
        assert client.order("arm") == {
            "type": "pilot",
            "id": None,
            "order": "arm",
            "obeyed": True,
            "mode": "armed",
        }
        assert client.order("hold")["mode"] == "holding"
        refused = client.order("arm")
        assert (refused["obeyed"], refused["mode"]) == (False, "holding")
        assert client.order("abort")["obeyed"]
        assert not client.order("resume")["obeyed"]


def test_the_documented_program_orders(door: OrdersDoor) -> None:
    """As it stands in docs/orders.md, but for the port."""
    page = (Path(__file__).parents[3] / "docs" / "orders.md").read_text()
    program = page.split("```py\n")[1].split("```")[0].replace(ADDRESS, door.address)
    craft = Obedient()
    craft.order("arm")
    with attended(door, craft):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "holding\n", done.stderr


def test_what_is_no_question_is_answered_with_its_fault(door: OrdersDoor) -> None:
    """And the next one as if nothing had been."""
    with attended(door, Obedient()), connected(door) as socket:
        socket.send_multipart([b"", b"qf1", b'{"type": "order", "order": "land"}'])
        assert socket.poll(1000 * PATIENCE)
        assert b"bad-message" in socket.recv_multipart()[2]
        socket.send_multipart([b"", *encode_question(Question("arm", 7))])
        assert socket.poll(1000 * PATIENCE)
        assert b'"id":7,"order":"arm","obeyed":true' in socket.recv_multipart()[2]


def test_who_sends_too_much_is_cut_off_alone(door: OrdersDoor) -> None:
    """A part over the limit, and one without an envelope; another client is answered."""
    with attended(door, Obedient()), connected(door) as socket:
        socket.send_multipart([b"", b"qf1", b" " * (LARGEST + 1)])
        socket.send_multipart([b"qf1", b"{}"])
        with OrdersClient(door.address, PATIENCE) as client:
            assert client.order("arm")["obeyed"]


def test_one_who_speaks_another_wire_does_not_hold_the_flight_up(door: OrdersDoor) -> None:
    """A frame's ping, which REQ's envelope is missing around, is passed over at once; whoever asks next is answered."""
    craft = Obedient()
    with connected(door) as stray, connected(door) as asking:
        stray.send_multipart(wire.encode_ping())
        looks = threading.Thread(target=door.attend, args=(craft, 1.0))
        looks.start()
        looks.join(PATIENCE)
        is_held_up = looks.is_alive()
        asking.send_multipart([b"", *encode_question(Question("arm", 7))])
        looks.join(PATIENCE)
        assert not is_held_up
        door.attend(craft, PATIENCE)
        assert asking.poll(1000 * PATIENCE)
    assert craft.mode == "armed"


def test_a_flood_is_answered_in_portions(door: OrdersDoor) -> None:
    """One look answers so many questions at most; the others are answered by the next looks."""
    craft = Obedient()
    asked, answered = 3 * MOST, 0
    with connected(door) as socket:
        for number in range(asked):
            socket.send_multipart([b"", *encode_question(Question(None, number))])
        while answered < asked:
            door.attend(craft, PATIENCE)
            new, answered = craft.asked - answered, craft.asked
            assert 0 < new <= MOST
            for _ in range(new):
                assert socket.poll(1000 * PATIENCE)
                socket.recv_multipart()


def test_late_orders_set_nothing_in_motion(door: OrdersDoor) -> None:
    """Asked before anybody looked: told to ask again; an abort counts all the same."""
    craft = Obedient()
    with connected(door) as socket:
        for order in ("arm", "abort"):
            socket.send_multipart([b"", *encode_question(Question(order))])  # type: ignore[arg-type]
            door.attend(craft, PATIENCE, late=True)
            assert socket.poll(1000 * PATIENCE)
        assert b"order it again" in socket.recv_multipart()[2]
        assert b'"mode":"aborted"' in socket.recv_multipart()[2]


def test_nobody_there_is_said_and_nothing_stays_behind() -> None:
    """An order that nobody answered is not carried out by who comes later."""
    with OrdersDoor("tcp://127.0.0.1:*") as door:
        address, craft = door.address, Obedient()
        with OrdersClient(address, 0.2) as client, pytest.raises(ServerGone, match="quadfollow fly"):
            client.order("arm")
        door.attend(craft, 0.2)
        assert craft.mode == "disarmed"


def test_the_ipv6_loopback_is_an_address_too() -> None:
    """Where the machine has one."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    craft = Obedient()
    with OrdersDoor("tcp://[::1]:*") as door, attended(door, craft), OrdersClient(door.address, PATIENCE) as client:
        assert client.status().items() >= craft.status().items()


def test_a_taken_address_is_said(door: OrdersDoor) -> None:
    """With its remedy."""
    with pytest.raises(Unavailable, match="--orders"):
        OrdersDoor(door.address)


def test_a_socket_file_is_not_taken_from_another_flight(tmp_path: Path) -> None:
    """As long as that one is there; what it left behind, killed, is no hindrance."""
    address = f"ipc://{tmp_path}/orders"
    with OrdersDoor(address) as first, pytest.raises(Unavailable, match="--orders"):
        OrdersDoor(first.address)
    with socket.socket(socket.AF_UNIX) as left:
        (tmp_path / "orders").unlink(missing_ok=True)
        left.bind(str(tmp_path / "orders"))
    with OrdersDoor(address) as second, attended(second, Obedient()), OrdersClient(address, PATIENCE) as client:
        assert client.order("arm")["obeyed"]


def test_a_free_port_can_be_taken_and_not_asked() -> None:
    """An order goes to a door that is somewhere."""
    with pytest.raises(BadInput, match="where a flight takes orders"):
        OrdersClient("tcp://127.0.0.1:*")


def test_an_open_address_is_refused() -> None:
    """At both ends."""
    with pytest.raises(BadInput):
        OrdersDoor("tcp://0.0.0.0:5557")
    with pytest.raises(BadInput):
        OrdersClient("tcp://203.0.113.1:5557")
