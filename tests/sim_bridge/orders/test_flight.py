"""Flights under orders, in both clocks: real sockets, a vehicle of paper, and an operator who looks first."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zmq
from tests.sim_bridge.unhurried import StallFreeClock
from tests.sim_bridge.walks import walk

from quadfollow_core.errors import BadInput
from quadfollow_sim import mission, pace
from quadfollow_sim.closed_loop import ClockName, ClosedLoop
from quadfollow_sim.craft import STANDING, STOPS_WITHIN, Craft
from quadfollow_sim.eyes import LocalEyes
from quadfollow_sim.measures import measure_sortie
from quadfollow_sim.mission import MissionPlan
from quadfollow_sim.orders.client import OrdersClient
from quadfollow_sim.orders.door import OrdersDoor
from quadfollow_sim.orders.wire import Question, decode_reply, encode_question
from quadfollow_sim.paper import PaperSpace
from quadfollow_sim.pilot import Pilot
from quadfollow_sim.sortie import Sortie
from quadfollow_sim.venue import Venue

RATE = 20.0
PATIENCE = 60.0
ENDLESS = 3600.0
CLOCKS = pytest.mark.parametrize("clock", ["lockstep", "real"])

Script = Callable[[OrdersClient], None]


@pytest.fixture(autouse=True)
def _no_stalls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stall of the machine does not fly the vehicle on blindly for as long."""
    monkeypatch.setattr(pace, "time", StallFreeClock())


