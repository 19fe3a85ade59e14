"""Closed-loop flights from their plan to their files: a city per flight or QuadSim, eyes, pilot, film, report."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import click

from quadfollow_core.client_key import ClientKey
from quadfollow_core.errors import BadInput, Unavailable
from quadfollow_core.files import write_whole
from quadfollow_core.stream_client import StreamClient
from quadfollow_core.trackers import make_tracker
from quadfollow_sim.airspace import Airspace
from quadfollow_sim.bridge import require_server
from quadfollow_sim.city.outfits import find_look
from quadfollow_sim.city.presets import find_preset
from quadfollow_sim.closed_loop import ClockName, ClosedLoop
from quadfollow_sim.eyes import Arm, Eyes, LocalEyes, NetworkEyes
from quadfollow_sim.measures import measure_all, measure_sortie
from quadfollow_sim.orders.door import OrdersDoor
from quadfollow_sim.orders.wire import ADDRESS, require_private
from quadfollow_sim.page import draw_page
from quadfollow_sim.plans import in_words, require_address, require_positive
from quadfollow_sim.recording.flights import note_recording, open_recorder
from quadfollow_sim.run_folder import PAGE, REPORT, STEPS, VIDEO, flight_folder, keep_report
from quadfollow_sim.signals import stopping
from quadfollow_sim.sortie import Sortie, Step
from quadfollow_sim.venue import QuadSimPlan, Venue, open_city, open_quadsim
from quadfollow_sim.video import VideoWriter

EyesName = Literal["network", Arm]
AutopilotName = Literal["none", "mavlink"]
TIMEOUT = {"lockstep": 5.0, "real": 1.0}
"""Seconds after which an unanswered picture counts as lost, by clock."""


@dataclass(frozen=True, slots=True)
class MissionPlan:
    """Which flights to make, and what to keep of them; checked at construction."""

    quadsim: QuadSimPlan | None = None
    """Fly QuadSim, which paces itself and tells no truth; None for the embedded city."""
    preset: str = "street"
    outfit: str = "red"
    """What the target wears."""
    flights: int = 1
    seconds: float | None = 60.0
    """Length of each flight, on the world's clock; None, for QuadSim alone, until it goes or somebody ends it."""
    seed: int = 0
    """Of the first flight's city; the next ones count up."""
    clock: ClockName = "lockstep"
    eyes: EyesName = "network"
    tracker: str | None = None
    """For eyes in this process; None for ``kalman``. A server has its own."""
    rate: float = 20.0
    """Pictures per second of the world's clock."""
    depth: bool = True
    """Whether the camera measures depth."""
    server: str = "tcp://127.0.0.1:5555"
    stream: str = ""
    autopilot: AutopilotName = "none"
    """What flies the vehicle: the world itself, or an imitation of PX4 behind MAVLink, by setpoints."""
    orders: str | None = None
    """Where the pilot takes orders; None for the usual address, and nowhere if another flight takes them there."""
    hold_until_armed: bool = False
    """Whether each flight waits for the order that arms its pilot."""
    model: str | None = None
    out: Path = Path("out/fly")
    video: bool = True
    log: bool = False
    """Whether to keep a row per picture."""
    record: Path | None = None
    """Where to record pictures and answers as MCAP, a file per flight; None for nowhere."""

    def __post_init__(self) -> None:
        find_preset(self.preset)
        find_look(self.outfit)
        make_tracker(self.tracker or "kalman")
        require_address(self.server)
        require_private(self.orders or ADDRESS)
        require_positive(self, "flights", "seconds", "rate")
        if self.quadsim is None and self.seconds is None:
            raise BadInput("a flight through the city takes --seconds")
        if self.quadsim is not None and (self.eyes, self.autopilot, self.flights) != ("network", "none", 1):
            raise BadInput("QuadSim flies itself, tells no truth and is flown once: --eyes network, one flight")
        if self.clock not in get_args(ClockName) or self.seed < 0:
            raise BadInput(f"no such clock or seed: {self.clock!r}, {self.seed}")
        if self.autopilot not in get_args(AutopilotName):
            raise BadInput(f"no such autopilot: {self.autopilot!r}; there are {', '.join(get_args(AutopilotName))}")
        if self.eyes == "network" and self.tracker is not None:
            raise BadInput("a server's track is followed as the server was told: quadfollow serve --tracker")
        if self.eyes != "network" and self.model is not None:
            raise BadInput(f"--eyes {self.eyes} uses no model")

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        values = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(self).items()}
        return {"world": "city" if self.quadsim is None else "quadsim"} | values


def city_is_missing() -> Unavailable | None:
    """Why no city can be drawn on this machine; None where one can."""
    from quadfollow_sim.city.city import City

    try:
        City("plaza", 0, size=32).close()
    except Unavailable as error:
        return error
    return None


