"""The command ``bench``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from quadfollow_core.cli import refuse
from quadfollow_server.settings import DEVICES


@click.command()
@click.option("--model", help="Path of an ONNX file, or a shipped model's name. Default: the shipped default.")
@click.option("--tune", is_flag=True, help="Try every device, variant and number of threads there is.")
@click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True, help="Only this device.")
@click.option("--threads", default=0, show_default=True, help="Without --tune: threads of one inference.")
@click.option("--seconds", default=2.0, show_default=True, help="Time for each setting.")
@click.option(
    "--save", type=click.Path(dir_okay=False, path_type=Path), help="Write the best setting there, as environment."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def bench(
    model: str | None, tune: bool, device: str, threads: int, seconds: float, save: Path | None, as_json: bool
) -> None:
    """Measure how long a model takes for one frame on this machine; with --tune, find the best way to serve it."""
    from quadfollow_core.errors import Unavailable
    from quadfollow_core.files import write_whole
    from quadfollow_core.shipped import find_model
    from quadfollow_server import tuning
    from quadfollow_server.engine import load_model

    path = find_model(model)
    if tune:
        refuse(("threads",), "with --tune, which tries every number")
        tried = tuning.all_settings() if device == "auto" else tuning.all_settings((device,))
        opened, refused = tuning.open_settings(path, tried, lambda one: _tell(f"trying {' '.join(one.words)}"))
        if not opened:
            raise Unavailable(f"{path.name} runs in none of the settings: {next(iter(refused.values()))}")
        _tell(f"measuring {len(opened)} of them, {seconds:g} s each")
    else:
        segmenter = load_model(path, device, threads)
        used = tuning.Setting(segmenter.device.name, segmenter.device.variant, threads)
        opened, refused = {used: segmenter}, {}
    found = tuning.measure(opened, seconds)
    best = tuning.best(found).setting
    if save is not None:
        write_whole(save, "".join(f"{name}={value}\n" for name, value in best.environment.items()))
    if as_json:
        told = {"model": path.stem, "settings": [one.as_dict() for one in found], "best": best.words}
        reasons = [{"setting": one.words, "reason": reason} for one, reason in refused.items()]
        click.echo(json.dumps(told | {"not_tried": reasons}))
        return
    click.echo(
        f"{path.stem}, milliseconds for one frame\n{'device':10}{'variant':12}{'threads':>8}{'p50':>10}{'p99':>10}"
    )
    for one in found:
        setting = one.setting
        count = setting.threads or "-"
        click.echo(f"{setting.device:10}{setting.variant:12}{count:>8}{one.p50_ms:>10.2f}{one.p99_ms:>10.2f}")
    for reason in dict.fromkeys(refused.values()):
        click.echo(f"left out: {reason}")
    click.echo(f"best: quadfollow serve {' '.join(best.words)}")
    if save is not None:
        click.echo(f"wrote {save}")


def _tell(progress: str) -> None:
    click.echo(progress, err=True)
