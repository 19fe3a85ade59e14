"""The command ``record``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from quadfollow_core.cli import refuse

FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.option("--from", "address", help="The server's PUB socket, such as tcp://127.0.0.1:5556.")
@click.option("-o", "--out", type=FILE, required=True, help="NAME.mcap; a taken name gets a number: NAME-2.mcap.")
@click.option("--stream", help="The one stream to record. Default: all.")
@click.option("--seconds", type=float, help="How long. Default: until Ctrl-C.")
@click.option("--keep-days", type=float, help="Delete files of this recording that are older.")
@click.option("--max-size", help="Keep at most so much of this recording, such as 2G; the oldest goes first.")
@click.option("--repair", type=FILE, help="Instead of recording, write what a broken FILE.mcap holds to --out.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a line.")
def record(address: str | None, out: Path, repair: Path | None, as_json: bool, **options: Any) -> None:
    """Record a server's pictures and answers as MCAP, for Foxglove, Rerun and `fly --world replay`.

    People are in these pictures: --keep-days and --max-size say how long and how much of it is kept.
    """
    from quadfollow_core.errors import BadInput
    from quadfollow_sim.recording.extra import require_mcap

    require_mcap()
    if (address is None) == (repair is None):
        raise BadInput("give --from tcp://HOST:PORT to record from a server, or --repair FILE.mcap to mend a file")
    if repair is not None:
        refuse(options, "to --repair")
    told = _record(str(address), out, **options) if repair is None else _repair(repair, out)
    click.echo(json.dumps(told) if as_json else "  ".join(f"{key} {_shown(value)}" for key, value in told.items()))


def _record(
    address: str, out: Path, stream: str | None, seconds: float | None, keep_days: float | None, max_size: str | None
) -> dict[str, Any]:
    from quadfollow_core.client_key import ClientKey
    from quadfollow_core.errors import BadInput
    from quadfollow_sim.plans import require_address
    from quadfollow_sim.recording.retention import Retention, parse_size
    from quadfollow_sim.recording.subscriber import record_publications
    from quadfollow_sim.recording.tape import Tape
    from quadfollow_sim.signals import stopping

    require_address(address, "--from", 5556)
    if seconds is not None and not seconds > 0:
        raise BadInput(f"--seconds must be above zero, got {seconds}")
    retention = Retention(keep_days, None if max_size is None else parse_size(max_size))
    key = ClientKey.from_environment()
    with stopping() as stop, Tape(out, retention, origin=address) as tape:
        click.echo(f"recording {address} to {tape.files[0]}; people are in these pictures. Ctrl-C ends it", err=True)

        def tell(text: str) -> None:
            click.echo(text, err=True)

        heard = record_publications(address, tape, stream=stream, key=key, seconds=seconds, stop=stop, tell=tell)
    return {
        "files": [str(path) for path in tape.files],
        "deleted": [str(path) for path in tape.deleted],
        "pictures": heard.pictures,
        "streams": sorted(heard.streams),
        "malformed": heard.malformed,
    }


def _repair(broken: Path, out: Path) -> dict[str, Any]:
    from quadfollow_core.errors import BadInput
    from quadfollow_sim.recording.reader import repair

    if out.exists():
        raise BadInput(f"{out} is there already: give the mended recording another name")
    messages, damage = repair(broken, out)
    left_out = {"damaged_records": damage.records, "left_out": damage.messages}
    return {"messages": messages, **left_out, "file": str(out), "bytes": out.stat().st_size}


def _shown(value: Any) -> str:
    from quadfollow_sim.recording.subscriber import UNNAMED

    return ", ".join(one or UNNAMED for one in value) or "none" if isinstance(value, list) else str(value)


@click.command()
@click.argument("file", type=FILE)
@click.option("--save", type=FILE, help="Write NAME.rrd instead of opening the viewer.")
def rerun(file: Path, save: Path | None) -> None:
    """Open a recording FILE.mcap in Rerun, or convert it; also one whose recorder was killed."""
    from quadfollow_sim.recording.extra import require_mcap
    from quadfollow_sim.recording.viewer import convert, show

    require_mcap()
    if save is None:
        return show(file)
    convert(file, save)
    click.echo(f"{save}  {save.stat().st_size} bytes")
    return None
