"""From start to end: ports, readiness, restarts, signals."""

from __future__ import annotations

import concurrent.futures
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import zmq
from numpy.typing import NDArray
from tests.server.conftest import PATIENCE, has_ipv6
from tests.server.dispatching import ONE_WORKER

from quadfollow_core import wire
from quadfollow_core.errors import BadInput, BadModel, NotFound, Unavailable
from quadfollow_core.http_client import HttpClient
from quadfollow_core.stream_client import StreamClient
from quadfollow_server import http_protocol, http_request
from quadfollow_server import serve as serve_module
from quadfollow_server.access import Access
from quadfollow_server.running import RunningServer
from quadfollow_server.serve import Server, run
from quadfollow_server.service import Service
from quadfollow_server.settings import Settings

ANY = Settings(port=0, zmq_port=0, pub_port=0)
EXAMPLE = Path(__file__).parents[2] / "examples" / "zmq_client.py"


@pytest.mark.parametrize(
    ("option", "wrong"),
    [
        *(("port", {"port": -1}), ("zmq-port", {"zmq_port": 70000}), ("device", {"device": "gpu"})),
        *(("threads", {"threads": -1}), ("max-waiting", {"max_waiting": 0}), ("queue-seconds", {"queue_seconds": 0})),
        ("max-connections", {"max_connections": 0}),
        ("max-body-mb", {"max_body_bytes": 0}),
        ("max-waiting-mb lies between 16.0 and 1048576, got 1.5", {"max_waiting_bytes": 3 << 19}),
    ],
)
def test_settings_are_checked_when_made(option: str, wrong: dict[str, Any]) -> None:
    """A value out of range is refused by its option's name, in the option's unit."""
    with pytest.raises(BadInput, match=f"^--{option}( |$)"):
        Settings(**wrong)


