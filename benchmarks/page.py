"""The documentation's pages of benchmarks and of the profile, made of the results that are kept.

``python benchmarks/page.py [--results FOLDER] [--docs FOLDER]``: tables and charts of whatever results are there. The
same results give the same pages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import breakdown
import city
import click
import flight
import floor
import latency
import precisions
import rewrites
import scale
import serve
import stages
import stream
import tried
from measuring import charts, results
from measuring.machine import RUNTIMES

from quadfollow_core.files import write_whole

Result = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the page."""

    result: str
    """Name of the result's file, without its ending."""
    title: str
    command: str
    told: str
    """What is measured, and how to read it."""
    table: Callable[[Result], str]
    draw: Callable[[Result, Path], None] | None = None


def draw_serve(result: Result, path: Path) -> None:
    """Draw the answers per second at the most clients that were tried; lower is better without a network."""
    found = result["figures"]["clients"][-1]
    masks = {name: way for name, way in found["ways"].items() if ", target" not in name}
    if result["options"]["graph"] == "null":
        first = result["figures"]["clients"][0]["ways"]
        charts.bars(path, {name: first[name]["ms"]["p50"] for name in masks}, "One client, no network", "ms at p50")
        return
    values = {name: way["per_second"]["median"] for name, way in masks.items()}
    charts.bars(path, values, f"{found['clients']} clients", "answers per second")


def draw_stream(result: Result, path: Path) -> None:
    """Draw the age of answers over the number of cameras."""
    series: dict[str, list[tuple[float, float]]] = {}
    for key, way in result["figures"]["ways"].items():
        name, cameras, hz = key.split(" | ")
        if hz == "20":
            series.setdefault(name, []).append((float(cameras), way["age_ms"]["p95"]))
    charts.lines(path, series, "Cameras at 20 Hz", ("cameras", "age of answers at p95, ms"))


def draw_scale(result: Result, path: Path) -> None:
    """Draw the server's processor time per answer over the number of clients and streams."""
    series: dict[str, list[tuple[float, float]]] = {}
    for key, way in result["figures"]["ways"].items():
        name, count = key.split(" | ")
        if name != "frame":
            series.setdefault(name, []).append((float(count), way["server_cpu_ms"]["median"]))
    charts.lines(path, series, "Cost of an answer", ("clients", "server's processor time, ms"))


def told_serve(graph: str) -> str:
    """What a run against other servers measures."""
    return {
        "same": "All serve one and the same ONNX file by onnxruntime on the CPU.",
        "chosen": "All are given the same ONNX file: the others run it by onnxruntime on the CPU, ours in its variant "
        "that is fastest here.",
        "exported": "Ours serves the shipped model, the others the graph as tf2onnx exports it from the same network.",
        "null": "The network costs nothing (a fixed mask), so what is left is each server's own work.",
    }[graph]


def served(graph: str, title: str) -> Part:
    """The part of one run against other servers."""
    return Part(
        f"serve-{graph}", title, f"benchmarks/serve.py --graph {graph}", told_serve(graph), serve.table, draw_serve
    )


def filmed(model: str) -> Part:
    """The part of live video, of one model."""
    return Part(
        f"stream-{model}",
        f"Live video, {model}",
        f"benchmarks/stream.py --model {model}",
        "Cameras at a fixed rate that do not wait for the server. An age counts from the moment a frame was due to the "
        "moment its answer is read. All are given the same ONNX file: the others run it by onnxruntime on the CPU, "
        "ours in its variant that is fastest here. vidgear's camera sends decoded pixels, its receiver queues what "
        "comes too fast, and each answer comes with the next exchange, which adds one period to its age.",
        stream.table,
        draw_stream,
    )


PARTS = (
    Part(
        "floor",
        "The networks alone",
        "benchmarks/floor.py",
        "No server, no codec: what this machine can do at most.",
        floor.table,
    ),
    Part(
        "precisions",
        "What each way of running them scores",
        "benchmarks/precisions.py --data DIR",
        "The official score of what each device and variant answers on this machine, whose kernels round in their own "
        "way. A server that is left the choice takes the fastest, and a coarser one only where it is a tenth faster.",
        precisions.table,
    ),
    Part(
        "stages",
        "Stages of one frame",
        "benchmarks/stages.py",
        "Medians in ms of the server's own hot path, one frame after the other, without sockets.",
        stages.table,
    ),
    Part(
        "latency",
        "One client",
        "benchmarks/latency.py",
        "What a door adds to the session alone, and to a bare loop in its place; all take turns. A *bare loop* reads a "
        "frame, decodes it, runs the session and sends one place, on one thread and for one client: what it adds, any "
        "server on this machine adds.",
        latency.table,
    ),
    served("exported", "Beside other servers, each as it ships"),
    served("chosen", "Beside other servers, with the same ONNX file"),
    served("same", "Beside other servers, with the same ONNX file and engine"),
    served("null", "Beside other servers, without a network"),
    *(filmed(model) for model in ("follow-256", "follow-160")),
    Part(
        "scale",
        "As sizes, streams and clients grow",
        "benchmarks/scale.py",
        "Every client asks again once it is answered or refused; *errors* are what was refused or not answered.",
        scale.table,
        draw_scale,
    ),
    Part(
        "flight",
        "The whole loop",
        "benchmarks/flight.py",
        "Flights in the embedded city by the real clock, server and simulator on the same cores; one rate of pictures "
        "after the other.",
        flight.table,
    ),
    Part(
        "city",
        "The embedded city",
        "benchmarks/city.py",
        "Colours, depth and classes at 256×256, drawn without a GPU by one core; *and flight* counts the physics too.",
        city.table,
    ),
)

