"""Our HTTP door against other servers: the same frame, the same mask, the same client, taking turns.

``python benchmarks/serve.py [--graph same|chosen|exported|null]``: a JPEG goes in and the class mask comes out as a
PNG. With ``same`` all serve one and the same ONNX file by onnxruntime on the CPU; with ``chosen`` the same file, but
ours by the engine and variant that it takes by itself; with ``exported`` each is served as it ships: ours by the
shipped model and that engine, theirs by the graph that tf2onnx exports; with ``null`` the network costs nothing, so
that only the servers' own work is left. Before anything is timed, every server's mask is compared with the session's
own. The others are installed on first use, each into an environment of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import click
from measuring import results
from measuring.frames import frame
from measuring.graphs import as_exported
from measuring.load import Plan
from measuring.peers import PEERS, Mask, Peer, png_mask
from measuring.servers import Ours, Process, ask, http_plan, jpeg_request, weighed, zmq_plan, zmq_request
from measuring.summaries import has_tail, percentiles, ratio, spread
from measuring.turns import in_turns
from peers.work import Work

from quadfollow_core.codec import decode_image
from quadfollow_core.errors import BadModel, QuadfollowError
from quadfollow_core.resize import fit_frame
from quadfollow_core.shipped import DEFAULT_MODEL, find_model
from quadfollow_server.cores import bound_cores
from quadfollow_server.engine import load_model
from quadfollow_server.segmenter import Segmenter

NAME = "serve"
OURS = "quadfollow"
HTTP_TARGET, ZMQ_TARGET, ZMQ_RAW = (
    f"{OURS}, {how}" for how in ("target by HTTP", "target by ZeroMQ", "target by ZeroMQ, raw pixels")
)
FEWEST = 5
"""Answers that every round must have before two servers are compared."""
FLOOR = "floor"
PLAIN = ("--device", "cpu", "--variant", "plain")
"""The file as it is, by onnxruntime on the CPU, as the others run it."""
MASK_SHARE = 0.01
"""Share of pixels in which a mask may differ: another engine or an INT8 variant rounds otherwise."""
Load = dict[str, Any]


class Arena:
    """All servers of one run, up at once, and the ways to ask them."""

    def __init__(self, graph: str, model: Path, out: Path) -> None:
        self.graph, self.model, self.logs = graph, model, out / "logs"
        self.theirs = _theirs(graph, model, out / "graphs")
        self.jpeg = frame()
        self.plans: dict[str, Callable[..., Plan]] = {}
        self.servers: dict[str, Process] = {}
        self.missing: dict[str, str] = {}
        self.served: dict[str, Any] = {}

    def enter_ours(self, stack: ExitStack) -> None:
        """Start our server, and plan to ask at each of its doors."""
        way = PLAIN if self.graph == "same" else ()
        options = None if self.graph == "null" else ("--model", self.model.resolve(), *way)
        server = stack.enter_context(Ours(self.logs / "ours.log", options))
        self.served = server.model(None if options is None else self.model)
        picture = jpeg_request(self.jpeg, Accept="image/png")
        self._require_mask(OURS, png_mask(ask(server.port, picture)[1]), None if options is None else self.model)
        pixels = decode_image(self.jpeg)
        raw = {"encoding": "raw-rgb8", "width": pixels.shape[1], "height": pixels.shape[0], "want": ["target"]}
        self.plans |= {
            OURS: partial(http_plan, server.port, picture),
            HTTP_TARGET: partial(http_plan, server.port, jpeg_request(self.jpeg)),
            ZMQ_TARGET: partial(zmq_plan, server.zmq_port, zmq_request(self.jpeg, encoding="jpeg", want=["target"])),
            ZMQ_RAW: partial(zmq_plan, server.zmq_port, zmq_request(pixels.tobytes(), **raw)),
        }
        self.servers |= dict.fromkeys(self.plans, server)

    def enter_peer(self, stack: ExitStack, peer: Peer) -> None:
        """Start another server; one that cannot be is ended, left out and noted with the reason."""
        request = peer.request(self.jpeg)
        try:
            with ExitStack() as own:
                log = self.logs / f"{peer.name.replace(' ', '-')}.log"
                server = own.enter_context(peer.server(self.theirs, log))
                self._require_mask(peer.name, peer.mask(server.wait_for_answer(request)), self.theirs)
                stack.push(own.pop_all())
        except QuadfollowError as error:
            self.missing[peer.name] = str(error).splitlines()[0]
            click.echo(f"{peer.name} is left out: {error}", err=True)
            return
        self.servers[peer.name] = server
        self.plans[peer.name] = partial(http_plan, server.port, request)

    def _require_mask(self, name: str, mask: Mask, model: Path | None) -> None:
        """Compare a server's answer with a session's own: what differs is not the same work."""
        if model is None:
            return
        wanted = png_mask(Work(str(model))(self.jpeg))
        share = float((mask != wanted).mean()) if mask.shape == wanted.shape else 1.0
        if share > MASK_SHARE:
            raise BadModel(f"{name} answers another mask: {share:.1%} of its pixels differ")

    def measure(self, clients: int, rounds: int, seconds: float) -> dict[str, Any]:
        """Let so many clients ask each server in turn."""
        ways = {name: partial(self._turn, name, clients, seconds) for name in self.plans}
        if self.graph != "null":
            ways[FLOOR] = partial(floor, self._own_session(), self.jpeg, seconds)
        return compare(in_turns(ways, rounds, warm_up=0), clients)

    def _turn(self, name: str, clients: int, seconds: float) -> Load:
        return weighed(self.servers[name], self.plans[name](clients=clients, seconds=seconds))

    def _own_session(self) -> Segmenter:
        """The network as our server runs it, but on one thread."""
        device = self.served["device"]
        return load_model(self.model, device["name"], 1, device["variant"])


def _theirs(graph: str, model: Path, folder: Path) -> Path | None:
    """The file that the others serve; None without a network."""
    if graph == "null":
        return None
    return as_exported(model, folder) if graph == "exported" else model


def floor(segmenter: Segmenter, jpeg: bytes, seconds: float) -> Load:
    """Processor time of one frame's inference on one thread, and of its decoding, ms."""
    image, _ = fit_frame(decode_image(jpeg), segmenter.contract.size)
    return {
        "session_ms": cpu_ms(lambda: segmenter.segment(image), seconds / 2),
        "decode_ms": cpu_ms(lambda: fit_frame(decode_image(jpeg), segmenter.contract.size), seconds / 8),
    }