@pytest.mark.parametrize(
    ("name", "option"), [("port", "--port"), ("zmq_port", "--zmq-port"), ("pub_port", "--pub-port")]
)
def test_a_taken_port_is_named_before_any_model_loads(name: str, option: str) -> None:
    """Each port that is taken ends the start with its number and the option that changes it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        settings = replace(ANY, models=("no-such-model",), **{name: number})
        with pytest.raises(Unavailable, match=rf"{number}.*{option}"), RunningServer(settings):
            pass


def test_a_host_that_is_not_here_is_named() -> None:
    """A name that is no address, and an address of another machine, end the start."""
    for host in ("no.such.host.invalid", "192.0.2.1"):
        settings = replace(ANY, host=host, access=Access(insecure_public=True))
        with pytest.raises(Unavailable, match=host), RunningServer(settings):
            pass


def test_a_model_that_cannot_be_served_ends_the_start(models: tuple[Path, Path], tmp_path: Path) -> None:
    """A missing or broken file, or the same model twice, raises and leaves the ports free."""
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"x")
    for wrong, error in [(("nowhere",), NotFound), ((str(broken),), BadModel), ((str(models[0]),) * 2, BadModel)]:
        with pytest.raises(error), RunningServer(replace(ANY, models=wrong)):
            pass


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_ipv6_is_served(models: tuple[Path, Path], png: bytes, tmp_path: Path) -> None:
    """Both doors answer on the IPv6 loopback, and both clients and the example find them there."""
    with RunningServer(replace(ANY, host="::1", models=(str(models[0]),))) as server:
        assert server.address == f"tcp://[::1]:{server.service.ports.zmq}"
        with HttpClient(server.url) as client:
            assert client.is_ready()
        with StreamClient(server.address) as stream:
            assert stream.ping(30.0)
        with zmq.Context() as context, context.socket(zmq.SUB) as heard:
            heard.linger, heard.ipv6 = 0, wire.is_ipv6(server.pub_address)
            heard.subscribe(b"")
            heard.connect(server.pub_address)
            end = time.monotonic() + PATIENCE
            with HttpClient(server.url) as client:
                while not heard.poll(100):  # it may have begun to listen after the answer
                    assert time.monotonic() < end
                    client.segment(np.zeros((8, 8, 3), np.uint8), stream="front")
        picture = tmp_path / "frame.png"
        picture.write_bytes(png)
        example = [sys.executable, EXAMPLE, server.address, picture]
        told = subprocess.run(example, capture_output=True, timeout=PATIENCE, check=True).stdout
        assert json.loads(told)["type"] == "result"


@contextmanager
def in_thread(server: Server) -> Iterator[None]:
    """Run a server that need not become ready."""
    thread = threading.Thread(target=run, args=(server,))
    thread.start()
    try:
        yield
    finally:
        server.stop()
        thread.join()


def test_readiness_follows_the_model(constant: Callable[..., Any], gate: Any, dealer: Any, png: bytes) -> None:
    """While a model loads the server lives and pings but is not ready; both doors say so; then it is."""
    listening: concurrent.futures.Future[Service] = concurrent.futures.Future()
    ready = threading.Event()

    def load(_: Settings) -> list[Any]:
        gate()
        return [constant()]

    def watch(service: Service) -> None:
        if service.not_ready is None:
            ready.set()
        else:
            listening.set_result(service)

    with in_thread(Server(ANY, load, watch)):
        ports = listening.result(PATIENCE).ports
        client = dealer(f"tcp://127.0.0.1:{ports.zmq}")
        with httpx.Client(base_url=f"http://127.0.0.1:{ports.http}") as http:
            assert http.get("/livez").status_code == 200
            unready = http.get("/readyz")
            assert (unready.status_code, unready.json()["code"]) == (503, "unavailable")
            assert "loading" in unready.json()["detail"]
            assert http.get("/info").json()["ready"] is False
            assert http.post("/segment", content=png).status_code == 503
            assert client.ask(1)["code"] == "unavailable"
            gate.open()
            assert ready.wait(PATIENCE)
            assert http.get("/readyz").json() == {"ready": True, "models": {"constant": "none"}}
            assert client.ask(2)["type"] == "result"


def test_a_server_can_be_stopped_while_its_model_loads(gate: Any) -> None:
    """A load that takes for ever does not keep the server from ending: it is still under way when that has ended."""
    over: list[None] = []

    def load(_: Settings) -> list[Any]:
        try:
            gate()
        finally:
            over.append(None)
        return []

    with in_thread(Server(ANY, load)):
        gate.wait_reached()
    assert over == []


def test_stopping_answers_what_runs_and_drops_what_waits(
    constant: Callable[..., Any], gate: Any, dealer: Any, png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs that wait when the server stops are dropped as `shutdown` on both doors; the running one is answered."""
    monkeypatch.setattr(serve_module, "DRAIN_SECONDS", PATIENCE)
    with RunningServer(ONE_WORKER, [constant(gate)]) as server, concurrent.futures.ThreadPoolExecutor() as pool:
        client = dealer(server.address)
        client.send("running")
        gate.wait_reached()
        client.send("waiting", stream="other")
        over_http = pool.submit(httpx.post, f"{server.url}/segment", content=png, timeout=60)
        while b"quadfollow_waiting 2.0" not in httpx.get(f"{server.url}/metrics").content:
            pass
        stopping = pool.submit(server.stop)
        first = client.read().body
        gate.open()
        second = client.read().body
        stopping.result()
        refused = over_http.result()
    assert (first["id"], first["type"], first["reason"]) == ("waiting", "dropped", "shutdown")
    assert (second["id"], second["type"]) == ("running", "result")
    assert (refused.status_code, refused.json()["reason"]) == (503, "shutdown")