def carry_out_mission(plan: MissionPlan, key: ClientKey | None = None) -> dict[str, Any]:
    """Make all flights and return their report, which also lies in the plan's folder.

    Ctrl-C, the order to abort or an error ends the flight and those to come, not the report of those made before.

    Args:
        plan: what to fly.
        key: what to show a server that asks for keys.

    Raises:
        ServerGone: no server answers at the plan's address.
        Unavailable: no city can be drawn on this machine, or orders cannot be taken where the plan says.
    """
    click.echo(f"flying {in_words(plan.as_dict())}", err=True)
    flights: list[dict[str, Any]] = []
    steps: list[Step] = []
    try:
        with contextlib.ExitStack() as stack:
            stop, door = stack.enter_context(stopping()), _open_door(plan, stack)
            for number in range(1, plan.flights + 1):
                sortie, more = _fly(plan, number, stop, door, key)
                flights.append({"number": number, "seed": plan.seed + number - 1} | measure_sortie(sortie) | more)
                steps += sortie.steps
                _tell(flights[-1], plan.flights)
                if sortie.interrupted or sortie.server_gone or sortie.aborted:
                    break
    finally:
        report = _keep_report(plan, flights, steps) if flights else {}
    return report


def _keep_report(plan: MissionPlan, flights: list[dict[str, Any]], steps: list[Step]) -> dict[str, Any]:
    report = {
        "plan": plan.as_dict(),
        "overall": measure_all(flights, steps),
        "flights": flights,
        "interrupted": flights[-1]["interrupted"],
        "server_gone": flights[-1]["server_gone"],
        "aborted": flights[-1]["aborted"],
        "files": {"report": str(plan.out / REPORT)} | flights[0]["files"],
    }
    keep_report(plan.out, report)
    return report


def _open_door(plan: MissionPlan, stack: contextlib.ExitStack) -> OrdersDoor | None:
    """The door for orders; None where nobody asked for one and another flight has the usual address."""
    try:
        return stack.enter_context(OrdersDoor(plan.orders or ADDRESS))
    except Unavailable as error:
        if plan.orders is not None or plan.hold_until_armed:
            raise
        click.echo(f"this flight takes no orders: {error}", err=True)
        return None


def _fly(
    plan: MissionPlan, number: int, stop: Callable[[], bool], door: OrdersDoor | None, key: ClientKey | None
) -> tuple[Sortie, dict[str, Any]]:
    """One flight, and what its report holds beside the measures: its files, and what its world has to say."""
    folder = flight_folder(plan.out, number)
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        eyes = _open_eyes(plan, key, stack)
        venue = _open_venue(plan, number, stack)
        if plan.hold_until_armed:
            click.echo(f"flight {number} waits for its order: quadfollow pilot arm{_where(plan)}", err=True)
        else:
            venue.steersman.order("arm")
        film = stack.enter_context(VideoWriter(folder / VIDEO, plan.rate))
        recorder = open_recorder(plan.record, plan.stream, stack)
        witnesses = (*((film,) if plan.video else ()), *recorder)
        flown = _put_behind_autopilot(plan, venue.world, stack)
        loop = ClosedLoop(flown, eyes, venue.steersman, rate=plan.rate, witnesses=witnesses, door=door)
        sortie = loop.fly(plan.seconds, plan.clock, stop, until_armed=plan.hold_until_armed)
        told = venue.told()
    files = {"page": str(draw_page(sortie, folder / PAGE, f"{venue.title}, {plan.eyes} eyes"))}
    files |= {"video": str(film.path)} if film.frames else {}
    files |= _keep_steps(sortie, folder / STEPS) if plan.log else {}
    told |= {"files": files}
    note_recording(told, recorder)
    return sortie, told


def _open_venue(plan: MissionPlan, number: int, stack: contextlib.ExitStack) -> Venue:
    where: dict[str, Any] = {"rate": plan.rate, "with_depth": plan.depth, "stack": stack}
    if plan.quadsim is None:
        return open_city(plan.preset, plan.seed + number - 1, plan.outfit, **where)
    return open_quadsim(plan.quadsim, tell=lambda text: click.echo(text, err=True), **where)


def _put_behind_autopilot(plan: MissionPlan, world: Airspace, stack: contextlib.ExitStack) -> Airspace:
    """The world as it is flown: directly, or by setpoints over MAVLink."""
    if plan.autopilot == "none":
        return world
    from quadfollow_sim.city.gimbal import MOUNT
    from quadfollow_sim.mavlink.imitated import behind_mavlink

    return stack.enter_context(behind_mavlink(world, lambda text: click.echo(text, err=True), mount=MOUNT))


def _where(plan: MissionPlan) -> str:
    return "" if plan.orders is None else f" --orders {plan.orders}"


def _open_eyes(plan: MissionPlan, key: ClientKey | None, stack: contextlib.ExitStack) -> Eyes:
    """A connection per flight, so that each begins with a track of its own."""
    if plan.eyes != "network":
        return LocalEyes(plan.eyes, tracker=plan.tracker or "kalman", mask=plan.video)
    client = stack.enter_context(StreamClient(plan.server, stream=plan.stream, timeout=TIMEOUT[plan.clock], key=key))
    require_server(client)
    return NetworkEyes(client, mask=plan.video, model=plan.model)


def _keep_steps(sortie: Sortie, path: Path) -> dict[str, str]:
    write_whole(path, "".join(json.dumps(step.as_dict()) + "\n" for step in sortie.steps))
    return {"steps": str(path)}


def _tell(flight: dict[str, Any], flights: int) -> None:
    shown = {key: flight[key] for key in ("seed", "in_view", "position_error_m", "losses", "collisions")}
    click.echo(f"flight {flight['number']} of {flights}: {in_words(shown)}", err=True)