BREAKDOWN = Part(
    "breakdown",
    "One answer",
    "benchmarks/breakdown.py",
    "One client asks for one frame after the other. *Handed over* is the time between the inference thread and the "
    "event loop, there and back; *sockets and client* is all that the server does not see of the time its client "
    "waits. The doors take turns where brackets hold the rounds; otherwise one door follows the other, as it does for "
    "the samples. These tell which code holds Python's interpreter; inference and decoding let it go.",
    breakdown.table,
)
TRIED = Part(
    "tried",
    "What was tried",
    "benchmarks/tried.py",
    "The first way of each table is the one in use; a ratio above 1 says how many times as long another takes.",
    tried.table,
)
REWRITES = Part(
    "rewrites",
    "What the export's rewrites bring",
    "benchmarks/rewrites.py",
    "Each recipe's network as tf2onnx leaves it, and as it is served: batch normalisation folded or moved, uint8 in, "
    "class map and probability out ([the rewrites](how-it-works.md#the-network)). Exact, so the score stays.",
    rewrites.table,
)
PROFILE = """# Where the time goes

Made by `python benchmarks/page.py` from the results in `benchmarks/results`. Measured as the
[benchmarks](benchmarks.md) are: what is compared takes turns within one run, unless a part says otherwise; brackets,
where there are any, hold the lowest and the highest round.
"""
FLAMES = """The flame graphs show the same samples call by call; opened by themselves they can be searched and zoomed.

[![Flame graph, HTTP](img/breakdown-HTTP.svg)](img/breakdown-HTTP.svg)

[![Flame graph, ZeroMQ](img/breakdown-ZeroMQ.svg)](img/breakdown-ZeroMQ.svg)
"""

START = """# Benchmarks

Made by `python benchmarks/page.py` from the results in `benchmarks/results`; `make bench` measures anew. What is
compared takes turns within one run, unless a part says otherwise, so ratios and differences hold where absolute times
depend on the machine and on what else it does. Brackets hold the lowest and the highest round; p99 is given of 300
values or more. Where an absolute time matters to you, measure it on your own machine.

Beside other servers, all are asked by the same client, a process of its own whose processor time is measured: an
asyncio client over raw bytes for HTTP, plain DEALER sockets for ZeroMQ. Each is sent one 256×256 JPEG of 13.7 kB
(MLServer in base64 within JSON, Triton as decoded pixels) and answers the class mask as a PNG (MLServer again in
base64, Triton as raw bytes: it neither decodes nor compresses); our further rows say what they send and answer. The
others run in environments of their own, at the versions pinned in `benchmarks/peers`, written as their documentation
shows and with the same codecs as ours (libjpeg-turbo, OpenCV); before anything is timed, each one's mask is compared
with the session's own.
"""


MEANWHILE = {"others": "while it was measured", "stolen": "of it was withheld by the host meanwhile"}
BUSY = 0.2
"""Share of the machine that others may use without a word about it at the top of the pages."""
SHARED = """!!! warning "The machine was not quiet"
    While these results were measured, other programs used up to {most:.0f} % of it. Times, answers per second and
    their percentiles are then those of a crowded machine, far from what it can do, and say little; what holds are
    ratios in processor time (*their CPU / ours*, *processor time*). `make bench` on a quiet machine tells the rest.
"""


def quietness(found: Mapping[str, Result]) -> list[str]:
    """A warning, if others used the machine."""
    shares = [share for one in found.values() for share in (*one["others_load"], *one.get("meanwhile", {}).values())]
    most = max(shares, default=0.0)
    return [SHARED.format(most=100 * most)] if most > BUSY else []


def page(found: Mapping[str, Result], images: str) -> str:
    """Lay out the whole page; ``images`` is where its charts lie, as the page names it."""
    parts = [START, *quietness(found)]
    for part in PARTS:
        if (result := found.get(part.result)) is not None:
            parts.append(section(part, result, images))
    return "\n".join(parts)


