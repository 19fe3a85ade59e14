"""What a real collector of OpenTelemetry receives of each frame, over HTTP."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from typing import Any

import httpx
import pytest
import zmq
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from tests.server.conftest import PATIENCE

from quadfollow_core.errors import Unavailable
from quadfollow_server import traces
from quadfollow_server.running import RunningServer
from quadfollow_server.settings import Settings

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Collector(HTTPServer):
    """Keeps what is sent to it, and thanks for it while it is well."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Take)
        self.bodies: list[bytes] = []
        self.is_well = threading.Event()
        self.is_well.set()

    @property
    def received(self) -> list[ExportTraceServiceRequest]:
        """Each message, decoded."""
        return [ExportTraceServiceRequest.FromString(body) for body in self.bodies]

    @property
    def spans(self) -> list[Span]:
        """All spans, from first to last."""
        return [
            span
            for message in self.received
            for resource in message.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def frame(self, number: str) -> tuple[Span, list[Span]]:
        """The span of one frame and those right below it."""
        (frame,) = [span for span in self.spans if span.name == "frame" and facts(span)["quadfollow.id"] == number]
        return frame, [span for span in self.spans if span.parent_span_id == frame.span_id]


class _Take(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers["content-length"])))
        self.server.is_well.wait(2 * PATIENCE)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector that the environment names, and for which a server that stops waits as long as it takes."""
    monkeypatch.setattr(traces, "CLOSE_SECONDS", 120.0)
    with Collector() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{running.server_port}")
        yield running
        running.is_well.set()
        running.shutdown()
        thread.join()


def facts(span: Span) -> dict[str, Any]:
    """A span's attributes."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value") or "") for one in span.attributes}


def test_a_frame_is_a_tree_of_spans(collector: Collector, settings: Settings, dealer: Any, png: bytes) -> None:
    """One span per frame, its stages one after the other within it, below the span that the client named."""
    with RunningServer(replace(settings, traces="otlp")) as server:
        client = dealer(server.address)
        timings = client.ask("wire", stream="front", want=["target", "track"], traceparent=PARENT)["timings"]
        httpx.post(f"{server.url}/segment?id=http", content=png, headers={"traceparent": PARENT}).raise_for_status()
        client.ask("no picture", data=b"\xff\xd8\xff")
    frame, stages = collector.frame("wire")
    assert [span.name for span in stages] == [name.removesuffix("_ms") for name in timings]
    assert stages[0].start_time_unix_nano == frame.start_time_unix_nano
    assert stages[-1].end_time_unix_nano <= frame.end_time_unix_nano
    for one, following in pairwise(stages):
        assert one.end_time_unix_nano == following.start_time_unix_nano
    told = facts(frame)
    assert (told["quadfollow.stream"], told["quadfollow.door"], told["quadfollow.found"]) == ("front", "zmq", True)
    for number in ("wire", "http"):
        frame, _ = collector.frame(number)
        assert (frame.trace_id.hex(), frame.parent_span_id.hex()) == tuple(PARENT.split("-")[1:3])
    refused, below = collector.frame("no picture")
    assert (refused.status.code, facts(refused)["quadfollow.code"]) == (Status.STATUS_CODE_ERROR, "bad-image")
    assert (refused.parent_span_id, below) == (b"", [])
    assert 'string_value: "quadfollow"' in str(collector.received[0].resource_spans[0].resource)


@pytest.mark.parametrize("parent", ["", "00-zz", "x" * 10_000, 7, None, ["00"]])
def test_a_senseless_parent_counts_as_none(collector: Collector, settings: Settings, dealer: Any, parent: Any) -> None:
    """The frame is answered, and is the root of its tree."""
    with RunningServer(replace(settings, traces="otlp")) as server:
        assert dealer(server.address).ask(1, traceparent=parent)["type"] == "result"
    frame, _ = collector.frame("1")
    assert frame.parent_span_id == b""


def test_a_frame_without_an_id_is_told_without_one(collector: Collector, settings: Settings, png: bytes) -> None:
    """What the client did not say is no attribute."""
    with RunningServer(replace(settings, traces="otlp")) as server:
        httpx.post(f"{server.url}/segment", content=png).raise_for_status()
    (frame,) = [facts(span) for span in collector.spans if span.name == "frame"]
    assert "quadfollow.id" not in frame
    assert frame["quadfollow.door"] == "http"


def test_traces_can_be_read_from_stderr(
    settings: Settings, dealer: Any, capsys: pytest.CaptureFixture[str], collector: Collector
) -> None:
    """One JSON object per span, and nothing on stdout or to any collector."""
    with RunningServer(replace(settings, traces="console")) as server:
        timings = dealer(server.address).ask("seen", stream="front")["timings"]
    written, spans = capsys.readouterr(), []
    rest = written.err[written.err.index("{") :]
    while rest:
        span, end = json.JSONDecoder().raw_decode(rest)
        spans.append(span)
        rest = rest[end:].lstrip()
    (frame,) = [span for span in spans if span["name"] == "frame"]
    assert (frame["attributes"]["quadfollow.id"], frame["attributes"]["quadfollow.stream"]) == ("seen", "front")
    stages = [span["name"] for span in spans if span["parent_id"] == frame["context"]["span_id"]]
    assert stages == [name.removesuffix("_ms") for name in timings]
    assert (written.out, collector.bodies) == ("", [])


def test_without_being_asked_nothing_is_traced(collector: Collector, settings: Settings, dealer: Any) -> None:
    """Nothing is sent, whatever the environment says."""
    with RunningServer(settings) as server:
        dealer(server.address).ask()
    assert collector.bodies == []


def test_a_collector_that_is_not_there_holds_nothing_up(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, dealer: Any
) -> None:
    """Frames are answered and the server ends."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    with RunningServer(replace(settings, traces="otlp")) as server:
        assert dealer(server.address).ask()["type"] == "result"


def test_a_collector_that_hangs_holds_nothing_up(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, settings: Settings, dealer: Any, until: Any
) -> None:
    """While it takes spans and says nothing, frames are answered and the server ends."""
    monkeypatch.setattr(traces, "CLOSE_SECONDS", 0.1)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "600")  # what waited for it would wait for longer than the client
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
    collector.is_well.clear()
    with RunningServer(replace(settings, traces="otlp")) as server:
        client = dealer(server.address)
        client.ask(1)
        until(lambda: collector.bodies)
        try:
            assert client.ask(2)["type"] == "result"
        except zmq.Again:
            collector.is_well.set()  # else whoever waits for it would not end
            raise


def test_without_opentelemetry_the_start_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    """The extra is named before anything listens."""
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(Unavailable, match=r"quadfollow\[otel\]"), RunningServer(replace(settings, traces="otlp")):
        pass
