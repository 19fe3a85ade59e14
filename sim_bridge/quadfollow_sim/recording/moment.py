"""One answered picture, from wherever it was answered: what a recording is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from quadfollow_core.codec import as_file, encode_png
from quadfollow_core.request import RAW, camera_header, parse_request
from quadfollow_core.stream_client import Fate
from quadfollow_sim.answers import well_formed
from quadfollow_sim.world import Observation

NEARBY = 60.0
"""Seconds by which a client's clock may differ from ours to be taken for the time of day."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A picture and its answer."""

    stream: str
    time: float
    """When the picture was taken, seconds since 1970."""
    body: dict[str, Any]
    """The answer as the server publishes it: the result with ``camera`` and, of a simulator, ``truth``."""
    image: bytes | None = field(repr=False)
    """A JPEG, PNG or WebP file; None where the picture was too large to be published."""


@well_formed()
def moment_of_publication(stream: str, body: dict[str, Any], image: bytes, received: float) -> Moment:
    """Make a moment of a publication with its picture, ``received`` at a time of day.

    Raises:
        BadMessage: it is not of the wire's form, or raw pixels are not of their size.
    """
    picture = body.get("picture")
    shown = None if picture is None else image
    if picture is not None and picture.get("encoding") == RAW:
        shown = encode_png(parse_request(picture, image).decode())
    answer = {key: value for key, value in body.items() if key != "picture"}
    return Moment(stream, _captured(body, received), answer, shown)


def moment_of_fate(stream: str, observation: Observation, fate: Fate, time: float) -> Moment:
    """Make a moment of an answer in a flight; its picture is the one that was sent."""
    body = {key: value for key, value in fate.body.items() if key != "mask"}
    body["camera"] = None if observation.camera is None else camera_header(observation.camera)
    if observation.target is not None:
        body["truth"] = {"target": list(observation.target)}
    return Moment(stream, time, body, as_file(observation.image))


def _captured(body: dict[str, Any], received: float) -> float:
    """The client's time of capture where its clock shows the time of day, else when the server got the picture."""
    captured = body.get("captured_at")
    if isinstance(captured, int | float) and abs(captured - received) < NEARBY:
        return float(captured)
    return received - float(body.get("held_ms") or 0.0) / 1000
