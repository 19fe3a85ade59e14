"""What serving needs of this machine, looked at in turn, with the remedy for whatever is missing."""

from __future__ import annotations

import errno
import os
import platform
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import Any

import numpy as np

from quadfollow_core.errors import QuadfollowError, Unavailable
from quadfollow_core.shipped import find_model
from quadfollow_server.accelerator import Finding
from quadfollow_server.binding import listen, resolve
from quadfollow_server.cores import bound_cores, inference_threads, share
from quadfollow_server.device import look
from quadfollow_server.engine import load_model
from quadfollow_server.runners import timed
from quadfollow_server.settings import Settings, option

RUNTIMES = ("onnxruntime", "onnxruntime-gpu")
EXTRAS = {
    "openvino": "openvino",
    "train": "keras",
    "export": "tf2onnx",
    "tune": "optuna",
    "sim": "mujoco-core",
    "mavlink": "pymavlink",
    "record": "mcap",
    "rerun": "rerun-sdk",
    "otel": "opentelemetry-exporter-otlp-proto-http",
    "scale": "ray",
}
"""The distribution by which each extra is known; of ``cuda`` the accelerator's own findings tell."""
TRIES = 20
"""Runs of the model that its time is the median of."""


def examine(device: str = "auto", model: str | None = None, doors: Settings | None = None) -> list[Finding]:
    """Look at this machine for a server on a device.

    Args:
        device: as for ``serve``. With ``auto`` what a GPU lacks is told, and is nothing to mend.
        model: path or name of a shipped model; the shipped default where None.
        doors: where it is to listen; where ``serve`` does unless told otherwise, if None.
    """
    findings = [
        Finding("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        _look_at_runtimes(),
        _look_at_cores(),
    ]
    if device == "auto":
        findings += [replace(finding, needed=False) for each in ("cuda", "openvino") for finding in look(each)]
    else:
        findings += look(device)
    findings.append(_look_at_model(device, model))
    findings += _look_at_ports(doors or Settings())
    installed = [extra for extra, package in EXTRAS.items() if _installed(package)]
    return [*findings, Finding("extras", ", ".join(installed) or "none: this installation serves")]


def report(findings: list[Finding]) -> dict[str, Any]:
    """Plain values, ready for JSON."""
    return {
        "well": all(finding.well for finding in findings),
        "findings": [
            {"name": finding.name, "well": finding.well, "found": finding.found, "remedy": finding.remedy}
            for finding in findings
        ],
    }


def text(findings: list[Finding]) -> str:
    """A line per finding (``none``: not there, nor needed), and below it the remedy of what has to be mended."""
    lines = []
    for finding in findings:
        mark = "MEND" if not finding.well else "ok  " if finding.remedy is None else "none"
        lines.append(f"{mark}  {finding.name}: {finding.found}")
        if not finding.well:
            lines.append(f"      -> {finding.remedy}")
    return "\n".join(lines)


def _look_at_runtimes() -> Finding:
    there = {name: found for name in RUNTIMES if (found := _installed(name))}
    folders = [found.locate_file("onnxruntime") for found in there.values()]
    if len(set(folders)) < len(folders):
        remedy = "pip uninstall -y onnxruntime onnxruntime-gpu, then install the one you want again"
        return Finding("runtime", f"{' and '.join(there)} overwrite each other's files", remedy)
    said = ", ".join(f"{name} {found.version}" for name, found in there.items())
    return Finding("runtime", said or "built from source")


def _installed(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def _look_at_cores() -> Finding:
    part = share()
    limited = "" if part is None else f", of which this container gets the time of {part:g}"
    return Finding(
        "processor",
        f"{bound_cores()} cores{limited}: "
        f"one inference takes {inference_threads()} threads unless --threads says otherwise",
    )


def _look_at_model(device: str, model: str | None) -> Finding:
    try:
        segmenter = load_model(find_model(model), device)
        contract = segmenter.contract
        image = np.zeros((contract.height, contract.width, 3), dtype=np.uint8)
        times = [timed(segmenter.segment, image) for _ in range(TRIES)]
    except QuadfollowError as error:
        return Finding("model", f"{model or 'the shipped default'} does not run", str(error))
    where = segmenter.device.provider
    return Finding("model", f"{contract.name} runs on {where} in {np.median(times):.1f} ms (median of {TRIES})")


def _look_at_ports(doors: Settings) -> Iterator[Finding]:
    try:
        address = resolve(doors.host)
    except Unavailable as error:
        yield Finding("host", str(error), "name an address of this machine")
        return
    for setting in ("port", "zmq_port", "pub_port"):
        number = getattr(doors, setting)
        name = f"port {number}"
        try:
            listen(address, number).close()
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                yield Finding("host", f"{address} is no address of this machine", "name one that is: --host")
                return
            remedy = f"end what listens there (a server that runs already?), or choose another {option(setting)}"
            yield Finding(name, f"cannot be taken: {os.strerror(error.errno or 0)}", remedy)
        else:
            yield Finding(name, "free")
