"""What the server counts about itself, in Prometheus' text format, on a registry of its own."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from quadfollow_core.errors import QuadfollowError
from quadfollow_core.request import Result
from quadfollow_server.jobs import Dropped, Outcome
from quadfollow_server.segmenter import Segmenter

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 10.0, 30.0)
"""Bucket edges that tell a fast stage from a slow one at video rates, and a long wait from one without end."""


class Metrics:
    """Counters, histograms and gauges of one serving process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._frames = Counter(
            "quadfollow_frames",
            "Frames by door (http, zmq) and fate; detail is the reason of a drop or the code of an error",
            ["door", "outcome", "detail"],
            registry=self.registry,
        )
        self._stages = Histogram(
            "quadfollow_stage_seconds", "Time per stage of a frame", ["stage"], buckets=SECONDS, registry=self.registry
        )
        self._held = Histogram(
            "quadfollow_held_seconds",
            "Time from a frame's receipt to its answer",
            ["door"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._undeliverable = Counter(
            "quadfollow_undeliverable",
            "Replies that a client did not take: gone, or not reading",
            registry=self.registry,
        )
        self._refused = Counter(
            "quadfollow_refused",
            "Requests and connections turned away, by door (http, zmq) and reason (key, origin, connections)",
            ["door", "reason"],
            registry=self.registry,
        )
        self._models = Gauge(
            "quadfollow_model", "Models that are served", ["model", "provider", "default"], registry=self.registry
        )
        self._reloads = Counter(
            "quadfollow_model_reloads",
            "Models loaded anew, by outcome: done, or failed (the old ones stay)",
            ["outcome"],
            registry=self.registry,
        )
        self.waiting = Gauge("quadfollow_waiting", "Frames waiting for inference", registry=self.registry)
        self.waiting_bytes = Gauge(
            "quadfollow_waiting_bytes", "Bytes of requests being received or waiting", registry=self.registry
        )
        self.viewers = Gauge("quadfollow_viewers", "Viewers of the live view", registry=self.registry)
        self._shown = Counter("quadfollow_shown", "Pictures sent to viewers", registry=self.registry)
        # Looking a label up costs more than counting; all of a frame's are known names, so these stay few.
        self._fate = cache(self._frames.labels)
        self._held_at = cache(self._held.labels)
        self._stage = cache(self._stages.labels)
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        """Show what alerts and autoscalers watch before it first happens: a series that begins at 1 has not risen."""
        self._stage("queue")
        for outcome in ("done", "failed"):
            self._reloads.labels(outcome)
        for door in ("http", "zmq"):
            for code in ("error", "unavailable"):
                self._fate(door, "error", code)
        for door, reason in (("http", "key"), ("http", "origin"), ("http", "connections"), ("zmq", "key")):
            self._refused.labels(door, reason)

    def count(self, door: str, outcome: str, detail: str = "") -> None:
        """Count one frame's fate."""
        self._fate(door, outcome, detail).inc()

    def tell(self, door: str, outcome: Outcome) -> None:
        """Count one frame's fate; of a result, record how long it and its stages took."""
        match outcome:
            case Result(body=body):
                self.count(door, "result")
                self._held_at(door).observe(body["held_ms"] / 1000)
                for stage, milliseconds in body["timings"].items():
                    self._stage(stage.removesuffix("_ms")).observe(milliseconds / 1000)
            case Dropped(reason=reason):
                self.count(door, "dropped", reason)
            case QuadfollowError(code=code):
                self.count(door, "error", code)

    def worked(self) -> float:
        """Seconds that all answered frames took together, side by side or not, without those in which they waited."""
        (stages,) = self._stages.collect()
        sums = (sample for sample in stages.samples if sample.name.endswith("_sum"))
        return sum(sample.value for sample in sums if sample.labels["stage"] != "queue")

    def lose(self) -> None:
        """Count one reply that a client did not take."""
        self._undeliverable.inc()

    def show(self) -> None:
        """Count one picture sent to a viewer."""
        self._shown.inc()

    def reload(self, outcome: str) -> None:
        """Count one time that the models were loaded anew."""
        self._reloads.labels(outcome).inc()

    def refuse(self, door: str, reason: str) -> None:
        """Count one request or connection that was turned away."""
        self._refused.labels(door, reason).inc()

    def announce(self, models: Iterable[Segmenter]) -> None:
        """Show which models are served, and where they run."""
        self._models.clear()
        for index, model in enumerate(models):
            self._models.labels(model.contract.name, model.device.provider, str(index == 0).lower()).set(1)

    def text(self) -> bytes:
        """Write everything in the text format."""
        return generate_latest(self.registry)