def profile_page(found: Mapping[str, Result]) -> str:
    """Lay out the page of the profile."""
    parts = [PROFILE, *quietness(found)]
    if BREAKDOWN.result in found:
        parts += [section(BREAKDOWN, found[BREAKDOWN.result], "img"), FLAMES]
    parts += [section(part, found[part.result], "img") for part in (REWRITES, TRIED) if part.result in found]
    return "\n".join(parts)


def section(part: Part, result: Result, images: str) -> str:
    """Lay out one part."""
    model = result["options"].get("model")
    lines = [
        f"## {part.title}",
        "",
        part.told,
        *([f"Model: `{model}`{version_of(result)}."] if model and "null" not in part.result else []),
    ]
    lines += ["", f"`python {part.command}`. {circumstances(result)}", ""]
    if part.draw is not None:
        lines += [f"![{part.title}]({images}/bench-{part.result}.svg)", ""]
    lines.append(part.table(result))
    lines += [f"{name} is left out: {reason}\n" for name, reason in result["figures"].get("missing", {}).items()]
    if reached := result["figures"].get("clients", [{}])[-1].get("of_bound"):
        lines.append(of_bound(result["figures"]["clients"], list(reached)))
    return "\n".join(lines)


def version_of(result: Result) -> str:
    """Say which version of the model it was, as `quadfollow info` gives it, how it ran, and from which other file."""
    served = result["figures"].get("served")
    if not served:
        return ""
    device, runs = served["device"], served.get("runs", {})
    told = f", version `{served['version']}`, served by {device['provider']} in variant `{device['variant']}`"
    if runs.get("version") in (None, served["version"]):
        return told
    return f"{told} (`{runs['file']}`, version `{runs['version']}`)"


def of_bound(clients: list[dict[str, Any]], names: list[str]) -> str:
    """Lay out how near ours comes to its bound."""
    head = ["ours against the bound", *(f"{found['clients']} client(s)" for found in clients)]
    kinds = {"reached": "answers/s", "cost": "processor time"}
    rows = [
        [f"{name}: {told}", *(results.ranged(found["of_bound"][name][kind]) for found in clients)]
        for name in names
        for kind, told in kinds.items()
    ]
    floors = clients[-1]["floor"]
    told = (
        "The bound is cores that do nothing but inference on one thread "
        f"({floors['session_ms']['median']:.2f} ms of processor time), decoding "
        f"({floors['decode_ms']['median']:.2f} ms) and the load client's work. *Answers/s* is the share of it that was "
        "reached, *processor time* what share of the time spent was any of the three; only the latter is independent "
        "of who else uses the machine. Sessions that run at once slow each other, which no server can undo: how much, "
        "tell *sessions of 1 thread at once* among [the networks alone](#the-networks-alone).\n"
    )
    return results.table(head, rows) + "\n" + told


def circumstances(result: Result) -> str:
    """Say on what machine, when, and how quiet it was."""
    machine = result["machine"]
    before, after = (f"{100 * load:.0f} %" for load in result["others_load"])
    watched = "".join(f", {100 * share:.1f} % {MEANWHILE[kind]}" for kind, share in result.get("meanwhile", {}).items())
    runtimes = [f"{name} {version}" for name, version in machine["packages"].items() if name in RUNTIMES]
    when = result["made"][:16].replace("T", " ")
    return (
        f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_gib']:g} GiB, Python {machine['python']}, "
        f"{', '.join(runtimes)}; {when} UTC; others used {before} of the machine just before and {after} just after"
        f"{watched}."
    )


@click.command()
@click.option("--results", "folder", default=results.KEPT, type=click.Path(path_type=Path), help="Folder of results.")
@click.option("--docs", default=results.ROOT / "docs", type=click.Path(path_type=Path), help="Where the page goes.")
def main(folder: Path, docs: Path) -> None:
    """Make the pages and their charts."""
    every = (*PARTS, BREAKDOWN, TRIED, REWRITES)
    found = {part.result: result for part in every if (result := results.load(part.result, folder)) is not None}
    for part in PARTS:
        if part.draw is not None and part.result in found:
            part.draw(found[part.result], docs / "img" / f"bench-{part.result}.svg")
    for flames in folder.glob(f"{BREAKDOWN.result}-*.svg"):
        write_whole(docs / "img" / flames.name, flames.read_bytes())
    write_whole(docs / "benchmarks.md", page(found, "img"))
    write_whole(docs / "profile.md", profile_page(found))
    click.echo(f"wrote {docs / 'benchmarks.md'} and profile.md of {', '.join(found) or 'nothing'}", err=True)


if __name__ == "__main__":
    main()
