"""Traces for OpenTelemetry: one tree of spans per frame, from its receipt to its outcome, with a span for each stage.

Off unless asked for. The stages are timed anyway, so a frame's spans are made when all is over, from those times.
Where to send them, what share of them and under which name is said in OpenTelemetry's own environment variables.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING

from quadfollow_core.errors import QuadfollowError, Unavailable
from quadfollow_core.request import Result
from quadfollow_server.jobs import Dropped, Job, Outcome

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.sdk.trace.export import SpanExporter

CLOSE_SECONDS = 0.5
"""Time that the last spans get to be sent when the server stops."""
MISSING = 'traces need OpenTelemetry: pip install "quadfollow[otel]"'


class Traces:
    """Makes spans of frames; :meth:`tell` belongs on one thread.

    Args:
        exporter: where the spans go.
        processor: hands them to it when they have ended.
    """

    def __init__(self, exporter: SpanExporter, processor: SpanProcessor) -> None:
        from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider

        # What the environment says (OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES) wins over the name given here.
        resource = Resource.create({SERVICE_NAME: "quadfollow"}).merge(OTELResourceDetector().detect())
        self._exporter = exporter
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("quadfollow")

    def tell(self, job: Job, outcome: Outcome) -> None:
        """Make the spans of a frame that has met its outcome just now."""
        from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

        end = time.time_ns()
        begin = end - round((time.monotonic() - job.received) * 1e9)
        asked = job.request
        frame = self._tracer.start_span(
            "frame", _parent(asked.traceparent), SpanKind.SERVER, _facts(job) | _told(outcome), start_time=begin
        )
        if isinstance(outcome, QuadfollowError):
            frame.set_status(Status(StatusCode.ERROR, str(outcome)))
        within = set_span_in_context(frame)
        for stage, milliseconds in _stages(outcome):
            span = self._tracer.start_span(stage.removesuffix("_ms"), within, start_time=begin)
            begin += round(milliseconds * 1e6)
            span.end(begin)
        frame.end(end)

    def close(self) -> None:
        """Send what is left, and wait for that no longer than a moment."""
        closing = threading.Thread(target=self._provider.shutdown, name="quadfollow-traces", daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)
        self._exporter.shutdown()  # it may be waiting to try once more


def open_traces(kind: str) -> Traces | None:
    """Traces as ``serve --traces`` names them: sent by OTLP over HTTP, written to stderr, or none.

    Raises:
        Unavailable: OpenTelemetry is not installed.
    """
    if kind == "off":
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor
    except ImportError as error:
        raise Unavailable(MISSING) from error
    if kind == "console":
        written = ConsoleSpanExporter(out=sys.stderr)
        return Traces(written, SimpleSpanProcessor(written))
    sent = OTLPSpanExporter()
    return Traces(sent, BatchSpanProcessor(sent))


def _parent(traceparent: str | None) -> Context | None:
    """The span that a client names as this frame's parent (W3C Trace Context); a malformed one counts as none."""
    if traceparent is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": traceparent})


def _facts(job: Job) -> dict[str, str | bool]:
    facts: dict[str, str | bool] = {"quadfollow.stream": job.request.stream, "quadfollow.door": job.door}
    return facts if job.request.id is None else facts | {"quadfollow.id": str(job.request.id)}


def _told(outcome: Outcome) -> dict[str, str | bool]:
    match outcome:
        case Result(body=body):
            found = body["target"] is not None
            return {"quadfollow.outcome": "result", "quadfollow.model": body["model"], "quadfollow.found": found}
        case Dropped(reason=reason):
            return {"quadfollow.outcome": "dropped", "quadfollow.reason": reason}
        case _:
            return {"quadfollow.outcome": "error", "quadfollow.code": outcome.code}


def _stages(outcome: Outcome) -> list[tuple[str, float]]:
    """Each stage and its milliseconds, in their order, one beginning where the one before ended."""
    match outcome:
        case Result(body=body):
            return list(body["timings"].items())
        case Dropped():
            return [("queue_ms", outcome.held_ms)]
        case _:
            return []
