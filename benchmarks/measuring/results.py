"""A benchmark's results: one JSON file each, with the machine and the options that gave them."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from measuring.machine import describe, others_load, watching
from measuring.summaries import has_tail
from quadfollow_core.files import write_whole

ROOT = Path(__file__).resolve().parents[2]
OUT = Path("out/bench")
"""Where results go unless told otherwise."""
KEPT = ROOT / "benchmarks" / "results"
"""The results that the documentation's page is made of."""

out_option = click.option(
    "--out", default=OUT, show_default=True, type=click.Path(path_type=Path), help="Folder of the results."
)


def run(name: str, out: Path, options: Mapping[str, Any], measure: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """Measure, with looks before, meanwhile and after at how busy the machine is with other things, and save it.

    Machine and commit are noted beforehand: sources that change meanwhile are not what was measured.
    """
    end_in_order()
    machine, before = describe(), others_load()
    with watching() as meanwhile:
        figures = measure()
    result = {
        "benchmark": name,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine,
        "others_load": [before, others_load()],
        "meanwhile": meanwhile,
        "options": dict(options),
        "figures": figures,
    }
    path = out / f"{name}.json"
    write_whole(path, json.dumps(result, indent=1) + "\n")
    click.echo(f"wrote {path}", err=True)
    return result


def end_in_order() -> None:
    """From now on let SIGTERM end every block, as Ctrl-C does, and with them the servers."""
    signal.signal(signal.SIGTERM, _end)


def _end(*_: object) -> None:
    """End; a second signal, as `timeout` sends one, does not cut that short."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(143)


def load(name: str, folder: Path = KEPT) -> dict[str, Any] | None:
    """Read a result; None where that benchmark was not run."""
    path = folder / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def table(head: list[str], rows: list[list[str]]) -> str:
    """Lay out a table in Markdown."""
    lines = [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines) + "\n"


def number(value: float | None, digits: int = 1) -> str:
    """A number, or a dash where there is none."""
    return "–" if value is None else f"{value:,.{digits}f}"


def tail(found: Mapping[str, Any], digits: int = 1) -> str:
    """The 99th percentile, or a dash where it is of too few values."""
    return number(found["p99"] if has_tail(found) else None, digits)


def ranged(value: Mapping[str, float] | None, digits: int = 2) -> str:
    """A median with its lowest and highest round."""
    if value is None:
        return "–"
    return f"{value['median']:.{digits}f} [{value['low']:.{digits}f}, {value['high']:.{digits}f}]"
