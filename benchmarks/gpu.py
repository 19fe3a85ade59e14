"""What a GPU brings, through the real server: ``python benchmarks/gpu.py --device cuda [--quick] [MODEL]…``.

For every model: time of one frame per variant (plain, bound, graph, fp16), the answers beside the CPU's, and proof
that the device is in use. Then ``quadfollow serve`` is started for real: one client over ZeroMQ and over HTTP, 1, 4
and 16 clients in closed loops, 1 to 64 streams of 20 frames a second. Last, CUDA's libraries are hidden one by one.
It runs with ``--device cpu`` too. The JSON is written after each step, so that an end too early loses little.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import httpx
from measuring.gpu_checks import (
    compare,
    hide_libraries,
    open_variants,
    operators_per_provider,
    time_other_options,
    time_variants,
)
from measuring.gpu_load import Clients
from measuring.machine import describe
from measuring.results import end_in_order, number

from quadfollow_core.codec import decode_image, encode_jpeg
from quadfollow_core.files import write_whole
from quadfollow_core.resize import fit_frame
from quadfollow_core.shipped import find_model
from quadfollow_export.scenes import render_scenes
from quadfollow_server.accelerator import look
from quadfollow_server.engine import load_model
from quadfollow_server.model_file import read_contract
from quadfollow_sim.drawn import DrawnSource
from quadfollow_sim.server_process import ServerProcess

STREAMS = (1, 4, 8, 16, 32, 64)
SYNTHETIC = 16
STARTED = time.monotonic()


class Report:
    """All that was found, on disk after each step."""

    def __init__(self, out: Path | None) -> None:
        self.found: dict[str, Any] = {}
        self._out = out

    def add(self, key: str, step: Callable[[], Any]) -> Any:
        """Take a step; what goes wrong in it is part of the report."""
        click.echo(f"{time.monotonic() - STARTED:6.1f} s  {key}", err=True)
        try:
            value = step()
        except Exception as error:  # noqa: BLE001  the other steps go on
            value = {"error": f"{type(error).__name__}: {error}"}
            click.echo(f"          {value['error'][:300]}", err=True)
        self.found[key] = value
        self.found["seconds"] = round(time.monotonic() - STARTED, 1)
        if self._out is not None:
            write_whole(self._out, json.dumps(self.found, indent=1) + "\n")
        return value


def machine(device: str) -> dict[str, Any]:
    """What the figures were measured on."""
    accelerator = {one.name: one.found for one in look(device)} if device in ("cuda", "tensorrt") else {}
    return describe() | {"accelerator": accelerator}


def drawn_jpegs(count: int) -> list[bytes]:
    """Frames of the demo's drawn street, as JPEG."""
    source = DrawnSource()
    frames = [source.read(10 + 5 * index) for index in range(count)]
    return [one.image for one in frames if one is not None and isinstance(one.image, bytes)]


def check_model(path: Path, device: str, jpegs: list[bytes], seconds: float, threads: int) -> dict[str, Any]:
    """Times, answers and providers of one model, without a server."""
    size = read_contract(path).size
    synthetic = list(render_scenes(SYNTHETIC, size))
    kinds = {
        "synthetic": synthetic,
        "synthetic as JPEG": [decode_image(encode_jpeg(frame)) for frame in synthetic],
        "drawn street as JPEG": [fit_frame(decode_image(jpeg), size)[0] for jpeg in jpegs],
    }
    began = time.monotonic()
    opened, refused = open_variants(path, device, threads)
    loading = round(time.monotonic() - began, 2)
    reference = load_model(path, "cpu", threads, "plain")
    alone = {"cpu plain": reference} if device != "cpu" else {}
    return {
        "loading_all_s": loading,
        "variants": time_variants(opened | alone, kinds["drawn street as JPEG"], seconds),
        "not_there": refused,
        "parity_with_cpu": {
            name: {kind: compare(reference, segmenter, frames) for kind, frames in kinds.items()}
            for name, segmenter in opened.items()
        },
        "providers": {name: segmenter.device.provider for name, segmenter in opened.items()},
    }


def other_options(path: Path, jpegs: list[bytes], seconds: float) -> dict[str, Any]:
    """Times of one model under options that the server does not use."""
    frames = [fit_frame(decode_image(jpeg), read_contract(path).size)[0] for jpeg in jpegs]
    return time_other_options(path, frames, seconds)


