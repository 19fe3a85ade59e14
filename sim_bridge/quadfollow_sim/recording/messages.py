"""A moment in Foxglove's words: which message of which schema goes to which topic.

Topics begin with the stream's name, ``/camera`` where it has none. Frames of reference: ``world``, and one named like
the stream for its camera (optical: x right, y down, z forward).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from foxglove_schemas_protobuf.CameraCalibration_pb2 import CameraCalibration
from foxglove_schemas_protobuf.CircleAnnotation_pb2 import CircleAnnotation
from foxglove_schemas_protobuf.CompressedImage_pb2 import CompressedImage
from foxglove_schemas_protobuf.FrameTransform_pb2 import FrameTransform
from foxglove_schemas_protobuf.ImageAnnotations_pb2 import ImageAnnotations
from foxglove_schemas_protobuf.Log_pb2 import Log
from foxglove_schemas_protobuf.PointsAnnotation_pb2 import PointsAnnotation
from foxglove_schemas_protobuf.PoseInFrame_pb2 import PoseInFrame
from foxglove_schemas_protobuf.TextAnnotation_pb2 import TextAnnotation

from quadfollow_core.codec import sniff
from quadfollow_core.geometry import Camera
from quadfollow_core.overlay import PERSON_COLOUR, TARGET_COLOUR
from quadfollow_core.request import parse_camera
from quadfollow_sim.recording.moment import Moment

WORLD = "world"
NAMELESS = "camera"
"""What a stream without a name is called."""
LOG = "/log"
IMAGE, RESULT = "image", "result"
"""The topics below a stream's name that a replay reads."""
RESULT_SCHEMA: dict[str, Any] = {
    "title": "quadfollow.Result",
    "type": "object",
    "description": "What the server published about a picture; docs/wire.md has its keys. No mask.",
    "properties": {
        "target": {"type": ["object", "null"]},
        "people": {"type": "array", "items": {"type": "object"}},
        "track": {"type": "object"},
        "timings": {"type": "object"},
        "camera": {"type": ["object", "null"]},
        "held_ms": {"type": "number"},
        "dropped": {"type": "number"},
    },
}
Level = Literal["info", "warning", "error"]
LEVELS: dict[Level, Log.Level.ValueType] = {"info": Log.INFO, "warning": Log.WARNING, "error": Log.ERROR}
LINE = 2.0
"""Thickness of a drawn line, pixels."""


class Message(NamedTuple):
    """Something to be written to a topic: a message of Foxglove's, or a JSON object."""

    topic: str
    content: Any


def messages_of(moment: Moment) -> Iterator[Message]:
    """Say a moment in messages."""
    frame = moment.stream or NAMELESS
    body = moment.body
    if moment.image is not None:
        image = CompressedImage(frame_id=frame, data=moment.image, format=sniff(moment.image))
        yield _stamped(f"/{frame}/{IMAGE}", image, moment.time)
    yield Message(f"/{frame}/{RESULT}", body)
    yield Message(f"/{frame}/annotations", _annotations(body, moment.time))
    camera = parse_camera(body.get("camera"))
    if camera is not None:
        yield from _camera(camera, frame, body.get("frame") or {}, moment.time)
    for name, place in (("target", _tracked(body)), ("truth", (body.get("truth") or {}).get("target"))):
        if place is not None:
            yield _stamped(f"/{frame}/{name}", _pose(place), moment.time)


def log_message(time: float, level: Level, text: str) -> Message:
    """A line of the recording's log."""
    return _stamped(LOG, Log(level=LEVELS[level], message=text, name="quadfollow"), time)


def nanoseconds(time: float) -> int:
    """Seconds since 1970 as whole nanoseconds, none below zero."""
    return max(0, round(time * 1e6)) * 1000


def _stamped(topic: str, content: Any, time: float) -> Message:
    content.timestamp.FromNanoseconds(nanoseconds(time))
    return Message(topic, content)


def _tracked(body: dict[str, Any]) -> list[float] | None:
    """Where the target is in the world: its track's place, else where it was seen."""
    track = body.get("track") or {}
    if track.get("space") == WORLD:
        return list(track["position"])
    place = (body.get("target") or {}).get("world")
    return None if place is None else list(place)