def cpu_ms(work: Callable[[], object], seconds: float) -> float:
    """Processor milliseconds that one call costs this process."""
    calls, began, end = 0, time.process_time(), time.perf_counter() + seconds
    while time.perf_counter() < end:
        work()
        calls += 1
    return 1000 * (time.process_time() - began) / calls


def compare(taken: dict[str, list[Load]], clients: int) -> dict[str, Any]:
    """What the rounds amount to, and the ratios between ours and each of the others."""
    floors = taken.pop(FLOOR, None)
    found: dict[str, Any] = {"clients": clients, "ways": {name: summary(rounds) for name, rounds in taken.items()}}
    found["ratios"] = {
        name: against(taken[OURS], rounds) for name, rounds in taken.items() if not name.startswith(OURS)
    }
    if floors is not None:
        found["floor"] = {key: spread([one[key] for one in floors]) for key in ("session_ms", "decode_ms")}
        ours = {name: rounds for name, rounds in taken.items() if name.startswith(OURS)}
        found["of_bound"] = {name: of_bound(floors, rounds) for name, rounds in ours.items()}
    return found


def summary(rounds: list[Load]) -> dict[str, Any]:
    """One way's rounds together."""
    return {
        "per_second": spread([per_second(load) for load in rounds]),
        "ms": percentiles(value for load in rounds for value in load["latencies"]),
        "errors": sum(load["errors"] for load in rounds),
        "client_cpu_ms": spread([load["cpu_ms"] for load in rounds]),
        "server_cpu_ms": spread([load["server_cpu_ms"] for load in rounds]),
        "memory_mb": round(max(load["memory_mb"] for load in rounds)),
    }