def serve_and_load(
    path: Path, device: str, options: list[str], clients: Clients, seconds: float, *, whole: bool
) -> dict[str, Any]:
    """Start the real server and load it; a part of it all where not ``whole``."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "serve.log"
        began = time.monotonic()
        with ServerProcess(log, model=str(path), device=device, options=options) as server:
            found: dict[str, Any] = {"options": options, "ready_after_s": round(time.monotonic() - began, 2)}
            found["readyz"] = httpx.get(f"{server.url}/readyz").json()
            found["device"] = httpx.get(f"{server.url}/info").json()["models"][0]["device"]
            found["one_client"] = {
                "zeromq": clients.zeromq(server.address, 1, seconds),
                "http": clients.http(server.url, 1, seconds),
            }
            several = (4, 16) if whole else (16,)
            found["saturated"] = {
                "zeromq": [clients.zeromq(server.address, count, seconds) for count in several],
                "http": [clients.http(server.url, count, seconds) for count in several],
            }
            streams = STREAMS if whole else (16, 64)
            found["streams_at_20_hz"] = [clients.streams(server.address, count, seconds) for count in streams]
        return found


def tell(found: dict[str, Any]) -> None:
    """Print the figures as short tables."""
    for key, value in found.items():
        if isinstance(value, dict) and "error" in value:
            click.echo(f"{key}: {value['error']}")
        elif key.startswith("operators "):
            click.echo(f"{key}: { ({provider: sum(counted.values()) for provider, counted in value.items()}) }")
        elif key.startswith("model "):
            _tell_model(key, value)
        elif key == "other options":
            _tell_options(value)
        elif key.startswith("server "):
            _tell_server(key, value)
    for one in found.get("hidden", ()) if isinstance(found.get("hidden"), list) else ():
        said = {name: f"exit {one[name]['exit']}, names it: {one[name]['names']}" for name in ("doctor", "serve")}
        click.echo(f"hidden {one['hidden']}: doctor {said['doctor']}; serve {said['serve']}")


def _tell_model(key: str, value: dict[str, Any]) -> None:
    click.echo(f"{key}: {value['loading_all_s']} s to load all variants")
    for name, times in value["variants"].items():
        parity = value["parity_with_cpu"].get(name, {})
        levels = max((one["levels_of_target_probability"] for one in parity.values()), default=0)
        classes = max((one["share_of_other_classes"] for one in parity.values()), default=0.0)
        off = f"at most {levels} of 255 off, {classes:.2g} of the classes differ" if parity else ""
        click.echo(f"  {name:12} {times['p50_ms']:8.3f} / {times['p99_ms']:8.3f} ms   {off}")
    for name, reason in value["not_there"].items():
        click.echo(f"  {name:12} not there: {reason[:150]}")


def _tell_options(value: dict[str, Any]) -> None:
    for name, found in value.items():
        times = f"{found['p50_ms']:8.3f} / {found['p99_ms']:8.3f} ms" if "p50_ms" in found else found["not there"][:150]
        click.echo(f"  {name:24} {times}")


def _tell_server(key: str, value: dict[str, Any]) -> None:
    used = value["device"]
    click.echo(f"{key}: {used['provider']}, {used['variant']}; ready after {value['ready_after_s']} s")
    for door in ("zeromq", "http"):
        for one in (value["one_client"][door], *value["saturated"][door]):
            times = f"{number(one['p50_ms'], 2):>8} / {number(one['p99_ms'], 2):>8} ms"
            click.echo(f"  {door:7} {one['clients']:3} clients {one['answered_per_s']:8.1f} frames/s {times}")
    for one in value["streams_at_20_hz"]:
        ages = f"age p50 {number(one['p50_ms'], 2):>7}, p95 {number(one['p95_ms'], 2):>7} ms"
        rate = f"{one['answered_per_s']:8.1f} of {one['offered_per_s']:.0f} frames/s"
        click.echo(f"  {one['clients']:3} streams x 20 Hz: {rate}, {ages}, {one['outcomes']}")


@click.command()
@click.argument("models", nargs=-1)
@click.option("--device", type=click.Choice(["cpu", "cuda", "tensorrt"]), default="cuda", show_default=True)
@click.option("--workers", default=4, show_default=True, help="Frames that the server works on at the same time.")
@click.option("--threads", default=0, show_default=True, help="Threads of one inference on the processor.")
@click.option("--quick", is_flag=True, help="All of it in 90 s.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Where the JSON goes.")
def main(models: tuple[str, ...], device: str, workers: int, threads: int, quick: bool, out: Path | None) -> None:
    """Measure models (paths, or names of shipped ones; the default if none is given) on a device."""
    end_in_order()
    seconds = 1.5 if quick else 5.0
    jpegs, report = drawn_jpegs(16), Report(out)
    report.add("machine", lambda: machine(device))
    paths = [find_model(name) for name in models or (None,)]
    for path in paths:
        frame = render_scenes(1, read_contract(path).size)[0]
        report.add(f"operators {path.stem}", partial(operators_per_provider, path, device, frame))
        report.add(f"model {path.stem}", partial(check_model, path, device, jpegs, seconds / 2, threads))
    if device == "cuda":
        report.add("other options", lambda: other_options(paths[0], jpegs, seconds / 3))
    with Clients(jpegs) as clients:
        for path in paths:
            for at_once in dict.fromkeys((workers, 1)):
                options = ["--workers", str(at_once), "--threads", str(threads)]
                whole = not quick or (path == paths[0] and at_once == workers)
                if quick and path != paths[0] and at_once == 1:
                    continue
                report.add(
                    f"server {path.stem}, {at_once} workers",
                    partial(serve_and_load, path, device, options, clients, seconds, whole=whole),
                )
    if device == "cuda":
        report.add("hidden", lambda: hide_libraries(device, 3 if quick else 7))
    tell(report.found)
    if any(isinstance(one, dict) and "error" in one for one in report.found.values()):
        raise click.ClickException("some steps failed: see above")


if __name__ == "__main__":
    main()
