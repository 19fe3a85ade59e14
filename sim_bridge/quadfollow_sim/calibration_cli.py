"""The command ``calibrate``."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("pictures", type=click.Path(path_type=Path))
@click.option("--board", default="9x6", show_default=True, help="Inner corners of the chessboard.")
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="JSON to write.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a line.")
def calibrate(pictures: Path, board: str, out: Path, as_json: bool) -> None:
    """Find a camera's lens from PICTURES, a folder or a video that shows a flat chessboard from many sides."""
    from quadfollow_core.files import write_whole
    from quadfollow_sim.calibration import calibrate as find_lens
    from quadfollow_sim.calibration import parse_board, read_views

    told = find_lens(read_views(pictures), parse_board(board)).as_dict()
    write_whole(out, json.dumps(told, indent=1) + "\n")
    click.echo(json.dumps(told) if as_json else f"{out}: {told['views']} views, off by {told['error_px']} px")
