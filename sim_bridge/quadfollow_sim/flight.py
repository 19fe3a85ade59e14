"""One flight from its plan to its files: open the world, fly it, keep video, rows and report."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, TextIO, get_args

import click

from quadfollow_core.client_key import ClientKey
from quadfollow_core.errors import BadInput
from quadfollow_core.stream_client import Fate, StreamClient
from quadfollow_sim.bridge import Asker, Lens, fly, require_server
from quadfollow_sim.calibration import load_calibration
from quadfollow_sim.camera import CameraSource
from quadfollow_sim.drawn import DrawnSource
from quadfollow_sim.film import FilmSource
from quadfollow_sim.judge import Row, Witness
from quadfollow_sim.plans import in_words, require_address, require_positive
from quadfollow_sim.recording.extra import require_mcap
from quadfollow_sim.recording.flights import note_recording, open_recorder
from quadfollow_sim.replay import RATE, ReplaySource
from quadfollow_sim.report import summarise
from quadfollow_sim.run_folder import REPORT, ROWS, VIDEO, keep_report
from quadfollow_sim.signals import stopping
from quadfollow_sim.video import VideoWriter
from quadfollow_sim.walk import LENGTH
from quadfollow_sim.world import FrameSource, Observation

World = Literal["replay", "drawn", "camera"]


@dataclass(frozen=True, slots=True)
class FlightPlan:
    """What to fly, where, and what to keep of it; checked at construction."""

    world: World
    frames: Path | None = None
    """Folder of recordings, MCAP file or video, for ``replay``."""
    source: str | None = None
    """Camera number or address, for ``camera``."""
    calibration: Path | None = None
    """The lens of pictures that come without their camera."""
    topic: str | None = None
    """Which pictures of an MCAP file with several cameras."""
    rate: float = RATE
    """Frames per second; an MCAP file or a video has its own."""
    speed: float = 1.0
    """How many times as fast a replay goes by."""
    seconds: float | None = None
    """Length of the flight; None for all of a recording, and for one walk of the drawn street."""
    loop: bool = False
    """Whether a recording starts over at its end."""
    seed: int = 0
    depth: bool = True
    """Whether the drawn street's camera measures depth."""
    server: str = "tcp://127.0.0.1:5555"
    stream: str = ""
    model: str | None = None
    """Model to ask the server for; None for its default."""
    out: Path = Path("out/fly")
    video: bool = True
    log: bool = False
    """Whether to keep a row per frame."""
    record: Path | None = None
    """Where to record pictures and answers as MCAP; None for nowhere."""

    def __post_init__(self) -> None:
        if self.world not in get_args(World):
            raise BadInput(f"no such world: {self.world!r}; there are {', '.join(get_args(World))}")
        if (self.world == "replay") != (self.frames is not None):
            raise BadInput("--world replay needs --frames, and no other world takes it")
        if (self.world == "camera") != (self.source is not None):
            raise BadInput("--world camera needs --source, and no other world takes it")
        if self.frames is None and (self.speed != 1 or self.topic is not None):
            raise BadInput("--speed and --topic are for replays: give --frames")
        require_positive(self, "rate", "seconds", "speed")
        if self.seed < 0:
            raise BadInput(f"--seed must not be below zero, got {self.seed}")
        require_address(self.server)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(self).items()}


def open_world(plan: FlightPlan) -> FrameSource:
    """Open the plan's world.

    Raises:
        BadDataset: recordings that cannot be shown, with every faulty file named.
    """
    if plan.source is not None:
        return CameraSource(plan.source, rate=plan.rate)
    if plan.frames is None:
        return DrawnSource(plan.seconds or LENGTH, rate=plan.rate, seed=plan.seed, with_depth=plan.depth)
    how: dict[str, Any] = {"loop": plan.loop, "progress": _show_progress}
    if plan.frames.suffix.lower() == ".mcap" and plan.frames.is_file():
        require_mcap()
        from quadfollow_sim.recording.source import McapSource

        return McapSource(plan.frames, topic=plan.topic, speed=plan.speed, **how)
    if plan.topic is not None:
        raise BadInput("--topic chooses among the cameras of an MCAP file")
    if plan.frames.is_file():
        return FilmSource(plan.frames, speed=plan.speed, **how)
    return ReplaySource(plan.frames, rate=plan.speed * plan.rate, **how)


def carry_out(plan: FlightPlan, key: ClientKey | None = None) -> dict[str, Any]:
    """Fly a plan and return its report, which also lies in the plan's folder. Ctrl-C ends the flight, not the report.

    Args:
        plan: what to fly.
        key: what to show a server that asks for keys.

    Raises:
        BadInput: the plan's calibration is none.
        ServerGone: no server answers at the plan's address.
        BadDataset: see :func:`open_world`.
        In each case nothing was flown, and no file was touched.
    """
    click.echo(f"flying {in_words(plan.as_dict())}", err=True)
    through = _lens(plan)
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(StreamClient(plan.server, stream=plan.stream, key=key))
        require_server(client)
        source = stack.enter_context(contextlib.closing(open_world(plan)))
        plan.out.mkdir(parents=True, exist_ok=True)
        film = stack.enter_context(VideoWriter(plan.out / VIDEO, source.rate))
        recorder = open_recorder(plan.record, plan.stream, stack)
        witnesses: tuple[Witness, ...] = (*_witnesses(plan, film, stack), *recorder)
        stop = stack.enter_context(stopping())
        flight = fly(
            source, client, seconds=plan.seconds, through=through, ask=_asker(plan), witnesses=witnesses, stop=stop
        )
    report = {"plan": plan.as_dict()} | summarise(flight) | {"files": _files(plan, film)}
    note_recording(report, recorder)
    keep_report(plan.out, report)
    return report


def _asker(plan: FlightPlan) -> Asker:
    """Ask for the mask only where it is used: to draw it, or to measure its overlap with a truth. The track is for
    those who look on."""
    model: dict[str, Any] = {"model": plan.model} if plan.model else {}

    def ask(observation: Observation) -> dict[str, Any]:
        mask = ["mask:png"] if plan.video or observation.truth is not None else []
        return {"want": ["target", "people", "track", *mask]} | model

    return ask


def _lens(plan: FlightPlan) -> Lens:
    """Give pictures whose camera is not known the one that was calibrated, if any was."""
    if plan.calibration is None:
        return lambda observation: observation
    calibration = load_calibration(plan.calibration)

    def known(observation: Observation) -> Observation:
        if observation.camera is not None:
            return observation
        height, width = observation.pixels().shape[:2]
        return replace(observation, camera=calibration.camera(width, height))

    return known


def _witnesses(plan: FlightPlan, film: VideoWriter, stack: contextlib.ExitStack) -> tuple[Witness, ...]:
    film_it: tuple[Witness, ...] = (film,) if plan.video else ()
    if not plan.log:
        return film_it
    return (*film_it, _row_writer(stack.enter_context((plan.out / ROWS).open("w"))))


def _row_writer(file: TextIO) -> Witness:
    def write(row: Row, observation: Observation, fate: Fate) -> None:
        file.write(json.dumps(row.as_dict()) + "\n")

    return write


def _files(plan: FlightPlan, film: VideoWriter) -> dict[str, str]:
    made = {"report": plan.out / REPORT}
    made |= {"video": film.path} if film.frames else {}
    made |= {"rows": plan.out / ROWS} if plan.log else {}
    return {name: str(path) for name, path in made.items()}


def _show_progress(done: int, total: int) -> None:
    if done == total or done % 500 == 0:
        click.echo(f"read {done} of {total} frames", err=True)