def test_the_server_ends_in_time_whatever_hangs(
    constant: Callable[..., Any], gate: Any, dealer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stuck inference, a body that never ends and a client that never reads are not waited for to their end.

    How long they are waited for is said; together it is less than 5 s.
    """
    assert serve_module.DRAIN_SECONDS + http_protocol.GRACE_SECONDS < 5
    monkeypatch.setattr(http_request, "UPLOAD_SECONDS", 3600.0)
    over: list[None] = []

    def hang() -> None:
        try:
            gate()
        finally:
            over.append(None)

    with (
        RunningServer(ONE_WORKER, [constant(hang)]) as server,
        socket.create_connection(("127.0.0.1", server.service.ports.http)) as half,
    ):
        half.sendall(b"POST /segment HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf")
        deaf = dealer(server.address, rcvhwm=1, rcvbuf=4096)
        deaf.send("stuck")
        gate.wait_reached()
        for number in range(20_000):
            deaf.raw(*wire.encode_ping(f"{number:>100}"))
        server.stop()
        assert over == []


def test_a_stream_client_goes_on_by_itself_after_a_restart(
    models: tuple[Path, Path], picture: NDArray[np.uint8]
) -> None:
    """The server ends and comes back on its ports; the client loses frames meanwhile, and then gets results again."""
    settings = replace(ANY, models=(str(models[0]),))
    with RunningServer(settings) as server:
        ports = server.service.ports
        client = StreamClient(server.address, timeout=PATIENCE)
        client.offer(picture)
        assert [fate.outcome for fate in client.poll(PATIENCE)] == ["result"]
    client._timeout = 0.3
    client.offer(picture)
    assert [fate.outcome for fate in client.poll(PATIENCE)] == ["lost"]
    client._timeout = 5.0
    with client, RunningServer(replace(settings, port=ports.http, zmq_port=ports.zmq, pub_port=ports.pub)):
        outcomes: list[str] = []
        end = time.monotonic() + PATIENCE
        while "result" not in outcomes and time.monotonic() < end:
            client.offer(picture)
            outcomes += [fate.outcome for fate in client.poll(0.1)]
        assert outcomes[-1] == "result"


@pytest.mark.parametrize("supervision", ["--supervisor", "--no-supervisor"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_under_full_load_ends_the_process_gracefully(
    models: tuple[Path, Path],
    serve: Any,
    dealer: Any,
    until: Any,
    png: bytes,
    number: signal.Signals,
    supervision: str,
) -> None:
    """With both doors under load, SIGTERM and SIGINT end the process with 0, without a frame forgotten on the way.

    Over ZeroMQ the frames up to some number are answered and none after it; over HTTP an answer that was begun comes
    whole, and only from the signal on does a connection end without one.
    """
    statuses: list[int] = []
    answered: list[int] = []
    cut: list[tuple[bool, httpx.TransportError]] = []
    told, over = threading.Event(), threading.Event()

    def post(url: str) -> None:
        with httpx.Client(timeout=PATIENCE) as http:
            while not over.is_set():
                try:
                    statuses.append(http.post(url, content=png).status_code)
                except httpx.TransportError as error:
                    return cut.append((told.is_set(), error))

    def flood(client: Any) -> None:
        sent = 0
        while not over.is_set():
            if sent - len(answered) < 100:
                client.send(sent)
                sent += 1
            elif client.socket.poll(10):
                answered.append(client.read().body["id"])
        while client.socket.poll(1000):
            answered.append(client.read().body["id"])

    with (
        serve("--model", str(models[0]), supervision) as served,
        concurrent.futures.ThreadPoolExecutor() as pool,
    ):
        served.wait_ready()
        load = [pool.submit(post, f"{served.url}/segment") for _ in range(4)]
        load.append(pool.submit(flood, dealer(served.address)))
        until(lambda: cut or min(len(statuses), len(answered)) > 50)
        told.set()
        served.process.send_signal(number)
        code = served.process.wait(PATIENCE)
        over.set()
        for future in load:
            future.result()
    assert code == 0
    assert set(statuses) <= {200, 503}
    assert all(was_told and "complete message" not in str(error) for was_told, error in cut), cut
    assert sorted(answered) == list(range(len(answered)))
