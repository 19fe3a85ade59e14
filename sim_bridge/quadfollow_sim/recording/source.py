"""A recording as a world that goes by in its own time, with the camera and the truth that were recorded with it."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foxglove_schemas_protobuf.CompressedImage_pb2 import CompressedImage
from google.protobuf.message import DecodeError

from quadfollow_core.codec import decode_image
from quadfollow_core.errors import BadDataset, QuadfollowError
from quadfollow_core.geometry import Camera
from quadfollow_core.request import parse_camera
from quadfollow_sim.answers import well_formed
from quadfollow_sim.recording.messages import IMAGE, RESULT, RESULT_SCHEMA
from quadfollow_sim.recording.reader import Heard, read_messages
from quadfollow_sim.timing import timing
from quadfollow_sim.world import Observation, Point

SCHEMA = "foxglove.CompressedImage"


@dataclass(frozen=True, slots=True)
class Shown:
    """A recorded picture."""

    time: float
    image: bytes
    answer: dict[str, Any]
    """What was published about it; empty in recordings of other programs."""


class McapSource:
    """An MCAP file's pictures as a world; with ``loop`` it starts over. Every picture is decoded once beforehand.

    Any file with pictures of Foxglove's schema in protobuf is taken, a torn one up to the tear.

    Raises:
        BadDataset: no MCAP, no such pictures, several cameras and no ``topic``, or pictures that cannot be read.
        BadInput: ``speed`` is not above zero.
    """

    def __init__(
        self,
        path: Path,
        *,
        topic: str | None = None,
        speed: float = 1.0,
        loop: bool = False,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self._path = path
        self._loop = loop
        self.topic, total = _choose(path, topic)
        self._timing = timing(_check(path, self.topic, total, progress), speed)
        self._next = 0
        self._pictures = read_pictures(path, self.topic)

    @property
    def rate(self) -> float:
        """Pictures per second, on average."""
        return self._timing.rate

    @property
    def times(self) -> tuple[float, ...]:
        """When each picture is due."""
        return self._timing.times

    @property
    def again(self) -> float | None:
        """When the recording begins anew."""
        return self._timing.length if self._loop else None

    def read(self, skip: int = 0) -> Observation | None:
        """Read the next picture after ``skip`` others; None at the end."""
        for _ in range(skip):
            self._take()
        shown = self._take()
        if shown is None:
            return None
        camera, target = _told(shown)
        name = f"{self._path.name}#{self._next - 1:05d}"
        return Observation(shown.image, name, time.monotonic(), camera, target=target)

    def close(self) -> None:
        """Close the file."""
        self._pictures = iter(())

    def _take(self) -> Shown | None:
        if self._loop and self._next == len(self.times):
            self._pictures, self._next = read_pictures(self._path, self.topic), 0
        self._next += 1
        return next(self._pictures, None)


def read_pictures(path: Path, topic: str) -> Iterator[Shown]:
    """Read a topic's pictures, each with the answer that was recorded at the same time.

    Raises:
        BadDataset: pictures or answers that are not of their schema.
    """
    answers = f"{topic.removesuffix(IMAGE)}{RESULT}"
    waiting: Heard | None = None
    for heard in read_messages(path):
        if heard.channel.topic == topic:
            if waiting is not None:
                yield _shown(waiting)
            waiting = heard
        elif waiting is not None and heard.time == waiting.time and _is_answer(heard, answers):
            yield _shown(waiting, heard.record.data)
            waiting = None
    if waiting is not None:
        yield _shown(waiting)


def _is_answer(heard: Heard, topic: str) -> bool:
    """Whether a message is an answer of ours; other programs may have topics of that name."""
    return heard.channel.topic == topic and heard.schema is not None and heard.schema.name == RESULT_SCHEMA["title"]


def _shown(heard: Heard, answer: bytes = b"{}") -> Shown:
    try:
        return Shown(heard.time, CompressedImage.FromString(heard.record.data).data, json.loads(answer))
    except (DecodeError, ValueError, RecursionError) as error:
        raise BadDataset(f"{heard.channel.topic} at {heard.time:.6f} s is not of its schema: {error}") from error


def _told(shown: Shown) -> tuple[Camera | None, Point | None]:
    """The camera and the target's true place as they were recorded."""
    with well_formed():
        truth = (shown.answer.get("truth") or {}).get("target")
        target = None if truth is None else (float(truth[0]), float(truth[1]), float(truth[2]))
        return parse_camera(shown.answer.get("camera")), target


def _choose(path: Path, topic: str | None) -> tuple[str, int]:
    """The topic whose pictures are shown, and their number."""
    found = Counter(
        heard.channel.topic
        for heard in read_messages(path)
        if heard.schema is not None and heard.schema.name == SCHEMA and heard.channel.message_encoding == "protobuf"
    )
    if not found:
        raise BadDataset(f"there are no pictures of {SCHEMA} (protobuf) in {path}")
    if topic is None and len(found) > 1:
        raise BadDataset(f"{path} has several cameras: choose one with --topic: {', '.join(sorted(found))}")
    chosen = next(iter(found)) if topic is None else topic
    if chosen not in found:
        raise BadDataset(f"there are no pictures of topic {chosen} in {path}, but of {', '.join(sorted(found))}")
    return chosen, found[chosen]


def _check(path: Path, topic: str, total: int, progress: Callable[[int, int], None]) -> list[float]:
    """Decode every picture once and return their times."""
    stamps, problems = [], []
    for number, shown in enumerate(read_pictures(path, topic), 1):
        stamps.append(shown.time)
        try:
            decode_image(shown.image)
            _told(shown)
        except QuadfollowError as error:
            problems.append(f"picture {number}: {error}")
        progress(number, total)
    if problems:
        raise BadDataset(f"{len(problems)} unreadable picture(s) in {path}:", problems)
    return stamps
