"""The console command ``quadfollow data render``."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import click

from quadfollow_sim.city.outfits import TARGETS
from quadfollow_sim.city.presets import PRESETS


@click.command()
@click.option(
    "--preset",
    "presets",
    type=click.Choice(list(PRESETS)),
    multiple=True,
    default=("street",),
    show_default=True,
    help="What kind of city; may be given several times.",
)
@click.option(
    "--outfit", type=click.Choice(list(TARGETS)), default="red", show_default=True, help="What the target wears."
)
@click.option("--count", type=click.IntRange(min=1), default=1000, show_default=True, help="Number of frames.")
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="The set's folder.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="The same seed, the same set.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes; as many as there are cores by default.")
@click.option("--ray", metavar="ADDRESS", help="Render on this Ray cluster, HOST:6379 or auto; it shares --out.")
@click.option(
    "--label-range", type=float, default=50.0, show_default=True, help="Metres beyond which people are not labelled."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object to stdout.")
def render(
    presets: tuple[str, ...],
    outfit: str,
    count: int,
    out: Path,
    seed: int,
    workers: int | None,
    ray: str | None,
    label_range: float,
    as_json: bool,
) -> None:
    """Render a labelled set from the embedded city in QuadSim's layout; run again to go on where it stopped."""
    from quadfollow_sim.city.dataset import Recipe, cluster_pool, local_pool, render_dataset

    if ray is not None and workers is not None:
        raise click.UsageError("--workers are this machine's processes: with --ray the cluster has them")
    recipe = Recipe(presets, count, seed, label_range, outfit=outfit)
    start = time.monotonic()
    with click.progressbar(length=count, label="rendering", file=sys.stderr) as bar:

        def show(done: int, _: int) -> None:
            bar.update(done - bar.pos)

        with cluster_pool(ray) if ray else local_pool(workers) as pool:
            rendered = render_dataset(recipe, out, pool, show)
    seconds = time.monotonic() - start
    result = {"folder": str(out), "frames": count, "rendered": rendered, "seconds": round(seconds, 1)}
    result["frames_per_second"] = round(rendered / seconds, 1)
    click.echo(json.dumps(result) if as_json else "\n".join(f"{key:>18}: {value}" for key, value in result.items()))
