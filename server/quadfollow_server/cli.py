"""The commands ``serve`` and ``info``."""

from __future__ import annotations

import json
import logging
from typing import Any

import click

from quadfollow_core.codec import MAX_PIXELS
from quadfollow_core.trackers import TRACKERS
from quadfollow_server.settings import DEVICES, Settings


@click.command()
@click.option(
    "--model",
    "models",
    multiple=True,
    help="Path of an ONNX file, or a shipped model's name; repeatable, the first is the default.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for all.")
@click.option("--port", default=8000, show_default=True, help="HTTP port; 0 for any free one.")
@click.option("--zmq-port", default=5555, show_default=True, help="ZeroMQ port for frames; 0 for any free one.")
@click.option("--pub-port", default=5556, show_default=True, help="ZeroMQ port results are published on; 0 for any.")
@click.option(
    "--device",
    type=click.Choice(DEVICES),
    default="auto",
    show_default=True,
    help="Where inference runs; anything but auto fails rather than fall back.",
)
@click.option(
    "--tracker",
    type=click.Choice(list(TRACKERS)),
    default="kalman",
    show_default=True,
    help="How a stream's target is followed; centroid is the baseline.",
)
@click.option("--threads", default=0, show_default=True, help="Threads of one inference; 0 for all physical cores.")
@click.option("--max-body-mb", default=16.0, show_default=True, help="Largest request in MiB.")
@click.option("--max-pixels", default=MAX_PIXELS, show_default=True, help="Largest frame in pixels.")
@click.option("--max-waiting", default=256, show_default=True, help="Frames waiting for inference at most.")
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
def serve(max_body_mb: float, log_level: str, **options: Any) -> None:
    """Serve a model over HTTP and ZeroMQ until SIGTERM or Ctrl-C."""
    from quadfollow_server.serve import serve as run

    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    run(Settings(max_body_bytes=round(max_body_mb * 1024 * 1024), **options))


@click.command()
@click.option("--url", help="Ask a running server, such as http://127.0.0.1:8000, instead of this installation.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def info(url: str | None, as_json: bool) -> None:
    """Tell what is installed here, or what a running server is."""
    found = _ask(url) if url else _installed()
    click.echo(json.dumps(found) if as_json else _text(found))


def _ask(url: str) -> dict[str, Any]:
    from quadfollow_core.http_client import HttpClient

    with HttpClient(url) as client:
        return client.info()


def _installed() -> dict[str, Any]:
    from dataclasses import asdict

    import onnxruntime

    from quadfollow_core.shipped import DEFAULT_MODEL, models_folder
    from quadfollow_server.device import usable_devices
    from quadfollow_server.engine import read_contract
    from quadfollow_server.service import VERSION

    paths = sorted(models_folder().glob("*.onnx"))
    return {
        "name": "quadfollow",
        "version": VERSION,
        "onnxruntime": onnxruntime.__version__,
        "devices": usable_devices(),
        "models": [
            {"name": path.stem, "default": path.stem == DEFAULT_MODEL, "contract": asdict(read_contract(path))}
            for path in paths
        ],
    }


def _text(found: dict[str, Any]) -> str:
    lines = [f"{found['name']} {found['version']}"]
    for model in found["models"]:
        contract, device = model["contract"], model.get("device")
        lines.append(
            f"model {model['name']}{' (default)' if model['default'] else ''}: {contract['width']}x{contract['height']}"
            + (f", on {device['provider']} ({device['reason']})" if device else "")
        )
    for name in ("onnxruntime", "ready", "devices", "limits", "ports"):
        if name in found:
            lines.append(f"{name}: {_plain(found[name])}")
    return "\n".join(lines)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return "".join(f"\n  {key}: {item}" for key, item in value.items())
    return str(value)
