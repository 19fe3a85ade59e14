"""The commands ``fly`` and ``demo``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from quadfollow_core.cli import refuse

if TYPE_CHECKING:
    from quadfollow_core.client_key import ClientKey

FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)
TRACKER = click.Choice(["kalman", "centroid"])
INTERRUPTED = 130
CITY = "city"
QUADSIM = "quadsim"
OPEN_LOOP = ("source", "calibration", "frames", "loop", "speed", "topic", "save_frames")
"""Options of worlds that only show frames."""
OF_CITY = ("preset", "outfit", "flights", "clock", "eyes", "tracker", "autopilot")
OF_QUADSIM = ("listen", "patience", "far", "ground", "far_check")
FLOWN = ("orders", "hold_until_armed")
"""Options of worlds that are flown in."""
OF_FLIGHTS = OF_CITY + OF_QUADSIM + FLOWN
FOREIGN = {
    CITY: OPEN_LOOP + OF_QUADSIM,
    QUADSIM: (*OPEN_LOOP, *OF_CITY, "seed", "rate"),
    "replay": (*OF_FLIGHTS, "seed", "depth"),
    "drawn": (*OF_FLIGHTS, "frames", "calibration", "loop", "speed", "topic"),
    "camera": (*OF_FLIGHTS, "loop", "speed", "topic", "seed", "depth"),
}
"""Options that mean nothing to a world."""
UNSAVED = ("server", "stream", "model", "calibration", "depth", "out", "video", "record", "log")
"""Options that mean nothing where frames are only saved."""
DEMO_SECONDS = 30.0
"""Length of the demo's flight through the city."""


