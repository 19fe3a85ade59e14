"""The shape of HTTP answers, for the generated documentation. The hot path writes plain JSON and never loads these;
a test holds real answers against them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from quadfollow_core.track import MAX_TIME


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Size(_Shape):
    """A picture's size in pixels."""

    width: int
    height: int


class BlobShape(_Shape):
    """One connected group of pixels, in pixels of the frame as sent."""

    centroid: tuple[float, float] = Field(description="mean (u, v) = (column, row); centres at half integers")
    box: tuple[float, float, float, float] = Field(description="outer edges: left, top, right, bottom")
    area: float = Field(description="square pixels of the frame as sent")


class TargetShape(BlobShape):
    """The person to follow; what the request does not allow to compute is null."""

    confidence: float = Field(description="mean target probability over the blob")
    azimuth: float | None = Field(description="radians, right positive; needs a camera")
    elevation: float | None = Field(description="radians, up positive; needs a camera")
    distance: float | None = Field(description="metres; needs a camera")
    distance_source: Literal["depth", "height"] | None = Field(description="measured, or estimated from the height")
    world: tuple[float, float, float] | None = Field(description="metres, world frame; needs the camera's pose")


class Transform(_Shape):
    """Where the frame lies in the mask: ``u_mask = scale_u * u_frame + offset_u``, likewise v."""

    scale_u: float
    scale_v: float
    offset_u: float
    offset_v: float


class MaskShape(_Shape):
    """The class mask at the model's size: 0 background, 1 person, 2 target."""

    encoding: Literal["rle", "png"]
    width: int
    height: int
    mask_from_frame: Transform
    runs: list[int] | None = Field(None, description="rle: class, run, class, run, ... row by row")
    data: str | None = Field(None, description="png: base64 of a single-channel PNG of class ids")


class TrackShape(_Shape):
    """The stream's target over time, as of this frame; vectors are empty while it has no place."""

    state: Literal["searching", "following", "coasting", "lost"]
    time: float = Field(description="captured_at, or the server's clock where none was given; seconds")
    space: Literal["world", "bearing", "pixel"] | None
    position: list[float] = Field(description="world: x, y, z in metres; bearing: azimuth, elevation; pixel: u, v")
    velocity: list[float] = Field(description="the same per second")
    position_sigma: list[float] = Field(description="one standard deviation per axis")
    velocity_sigma: list[float]
    age: float | None = Field(description="seconds since the target was last seen")
    updates: int = Field(description="sightings taken in")
    distance: float | None = Field(description="metres from the camera")
    distance_source: Literal["depth", "height"] | None
    confidence: float | None = Field(description="of the last sighting taken in")


class SegmentAnswer(_Shape):
    """What was located in one frame."""

    type: Literal["result"]
    id: str | None = Field(description="as given in the query")
    stream: str
    captured_at: float | None = Field(description="as given in the query")
    model: str
    frame: Size
    target: TargetShape | None
    people: list[BlobShape]
    track: TrackShape | None = None
    mask: MaskShape | None = None
    timings: dict[str, float] = Field(description="milliseconds per stage")
    held_ms: float = Field(description="milliseconds from the request's receipt to this answer")
    dropped: int = Field(description="frames of this stream that were dropped so far")


class ProblemShape(BaseModel):
    """An error (RFC 9457)."""

    model_config = ConfigDict(extra="allow")
    type: str
    title: str
    status: int
    detail: str = Field(description="what is wrong, and where there is one, the remedy")
    code: str = Field(description="stable word for the kind of error")
    limit: str | None = Field(None, description="name of the limit that was passed")
    allowed: float | None = Field(None, description="its value")


_BINARY = {"type": "string", "format": "binary"}
_IMAGES = ("image/jpeg", "image/png", "image/webp", "application/octet-stream")
_MULTIPART = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": _BINARY | {"description": "the image"},
        "camera": {"type": "object", "description": "fx, fy, cx, cy[, distortion][, pose]"},
        "depth": _BINARY | {"description": "a depth picture; needs depth_header"},
        "depth_header": {"type": "object", "description": "encoding, scale[, max_value][, width, height]"},
    },
}
_PARAMETERS: dict[str, tuple[dict[str, Any], str]] = {
    "model": ({"type": "string"}, "name of a model in /info; the default one if absent"),
    "stream": ({"type": "string"}, "name of the stream this frame belongs to; its results are published"),
    "id": ({"type": "string"}, "repeated in the answer"),
    "captured_at": ({"type": "number", "minimum": -MAX_TIME, "maximum": MAX_TIME}, "repeated in the answer"),
    "track": ({"enum": ["0", "1"], "default": "0"}, "add the stream's track; needs a stream"),
    "reset_track": ({"enum": ["0", "1"], "default": "0"}, "forget the stream's target first"),
    "mask": ({"enum": ["none", "rle", "png"], "default": "none"}, "add the class mask"),
    "overlay": ({"enum": ["0", "1"], "default": "0"}, "with Accept: image/png: the frame with its overlay"),
    "threshold": ({"type": "integer", "minimum": 1, "maximum": 255}, "target probability times 255"),
    "min_area": ({"type": "integer", "minimum": 1}, "smallest blob in mask pixels"),
    "deadline_ms": ({"type": "number", "exclusiveMinimum": 0}, "drop the frame if it waits longer than this"),
}

SEGMENT_REQUEST: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {media: {"schema": _BINARY} for media in _IMAGES} | {"multipart/form-data": {"schema": _MULTIPART}},
    },
    "parameters": [
        {"name": name, "in": "query", "required": False, "schema": schema, "description": text}
        for name, (schema, text) in _PARAMETERS.items()
    ],
}
_PROBLEM: dict[str, Any] = {"content": {"application/problem+json": {"schema": ProblemShape.model_json_schema()}}}
SEGMENT_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": SegmentAnswer, "content": {"image/png": {}}, "description": "JSON, or a PNG by Accept: image/png"},
    400: _PROBLEM | {"description": "image, query, camera or depth are wrong"},
    404: _PROBLEM | {"description": "no model of this name"},
    408: _PROBLEM | {"description": "the body took too long to arrive"},
    413: _PROBLEM | {"description": "a limit of /info was passed"},
    415: _PROBLEM | {"description": "this encoding is not taken, or the bytes contradict it"},
    429: _PROBLEM | {"description": "as many frames of this client wait, or as many bytes, as may: try again"},
    503: _PROBLEM | {"description": "overloaded, not ready, or the frame was dropped: try again"},
}
HANGS: dict[int | str, dict[str, Any]] = {503: _PROBLEM | {"description": "inference hangs"}}
NOT_READY: dict[int | str, dict[str, Any]] = {503: _PROBLEM | {"description": "loading, or stopping"}}