def against(ours: list[Load], theirs: list[Load]) -> dict[str, Any] | None:
    """How many times as much ours answers, and how their costs stand to ours; above 1 ours is better.

    None where a round had too few answers for any comparison.
    """
    if min(len(load["latencies"]) for load in (*ours, *theirs)) < FEWEST:
        return None
    return {
        "per_second": ratio([per_second(load) for load in ours], [per_second(load) for load in theirs]),
        "cpu": ratio([cost(load) for load in theirs], [cost(load) for load in ours]),
    }


def per_second(load: Load) -> float:
    """Answers per second."""
    return len(load["latencies"]) / float(load["seconds"])


def cost(load: Load) -> float:
    """Processor time of one answer, the server's and the client's, ms; it does not depend on who else is busy."""
    return float(load["server_cpu_ms"] + load["cpu_ms"]) or float("nan")


def of_bound(floors: list[Load], rounds: list[Load]) -> dict[str, Any]:
    """How near ours comes to cores that do nothing but inference, decoding and the load client's own work.

    ``reached`` compares answers per second, and falls where others use the machine; ``cost`` compares processor time.
    """
    least = [one["session_ms"] + one["decode_ms"] + load["cpu_ms"] for one, load in zip(floors, rounds, strict=True)]
    reached = [per_second(load) * one / (1000 * bound_cores()) for one, load in zip(least, rounds, strict=True)]
    return {"reached": spread(reached), "cost": ratio(least, [cost(load) for load in rounds])}


def table(result: dict[str, Any]) -> str:
    """Lay out one table per number of clients."""
    return "\n".join(one_table(found) for found in result["figures"]["clients"])


def one_table(found: dict[str, Any]) -> str:
    """Lay out what one number of clients saw."""
    head = [f"{found['clients']} client(s)", "answers/s", "errors", "p50, ms", "p99, ms", "server CPU, ms each"]
    head += ["memory, MB", "ours: × answers/s", "their p99 / ours", "their CPU / ours"]
    rows = []
    for name, way in found["ways"].items():
        ratios = found["ratios"].get(name) or {}
        cells = [results.number(way["per_second"]["median"]), str(way["errors"])]
        cells += [results.number(way["ms"]["p50"], 2), results.tail(way["ms"], 2)]
        cells += [results.number(way["server_cpu_ms"]["median"], 2), str(way["memory_mb"])]
        p99 = tails(way["ms"], found["ways"][OURS]["ms"]) if name in found["ratios"] else None
        times, costs = (results.ranged(ratios.get(key)) for key in ("per_second", "cpu"))
        rows.append([name, *cells, times, results.number(p99, 2), costs])
    return results.table(head, rows)


def tails(theirs: dict[str, Any], ours: dict[str, Any]) -> float | None:
    """Their 99th percentile over ours, of all rounds together; None where either has too few values for one."""
    return theirs["p99"] / ours["p99"] if has_tail(theirs) and has_tail(ours) else None


@click.command()
@click.option("--graph", type=click.Choice(["same", "chosen", "exported", "null"]), default="same", show_default=True)
@click.option("--model", default=DEFAULT_MODEL, show_default=True, help="Shipped model that is served.")
@click.option("--clients", multiple=True, type=int, default=(1, 4, 16), show_default=True)
@click.option("--rounds", default=4, show_default=True)
@click.option("--seconds", default=3.0, show_default=True, help="Length of one turn.")
@click.option("--peer", "peers", multiple=True, help="Only others whose name has this in it. Default: all.")
@results.out_option
def main(
    graph: str, model: str, clients: tuple[int, ...], rounds: int, seconds: float, peers: tuple[str, ...], out: Path
) -> None:
    """Measure our server against others."""

    def measure() -> dict[str, Any]:
        with ExitStack() as stack:
            arena = Arena(graph, find_model(model), out.resolve())
            arena.enter_ours(stack)
            for peer in PEERS:
                if not peers or any(part.lower() in peer.name.lower() for part in peers):
                    arena.enter_peer(stack, peer)
            found = [arena.measure(count, rounds, seconds) for count in clients]
        return {"served": arena.served, "missing": arena.missing, "clients": found}

    options = {"graph": graph, "model": model, "rounds": rounds, "seconds": seconds}
    click.echo(table(results.run(f"{NAME}-{graph}", out, options, measure)))


if __name__ == "__main__":
    main()