def _options(*options: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Callable[..., Any]:
    """Several click options as one decorator, listed in this order."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


world_options = _options(
    click.option(
        "--frames",
        type=click.Path(path_type=Path, exists=True),
        help="Replay: folder with images/ (and masks/) or pictures, recording (.mcap) or video.",
    ),
    click.option("--speed", default=1.0, show_default=True, help="Replay: so many times as fast."),
    click.option("--topic", help="Replay: which pictures of a recording with several cameras."),
    click.option("--loop", is_flag=True, help="Replay: start over at the end."),
    click.option(
        "--preset", default="street", show_default=True, help="City: plaza, street, crowd, dusk, wind, decoys."
    ),
    click.option("--outfit", default="red", show_default=True, help="City: what the target wears: red, yellow, blue."),
    click.option("--seed", default=0, show_default=True, help="Of all that is drawn by chance."),
    click.option(
        "--rate", default=20.0, show_default=True, help="Frames per second. A recording or video has its own."
    ),
    click.option("--depth/--no-depth", default=True, show_default=True, help="Whether a camera measures depth."),
    click.option("--video/--no-video", default=True, show_default=True, help="Write an MP4 with overlay."),
    click.option("--record", type=FILE, help="Record pictures and answers there (NAME.mcap). People are in them."),
    click.option("--log", is_flag=True, help="Keep a row per frame as JSON lines."),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table."),
)


@click.command()
@click.option(
    "--world",
    type=click.Choice(["replay", "drawn", CITY, QUADSIM]),
    help="Default: replay with --frames, else drawn.",
)
@click.option("--seconds", type=float, help="Length of a flight. Default: all of it; 60 in the city.")
@click.option("--listen", default="127.0.0.1:4567", show_default=True, help="QuadSim: where it is waited for.")
@click.option("--patience", default=300.0, show_default=True, help="QuadSim: seconds to wait for its first picture.")
@click.option("--far", default=100.0, show_default=True, help="QuadSim: its far plane in metres; some builds have 50.")
@click.option("--ground", default=0.0, show_default=True, help="QuadSim: height of the ground, to check --far by.")
@click.option("--far-check/--no-far-check", default=True, show_default=True, help="QuadSim: whether to check --far.")
@click.option("--flights", default=1, show_default=True, help="City: flights to make, each with the next seed.")
@click.option(
    "--clock",
    type=click.Choice(["lockstep", "real"]),
    default="lockstep",
    show_default=True,
    help="City: lockstep waits for every answer and repeats itself; real goes on meanwhile.",
)
@click.option(
    "--eyes",
    type=click.Choice(["network", "truth", "mirrored", "blind"]),
    default="network",
    show_default=True,
    help="City: the server's network, or an arm of comparison that needs no server.",
)
@click.option(
    "--tracker",
    type=TRACKER,
    help="City: how the target is followed; centroid is the baseline. With --eyes network the server decides.",
)
@click.option("--server", default="tcp://127.0.0.1:5555", show_default=True, help="The server's ZeroMQ door.")
@click.option("--stream", default="", help="Name of the stream.")
@click.option(
    "--orders",
    help="Flown: where the pilot takes orders, see `pilot`; of this machine alone. [default: tcp://127.0.0.1:5557]",
)
@click.option(
    "--autopilot",
    type=click.Choice(["none", "mavlink"]),
    default="none",
    show_default=True,
    help="City: mavlink flies by offboard setpoints an imitation of PX4 in this process; see the page on MAVLink.",
)
@click.option("--hold-until-armed", is_flag=True, help="Flown: begin each flight with the order: quadfollow pilot arm.")
@click.option("--model", help="Model to ask the server for. Default: the server's own.")
@click.option("--out", type=FOLDER, default=Path("out/fly"), show_default=True, help="Where video and report go.")
@click.option("--source", help="Show a camera instead (0), a video file or rtsp://…, through OpenCV; nothing flies.")
@click.option("--calibration", type=FILE, help="Replay, --source: the lens, as `calibrate` wrote it; gives bearings.")
@click.option(
    "--save-frames", type=FOLDER, help="Write the world's frames (images/, masks/) of --seconds there; fly nothing."
)
@world_options
def fly(world: str | None, save_frames: Path | None, as_json: bool, **options: Any) -> int:
    """Fly behind a server's answers, in the city or in QuadSim, or show it frames; report how right and fast it was."""
    from quadfollow_core.client_key import ClientKey
    from quadfollow_sim.signals import terminable

    world = _take_source(world, options) or ("replay" if options["frames"] else "drawn")
    refuse(FOREIGN[world], f"to --world {world}")
    with terminable():
        if save_frames is not None and "save_frames" not in FOREIGN[world]:
            count = _save(world, options, save_frames)
            told = {"frames": count, "folder": str(save_frames)}
            click.echo(json.dumps(told) if as_json else f"{count} frames in {save_frames}")
            return 0
        report = _carry_out(world, options, ClientKey.from_environment())
    return _conclude(report, as_json)


@click.command()
@click.option(
    "--world",
    type=click.Choice(["replay", "drawn", CITY]),
    help="Default: replay with --frames, else city.",
)
@click.option("--seconds", type=float, help="Length of the flight. Default: 30 in the city, else all of it.")
@click.option(
    "--clock", type=click.Choice(["lockstep", "real"]), default="real", show_default=True, help="City: see `fly`."
)
@click.option("--model", help="Model file or name of a shipped model. Default: the shipped default.")
@click.option("--device", default="auto", show_default=True, help="Where the server computes: see `serve`.")
@click.option(
    "--tracker", type=TRACKER, default="kalman", show_default=True, help="How it follows; centroid is the baseline."
)
@click.option("--view", is_flag=True, help="Fly again and again until Ctrl-C, to be looked at in the live view.")
@click.option("--out", type=FOLDER, default=Path("out/demo"), show_default=True, help="Where video and report go.")
@world_options
def demo(
    world: str | None,
    model: str | None,
    device: str,
    tracker: str,
    view: bool,
    out: Path,
    as_json: bool,
    **options: Any,
) -> int:
    """Start a server with the shipped model, follow a person behind it, show the table, shut it down."""
    from quadfollow_core.shipped import find_model
    from quadfollow_sim.server_process import ServerProcess
    from quadfollow_sim.signals import terminable

    served = find_model(model)
    world = world or ("replay" if options["frames"] else _demo_world())
    # Whatever is shown, this server follows by the tracker that is asked for.
    refuse(set(FOREIGN[world]) - {"tracker"}, f"to --world {world}")
    if world == CITY and options["seconds"] is None:
        options["seconds"] = DEMO_SECONDS
    log = out / "server.log"
    click.echo(f"starting a server with {served.stem}; its log: {log}", err=True)
    # This shell may be set up for another server: neither its settings nor its key are for this one.
    how: dict[str, Any] = {"device": device, "tracker": tracker, "from_environment": False}
    with terminable(), ServerProcess(log, model=str(served), **how) as server:
        click.echo(f"server ready at {server.url} and {server.address}", err=True)
        if view:
            click.echo(f"live view: {server.url}/ (Ctrl-C ends it)", err=True)
        shown = {"server": server.address, "out": out, "stream": "demo", "model": served.stem}
        report = _carry_out(world, options | shown, None, again=view)
        died = server.died()
    code = _conclude(report, as_json, died)
    return 0 if view and code == INTERRUPTED else code


def _demo_world() -> str:
    """Where the demo flies: the shipped model knows the city; where none can be drawn, the drawn street stands in."""
    from quadfollow_sim.mission import city_is_missing

    missing = city_is_missing()
    if missing is None:
        return CITY
    click.echo(f"the drawn street instead of the city: {missing}", err=True)
    return "drawn"


def _take_source(world: str | None, options: dict[str, Any]) -> str | None:
    """Turn ``--source`` into the world that shows it: a file is replayed, anything else is a camera."""
    from quadfollow_core.errors import BadInput

    if options["source"] is None:
        return world
    if world is not None or options["frames"] is not None:
        raise BadInput("--source is a world of its own: leave out --world and --frames")
    if not Path(options["source"]).exists():
        return "camera"
    options["frames"], options["source"] = Path(options["source"]), None
    return "replay"


def _save(world: str, options: Mapping[str, Any], folder: Path) -> int:
    """Save a world's frames, and return how many."""
    from quadfollow_core.errors import BadInput
    from quadfollow_sim.flight import open_world
    from quadfollow_sim.save import save_frames

    refuse(UNSAVED, "to --save-frames")
    plan = _shown(world, options)
    if plan.loop and plan.seconds is None:
        raise BadInput("--loop never ends: with --save-frames it needs --seconds")
    with closing(open_world(plan)) as source:
        return save_frames(source, folder, plan.seconds)


def _carry_out(world: str, options: Mapping[str, Any], key: ClientKey | None, *, again: bool = False) -> dict[str, Any]:
    """Fly; ``again`` and again until interrupted, aborted or left by the server. Return the last report."""
    report = _carry_out_once(world, options, key)
    with suppress(KeyboardInterrupt):
        while again and not any(report.get(end) for end in ("interrupted", "server_gone", "aborted")):
            report = _carry_out_once(world, options, key)
    return report


def _carry_out_once(world: str, options: Mapping[str, Any], key: ClientKey | None) -> dict[str, Any]:
    from quadfollow_sim.flight import carry_out
    from quadfollow_sim.mission import MissionPlan, carry_out_mission

    if world not in (CITY, QUADSIM):
        return carry_out(_shown(world, options), key)
    foreign = (*FOREIGN[world], *OF_QUADSIM)
    given = {name: value for name, value in options.items() if name not in foreign and value is not None}
    if world == QUADSIM:
        given |= _quadsim(options) | {"seconds": options["seconds"]}
    return carry_out_mission(MissionPlan(**given), key)


def _quadsim(options: Mapping[str, Any]) -> dict[str, Any]:
    """What a mission through QuadSim has instead of the city's options."""
    from quadfollow_sim.quadsim.world import RATE
    from quadfollow_sim.venue import QuadSimPlan

    ground = options["ground"] if options["far_check"] else None
    return {
        "quadsim": QuadSimPlan(options["listen"], options["far"], ground, options["patience"]),
        "clock": "real",
        "rate": RATE,
    }


def _shown(world: str, options: Mapping[str, Any]) -> Any:
    """The plan of a flight over frames."""
    from quadfollow_sim.flight import FlightPlan, World

    known = {name: value for name, value in options.items() if name not in FOREIGN[world]}
    return FlightPlan(world=cast(World, world), **known)


def _conclude(report: dict[str, Any], as_json: bool, died: Exception | None = None) -> int:
    """Print a report and return the exit code, which says whether the flight was cut short.

    Raises:
        ServerGone: nobody answered at the end; what ``died`` says, if it was a server of our own.
        QuadfollowError: nothing was answered.
    """
    from quadfollow_core.errors import ServerGone
    from quadfollow_sim.measures import flights_table
    from quadfollow_sim.report import require_answers, table

    if as_json:
        click.echo(json.dumps(report))
    else:
        click.echo(flights_table(report) if "flights" in report else table(report))
        for name, path in report["files"].items():
            click.echo(f"{name:8}{path}")
    if died is not None:
        raise died
    if report["server_gone"]:
        raise ServerGone(f"the server at {report['plan']['server']} stopped answering during the flight")
    if report["interrupted"] or report.get("aborted"):
        return INTERRUPTED
    require_answers(report)
    return 0
