"""What a serving process is told, checked once before anything is opened or loaded."""

from __future__ import annotations

from dataclasses import dataclass, field

from quadfollow_core.codec import MAX_PIXELS, MAX_SCANS
from quadfollow_core.errors import BadInput
from quadfollow_core.request import MAX_NAME
from quadfollow_core.trackers import make_tracker
from quadfollow_core.wire import MAX_HEADER
from quadfollow_server.access import Access
from quadfollow_server.cores import usable_cores
from quadfollow_server.variants import AUTO, NAMES

TRACES = ("off", "otlp", "console")
DEVICES = ("auto", "cpu", "openvino", "cuda", "tensorrt")
MIB = 1024 * 1024
UPLOAD_SECONDS = 10.0
"""Longest time an HTTP client may take over sending one request's head, and again over its body."""
MAX_HEAD = 64 * 1024
"""Most bytes of an HTTP request's line and headers, or of its trailers."""

MAX_PICTURE = 4 * 1024 * 1024
"""Bytes of the largest picture that is passed on to subscribers and viewers."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything about one serving process that can be chosen; port 0 takes any free port."""

    models: tuple[str, ...] = ()
    """Paths of ONNX files or names of shipped models, the default one first; none for the shipped default."""
    host: str = "127.0.0.1"
    port: int = 8000
    zmq_port: int = 5555
    pub_port: int = 5556
    device: str = "auto"
    variant: str = AUTO
    """How inference runs on the device; see :mod:`quadfollow_server.variants`."""
    workers: int = 0
    """Frames worked on at the same time, each of another stream; 0 for two, or for one on one core."""
    threads: int = 0
    """Threads of inference, which frames worked on at the same time share; 0 for one per physical core."""
    max_body_bytes: int = 16 * 1024 * 1024
    max_pixels: int = MAX_PIXELS
    max_waiting: int = 256
    """Frames waiting for inference at most, over all clients; likewise HTTP bodies being received."""
    max_waiting_bytes: int = 256 * 1024 * 1024
    """Bytes of bodies that are being received over HTTP or wait for inference at most, over all clients."""
    max_connections: int = 512
    """HTTP connections and WebSockets at once at most."""
    queue_seconds: float = 30.0
    """Longest time a frame waits; after it the frame is dropped as one whose deadline has passed."""
    max_viewers: int = 32
    """Viewers of the live view at most; 0 for no live view."""

    tracker: str = "kalman"
    """How the target of a stream is followed; ``centroid`` is the baseline."""
    watch: bool = False
    """Whether a model whose file changed is loaded anew."""
    hang_seconds: float = 5.0
    """Longest time without a sign of life of event loop and inference, after which the server counts as hanging."""
    traces: str = "off"
    """Where each frame's spans go: ``off``, ``otlp`` or ``console``."""
    access: Access = field(default_factory=Access)
    """Who may reach the server, and how."""

    def __post_init__(self) -> None:
        make_tracker(self.tracker)
        for name in ("port", "zmq_port", "pub_port"):
            _require_within(name, getattr(self, name), 0, 65535)
        _require_within("threads", self.threads, 0, 1024)
        _require_within("workers", self.workers, 0, 64)
        _require_within("max_body_mb", self.max_body_bytes / MIB, 1024 / MIB, 1024)
        _require_within("max_pixels", self.max_pixels, 1, 2**28)
        _require_within("max_waiting", self.max_waiting, 1, 65536)
        _require_within("max_waiting_mb", self.max_waiting_bytes / MIB, self.max_body_bytes / MIB, 2**20)
        _require_within("max_connections", self.max_connections, 1, 65536)
        _require_within("queue_seconds", self.queue_seconds, 0.01, 3600)
        _require_within("max_viewers", self.max_viewers, 0, 1024)
        _require_within("hang_seconds", self.hang_seconds, 1, 3600)
        _require_one_of("device", self.device, DEVICES)
        _require_one_of("variant", self.variant, NAMES)
        _require_one_of("traces", self.traces, TRACES)

    @property
    def at_once(self) -> int:
        """Frames worked on at the same time."""
        return self.workers or min(2, usable_cores(), self.threads or 2)

    @property
    def max_waiting_per_client(self) -> int:
        """Frames of one client that wait at most, and bodies of one that are received: some others' fit in beside them.

        A client is a ZeroMQ connection (whose frames that wait are each of another stream), or all HTTP connections
        that show one key, or that come from one address where no keys are asked for.
        """
        return max(1, self.max_waiting // 8)

    @property
    def max_waiting_bytes_per_client(self) -> int:
        """Bytes of bodies of one client that are being received or wait at most: half of all, or one body's."""
        return max(self.max_body_bytes, self.max_waiting_bytes // 2)

    @property
    def limits(self) -> dict[str, float]:
        """Every limit a request can break, under the name that an error gives it."""
        return {
            "hang_seconds": self.hang_seconds,
            "max_body_bytes": self.max_body_bytes,
            "max_connections": self.max_connections,
            "max_head_bytes": MAX_HEAD,
            "max_header_bytes": MAX_HEADER,
            "max_name_length": MAX_NAME,
            "max_pixels": self.max_pixels,
            "max_scans": MAX_SCANS,
            "max_viewers": self.max_viewers,
            "max_waiting": self.max_waiting,
            "max_waiting_bytes": self.max_waiting_bytes,
            "max_waiting_bytes_per_client": self.max_waiting_bytes_per_client,
            "max_waiting_per_client": self.max_waiting_per_client,
            "queue_seconds": self.queue_seconds,
            "upload_seconds": UPLOAD_SECONDS,
        }


def option(name: str) -> str:
    """How a setting is typed."""
    return f"--{name.replace('_', '-')}"


def in_bytes(name: str, mebibytes: float) -> int:
    """The bytes of a setting that is typed in MiB.

    Raises:
        BadInput: it is no number, or has no end.
    """
    try:
        return round(mebibytes * MIB)
    except (ValueError, OverflowError) as error:
        raise BadInput(f"{option(name)} is a number of MiB, got {mebibytes}") from error


def _require_one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise BadInput(f"{option(name)} is one of {', '.join(choices)}, got {value!r}")


def _require_within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise BadInput(f"{option(name)} lies between {low} and {high}, got {value}")
