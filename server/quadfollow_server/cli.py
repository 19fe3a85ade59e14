"""The commands ``serve``, ``info`` and ``doctor``."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import fields
from http import HTTPStatus
from typing import Any

import click
from click.core import ParameterSource

from quadfollow_core.cli import unknown_variables
from quadfollow_core.codec import MAX_PIXELS
from quadfollow_core.trackers import TRACKERS
from quadfollow_server import variants
from quadfollow_server.access import Access
from quadfollow_server.logs import FORMATS, set_up
from quadfollow_server.settings import DEVICES, TRACES, Settings, in_bytes

log = logging.getLogger(__name__)

FILE = click.Path(exists=True, dir_okay=False)


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
    "--variant",
    type=click.Choice(variants.NAMES),
    default=variants.AUTO,
    show_default=True,
    help="How inference runs on that device; auto takes the fastest here.",
)
@click.option("--workers", default=0, show_default=True, help="Frames worked on at the same time; 0 for one or two.")
@click.option(
    "--tracker",
    type=click.Choice(list(TRACKERS)),
    default="kalman",
    show_default=True,
    help="How a stream's target is followed; centroid is the baseline.",
)
@click.option("--threads", default=0, show_default=True, help="Threads of inference; 0 for all physical cores.")
@click.option("--max-body-mb", default=16.0, show_default=True, help="Largest request in MiB.")
@click.option("--max-pixels", default=MAX_PIXELS, show_default=True, help="Largest frame in pixels.")
@click.option("--max-waiting", default=256, show_default=True, help="Frames waiting for inference at most.")
@click.option(
    "--max-waiting-mb", default=256.0, show_default=True, help="MiB that requests received but not begun may hold."
)
@click.option("--max-connections", default=512, show_default=True, help="HTTP connections at once at most.")
@click.option("--queue-seconds", default=30.0, show_default=True, help="Longest time that a frame waits.")
@click.option("--max-viewers", default=32, show_default=True, help="Viewers of the live view at most; 0 for none.")
@click.option("--watch", is_flag=True, help="Load a model anew when its file changes; SIGHUP does so at any time.")
@click.option(
    "--hang-seconds", default=5.0, show_default=True, help="Longest time without a sign of life before a restart."
)
@click.option(
    "--supervisor/--no-supervisor",
    default=True,
    show_default=True,
    help="Run the server in a process of its own and replace it when it dies or hangs.",
)
@click.option("--heartbeat", type=int, hidden=True, help="Descriptor of the pipe to the supervisor.")
@click.option(
    "--keys",
    type=click.Path(file_okay=False),
    help="Folder of keys that clients must show, made by `quadfollow keys`.",
)
@click.option("--insecure-public", is_flag=True, help="Listen to other machines without asking for keys.")
@click.option("--tls-cert", type=FILE, help="PEM file of the certificate: HTTPS instead of HTTP.")
@click.option("--tls-key", type=FILE, help="PEM file of its private key.")
@click.option("--allow-origin", "allow_origins", multiple=True, help="Web origin that may call this; repeatable.")
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
@click.option(
    "--log-format",
    type=click.Choice(FORMATS),
    default="text",
    show_default=True,
    help="Lines for people, or one JSON object per line; at level debug they tell of every frame.",
)
@click.option(
    "--traces",
    type=click.Choice(TRACES),
    default="off",
    show_default=True,
    help="OpenTelemetry's spans of every frame: to OTEL_EXPORTER_OTLP_ENDPOINT, or to stderr.",
)
def serve(log_level: str, log_format: str, supervisor: bool, heartbeat: int | None, **options: Any) -> int:
    """Serve a model over HTTP and ZeroMQ until SIGTERM or Ctrl-C."""
    set_up(log_level, log_format)
    if heartbeat is None and (unknown := unknown_variables()):  # a supervised server's supervisor has said so
        log.warning("no option of `quadfollow serve` goes by %s: see --help", ", ".join(unknown))
    access = Access(**{field.name: options.pop(field.name) for field in fields(Access)})
    for what in ("max_body", "max_waiting"):
        options[f"{what}_bytes"] = in_bytes(f"{what}_mb", options.pop(f"{what}_mb"))
    settings = Settings(access=access, **options)
    if supervisor and sys.platform != "win32":
        from quadfollow_server.supervisor import Supervisor

        return Supervisor(unsupervised(click.get_current_context()), settings.hang_seconds).run()
    from quadfollow_server.serve import serve as run

    run(settings, heartbeat)
    return 0


def unsupervised(context: click.Context) -> list[str]:
    """Say a command that is being run once more, without its supervisor; the environment goes with it anyway."""
    words = []
    for option in context.command.params:
        if context.get_parameter_source(option.name or "") is not ParameterSource.COMMANDLINE:
            continue
        value = context.params[option.name or ""]
        if isinstance(option, click.Option) and option.is_flag:
            words += [option.opts[0]] if value else option.secondary_opts[:1]
        else:
            words += [f"{option.opts[0]}={one}" for one in (value if option.multiple else (value,))]
    # -P: what lies in the current folder is no module of ours.
    program = "from quadfollow_core.cli import main; main()"
    return [sys.executable, "-P", "-c", program, "serve", *words, "--no-supervisor"]


@click.command()
@click.option("--url", help="Ask a running server, such as http://127.0.0.1:8000, instead of this installation.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def info(url: str | None, as_json: bool) -> None:
    """Tell what is installed here, or what a running server is."""
    found = _ask(url) if url else _installed()
    click.echo(json.dumps(found) if as_json else _text(found))


@click.command()
@click.option(
    "--device", type=click.Choice(DEVICES), default="auto", show_default=True, help="Where you want to serve."
)
@click.option("--model", help="Path of an ONNX file, or a shipped model's name. Default: the shipped default.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address you want to listen on.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(device: str, model: str | None, host: str, as_json: bool) -> int:
    """Look at all that serving needs of this machine; name what is missing, with its remedy."""
    from quadfollow_core.errors import Unavailable
    from quadfollow_server.doctor import examine, report, text

    findings = examine(device, model, Settings(host=host))
    told = report(findings)
    click.echo(json.dumps(told) if as_json else text(findings))
    return 0 if told["well"] else Unavailable.exit_code


def _ask(url: str) -> dict[str, Any]:
    from quadfollow_core.client_key import VARIABLE, ClientKey
    from quadfollow_core.errors import BadInput
    from quadfollow_core.http_client import HttpClient, RequestRefused

    key = ClientKey.from_environment()
    with HttpClient(url, key=key) as client:
        try:
            return client.info()
        except RequestRefused as error:
            if error.status != HTTPStatus.UNAUTHORIZED:
                raise
            fault = "asks for a key" if key is None else "does not know the key"
            raise BadInput(f"{url} {fault}: {VARIABLE} names a key file, made by `quadfollow keys new`") from error


def _installed() -> dict[str, Any]:
    from dataclasses import asdict

    import onnxruntime

    from quadfollow_core.shipped import DEFAULT_MODEL, shipped_models
    from quadfollow_server.device import usable_devices
    from quadfollow_server.model_file import read_contract
    from quadfollow_server.service import VERSION

    return {
        "name": "quadfollow",
        "version": VERSION,
        "onnxruntime": onnxruntime.__version__,
        "devices": usable_devices(),
        "models": [
            {"name": path.stem, "default": path.stem == DEFAULT_MODEL, "contract": asdict(read_contract(path))}
            for path in shipped_models()
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