def wait_for(client: OrdersClient, what: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Ask how it stands until it stands so."""
    end = time.monotonic() + PATIENCE
    while not what(status := client.status()):
        assert time.monotonic() < end, status
    return status


def stands(status: dict[str, Any]) -> bool:
    """Whether it hovers on the spot."""
    return bool(status["speed"] < STANDING)


def flies(status: dict[str, Any]) -> bool:
    """Whether it flies after somebody."""
    return status["braking"] is None and bool(status["speed"] > 0.5)


@contextlib.contextmanager
def operator(door: OrdersDoor, script: Script) -> Iterator[threading.Event]:
    """Gives orders from a thread; the flight ends when the script does, and what it found wrong is raised here."""
    over = threading.Event()
    wrong: list[BaseException] = []

    def run() -> None:
        try:
            with OrdersClient(door.address, PATIENCE) as client:
                script(client)
        except BaseException as error:  # noqa: BLE001  # raised again below
            wrong.append(error)
        finally:
            over.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield over
    finally:
        thread.join()
    if wrong:
        raise wrong[0]


def fly(
    script: Script, clock: ClockName, seconds: float = ENDLESS, *, armed: bool = False, world: Any = None
) -> Sortie:
    """A flight under a script's orders, until that is over."""
    pilot = Pilot(1 / RATE)
    with OrdersDoor("tcp://127.0.0.1:*") as door, operator(door, script) as over:
        loop = ClosedLoop(PaperSpace(walk), LocalEyes("truth"), pilot, rate=RATE, door=door)
        return loop.fly(seconds, clock, lambda: over.is_set() and pilot.mode != "aborted", until_armed=True)


@CLOCKS
def test_arm_hold_resume_abort(clock: ClockName) -> None:
    """It waits for its order, follows, stands while held, follows again, and an abort ends it standing."""
    held: list[dict[str, Any]] = []

    def script(client: OrdersClient) -> None:
        assert client.status()["mode"] == "disarmed"
        assert stands(client.status())
        assert client.order("arm")["mode"] == "armed"
        wait_for(client, flies)
        assert client.order("hold")["braking"] == "holding"
        held.append(wait_for(client, stands))
        assert client.order("resume")["mode"] == "armed"
        wait_for(client, flies)
        assert client.order("abort")["braking"] == "aborted"

    sortie = fly(script, clock)
    assert sortie.aborted
    assert (sortie.interrupted, sortie.server_gone) == (False, False)
    assert [order["mode"] for order in sortie.orders] == ["armed", "holding", "armed", "aborted"]
    assert sortie.seconds < ENDLESS
    assert sortie.steps[-1].braking == "aborted"
    measures = measure_sortie(sortie)
    assert measures["aborted"]
    assert measures["braking"]["holding"] >= 1
    assert held[0]["braking"] == "holding"


def test_lockstep_waits_for_the_order() -> None:
    """The flight that waited is the flight that did not."""
    script: Script = lambda client: client.order("arm") and None  # noqa: E731
    waited, plain = (fly_for(script, 3.0, armed=armed) for armed in (False, True))
    assert len(waited.steps) == len(plain.steps) == 60
    assert [replace(step, latency_ms=None) for step in waited.steps] == [
        replace(step, latency_ms=None) for step in plain.steps
    ]
    assert waited.seconds == plain.seconds


def fly_for(script: Script, seconds: float, *, armed: bool) -> Sortie:
    """A flight of so many seconds in lockstep."""
    pilot = Pilot(1 / RATE)
    if armed:
        pilot.order("arm")
        return ClosedLoop(PaperSpace(walk), LocalEyes("truth"), pilot, rate=RATE).fly(seconds)
    with OrdersDoor("tcp://127.0.0.1:*") as door, operator(door, script):
        loop = ClosedLoop(PaperSpace(walk), LocalEyes("truth"), pilot, rate=RATE, door=door)
        return loop.fly(seconds, until_armed=True)


def test_beside_the_clock_it_hovers_and_looks() -> None:
    """While it waits the pilot sees the target already, and stays where it is; nothing of that is in the report."""
    waited: list[dict[str, Any]] = []

    def script(client: OrdersClient) -> None:
        waited.append(wait_for(client, lambda status: status["state"] == "following" and status["time"] > 1.0))
        client.order("arm")
        waited.append(wait_for(client, flies))

    sortie = fly(script, "real")
    assert waited[0]["position"] == [-4.0, 0.0, 2.5]
    assert waited[0]["braking"] == "disarmed"
    assert min(step.time for step in sortie.steps) > 0.9
    assert sortie.orders[0]["time"] > 1.0
    assert len(waited) == 2


@CLOCKS
def test_an_abort_ends_the_waiting(clock: ClockName) -> None:
    """Without a single step flown."""

    def script(client: OrdersClient) -> None:
        assert not client.order("hold")["obeyed"]
        assert client.order("abort")["obeyed"]

    sortie = fly(script, clock)
    assert sortie.aborted
    assert sortie.steps == []
    assert measure_sortie(sortie)["aborted"]


@CLOCKS
def test_the_waiting_can_be_interrupted(clock: ClockName) -> None:
    """Ctrl-C while it waits."""
    sortie = fly(lambda client: client.status() and None, clock)
    assert sortie.interrupted
    assert sortie.steps == []


def test_after_an_abort_nothing_arms() -> None:
    """Orders while it brakes for an abort change nothing."""
    craft = Craft(PaperSpace(walk), Pilot(1 / RATE))
    assert [craft.order(order) for order in ("arm", "abort", "disarm", "arm")] == ["armed", *["aborted"] * 3]
    assert [order["mode"] for order in craft.orders] == ["armed", "aborted"]
    assert craft.status()["braking"] == "aborted"


def test_an_abort_has_its_time_to_stop() -> None:
    """It is done when the vehicle stands; one that cannot stop is not waited for."""
    world = PaperSpace(walk)
    world.vehicle.state = replace(world.vehicle.state, velocity=(2.0, 0.0, 0.0))
    craft = Craft(world, Pilot(1 / RATE))
    craft.order("abort")
    assert not craft.has_stopped
    world.advance(STOPS_WITHIN + 0.1)
    assert craft.has_stopped
    assert craft.status()["speed"] < STANDING
    world.vehicle.state = replace(world.vehicle.state, velocity=(2.0, 0.0, 0.0))
    assert craft.has_stopped


def test_waiting_needs_a_door() -> None:
    """Else nobody could ever give the order."""
    with pytest.raises(BadInput, match="door"):
        ClosedLoop(PaperSpace(walk), LocalEyes("truth"), Pilot(1 / RATE), rate=RATE).fly(1.0, until_armed=True)


def test_each_of_several_flights_waits_for_an_order_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What armed the first does not arm the second, whose abort ends the third as well; the report has each one's."""

    def open_paper(preset: str, seed: int, outfit: str, *, rate: float, **_: Any) -> Venue:
        return Venue(PaperSpace(walk), Pilot(1 / rate), preset)

    monkeypatch.setattr(mission, "open_city", open_paper)
    plan = MissionPlan(
        flights=3,
        seconds=0.5,
        eyes="truth",
        orders=f"ipc://{tmp_path}/orders",
        hold_until_armed=True,
        video=False,
        out=tmp_path,
    )
    waiting: list[dict[str, Any]] = []

    def give_orders() -> None:
        with OrdersClient(str(plan.orders), PATIENCE) as client:
            waiting.append(client.status())
            client.order("arm")
            waiting.append(wait_for(client, lambda status: status["mode"] == "disarmed"))
            client.order("abort")

    with ThreadPoolExecutor() as pool:
        given = pool.submit(give_orders)
        report = mission.carry_out_mission(plan)
        given.result()
    assert [(status["mode"], status["time"], status["speed"]) for status in waiting] == [("disarmed", 0.0, 0.0)] * 2
    assert [[one["order"] for one in flight["orders"]] for flight in report["flights"]] == [["arm"], ["abort"]]
    assert [flight["aborted"] for flight in report["flights"]] == [False, True]
    assert report["aborted"]


def test_an_order_given_between_two_flights_sets_nothing_in_motion() -> None:
    """Who gave it is told so, and may give it again."""
    told: list[dict[str, Any]] = []

    def script(client: OrdersClient) -> None:
        told.append(decode_reply(early.recv_multipart()))
        told.append(client.status())
        told.append(client.order("arm"))

    with zmq.Context() as context, context.socket(zmq.REQ) as early, OrdersDoor("tcp://127.0.0.1:*") as door:
        early.linger, early.rcvtimeo = 0, int(1000 * PATIENCE)
        early.connect(door.address)
        early.send_multipart(encode_question(Question("arm")))
        assert door._socket.poll(1000 * PATIENCE)
        with operator(door, script):
            loop = ClosedLoop(PaperSpace(walk), LocalEyes("truth"), Pilot(1 / RATE), rate=RATE, door=door)
            sortie = loop.fly(0.5, until_armed=True)
    assert (told[0]["type"], told[0]["code"]) == ("error", "unavailable")
    assert [status["mode"] for status in told[1:]] == ["disarmed", "armed"]
    assert [order["order"] for order in sortie.orders] == ["arm"]
