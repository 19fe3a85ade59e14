"""The hot path: one frame from bytes to answer, in one direction."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from quadfollow_core.codec import encode_png, encode_rle
from quadfollow_core.locate import Segmentation, locate
from quadfollow_core.overlay import draw_overlay
from quadfollow_core.request import FrameRequest, Result
from quadfollow_core.resize import fit_frame
from quadfollow_core.track import Track
from quadfollow_core.types import Sighting
from quadfollow_server.segmenter import Segmenter

Follow = Callable[[Sighting], Track]
"""Takes what one frame of a stream showed and tells the stream's track."""


def process(
    request: FrameRequest,
    segmenter: Segmenter,
    *,
    max_pixels: int,
    overlay: bool = False,
    follow: Follow | None = None,
    alone: Callable[[], bool] = lambda: True,
) -> Result:
    """Answer one frame: decode, fit, segment, locate, track, encode.

    With ``overlay`` the result's picture is the frame with its overlay instead of the class mask; with ``follow`` the
    answer has the stream's track. ``alone`` is asked before inference whether this is the only frame worked on.

    Raises:
        BadInput, LimitExceeded: the frame is not what it claims to be, or too large.
        Unavailable: inference failed.
    """
    rule = request.rule(segmenter.contract.rule)
    watch = Stopwatch()
    frame, depth = request.decode(max_pixels), request.decode_depth(max_pixels)
    watch.lap("decode_ms")
    image, letterbox = fit_frame(frame, segmenter.contract.size)
    watch.lap("resize_ms")
    classes, probability = segmenter.segment(image, alone=alone())
    watch.lap("infer_ms")
    seen = Segmentation(classes, probability, letterbox, (frame.shape[1], frame.shape[0]))
    sighting = locate(seen, rule, request.camera, depth, people="people" in request.want)
    watch.lap("locate_ms")
    place = {}
    if follow is not None:
        place["track"] = follow(sighting).as_dict()
        watch.lap("track_ms")
    mask, picture = _mask(request, seen)
    if overlay:
        picture = encode_png(draw_overlay(frame, classes, letterbox, sighting))
    watch.lap("encode_ms")
    body = _body(request, segmenter.contract.name, seen, sighting, mask)
    return Result(body | place | {"timings": watch.laps}, picture, seen)


class Stopwatch:
    """Milliseconds per stage, each counted from the end of the one before."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """End a stage."""
        now = time.perf_counter()
        self.laps[stage] = round(1000 * (now - self._last), 3)
        self._last = now


def _body(
    request: FrameRequest, model: str, seen: Segmentation, sighting: Sighting, mask: dict[str, Any] | None
) -> dict[str, Any]:
    body = {
        "type": "result",
        "id": request.id,
        "stream": request.stream,
        "captured_at": request.captured_at,
        "model": model,
        "frame": {"width": seen.frame_size[0], "height": seen.frame_size[1]},
    } | sighting.as_dict()
    if "people" not in request.want:
        del body["people"]
    return body if mask is None else body | {"mask": mask}


def _mask(request: FrameRequest, seen: Segmentation) -> tuple[dict[str, Any] | None, bytes | None]:
    """Describe the class mask as asked for: its JSON (with the runs of an RLE) and the bytes of a PNG."""
    if "mask:rle" in request.want:
        return _described(seen, "rle") | {"runs": encode_rle(seen.classes)}, None
    if "mask:png" in request.want:
        return _described(seen, "png"), encode_png(seen.classes)
    return None, None


def _described(seen: Segmentation, encoding: str) -> dict[str, Any]:
    height, width = seen.classes.shape
    return {"encoding": encoding, "width": width, "height": height, "mask_from_frame": asdict(seen.letterbox)}