def _pose(place: list[float]) -> PoseInFrame:
    pose = PoseInFrame(frame_id=WORLD)
    pose.pose.position.x, pose.pose.position.y, pose.pose.position.z = place
    pose.pose.orientation.w = 1.0
    return pose


def _camera(camera: Camera, frame: str, size: dict[str, Any], time: float) -> Iterator[Message]:
    lens = camera.intrinsics
    calibration = CameraCalibration(frame_id=frame, width=int(size.get("width", 0)), height=int(size.get("height", 0)))
    # OpenCV's and Foxglove's pixels have their centres at whole numbers, ours at halves.
    calibration.K[:] = [lens.fx, 0, lens.cx - 0.5, 0, lens.fy, lens.cy - 0.5, 0, 0, 1]
    calibration.P[:] = [lens.fx, 0, lens.cx - 0.5, 0, 0, lens.fy, lens.cy - 0.5, 0, 0, 0, 1, 0]
    calibration.R[:] = [1, 0, 0, 0, 1, 0, 0, 0, 1]
    calibration.D[:] = lens.distortion
    calibration.distortion_model = "plumb_bob" if len(lens.distortion) <= 5 else "rational_polynomial"
    yield _stamped(f"/{frame}/calibration", calibration, time)
    if camera.pose is None:
        return
    transform = FrameTransform(parent_frame_id=WORLD, child_frame_id=frame)
    pose = PoseInFrame(frame_id=WORLD)
    for there in (transform.translation, pose.pose.position):
        there.x, there.y, there.z = camera.pose.position
    for turn in (transform.rotation, pose.pose.orientation):
        turn.x, turn.y, turn.z, turn.w = camera.pose.quaternion
    yield _stamped("/tf", transform, time)
    yield _stamped(f"/{frame}/drone", pose, time)


def _annotations(body: dict[str, Any], time: float) -> ImageAnnotations:
    """Boxes around everybody, a circle at the target's centroid, and a line of words; empty where nobody was seen."""
    drawn = ImageAnnotations()
    drawn.timestamp.FromNanoseconds(nanoseconds(time))
    for person in body.get("people") or ():
        _box(drawn.points.add(), person["box"], PERSON_COLOUR, time)
    target = body.get("target")
    if target is not None:
        _box(drawn.points.add(), target["box"], TARGET_COLOUR, time)
        _circle(drawn.circles.add(), target["centroid"], time)
        _words(drawn.texts.add(), body, time)
    return drawn


def _box(points: PointsAnnotation, box: list[float], colour: tuple[int, int, int], time: float) -> None:
    left, top, right, bottom = box
    points.timestamp.FromNanoseconds(nanoseconds(time))
    points.type, points.thickness = PointsAnnotation.LINE_LOOP, LINE
    _paint(points.outline_color, colour)
    for x, y in ((left, top), (right, top), (right, bottom), (left, bottom)):
        points.points.add(x=x, y=y)


def _circle(circle: CircleAnnotation, centre: list[float], time: float) -> None:
    circle.timestamp.FromNanoseconds(nanoseconds(time))
    circle.position.x, circle.position.y = centre
    circle.diameter, circle.thickness = 4 * LINE, LINE
    _paint(circle.outline_color, TARGET_COLOUR)


def _words(text: TextAnnotation, body: dict[str, Any], time: float) -> None:
    target, state = body["target"], (body.get("track") or {}).get("state")
    distance = target.get("distance")
    parts = [f"{target['confidence']:.2f}", None if distance is None else f"{distance:.1f} m", state]
    text.timestamp.FromNanoseconds(nanoseconds(time))
    text.position.x, text.position.y = target["box"][0], target["box"][3]
    text.text, text.font_size = ", ".join(part for part in parts if part), 12.0
    _paint(text.text_color, TARGET_COLOUR)


def _paint(colour: Any, rgb: tuple[int, int, int]) -> None:
    colour.r, colour.g, colour.b = (value / 255 for value in rgb)
    colour.a = 1.0
