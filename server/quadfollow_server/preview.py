"""One answered frame as the live view's page gets it: a JSON header and the picture, in one binary message.

The message: the header's length (uint32, little-endian), the header (UTF-8), the picture as it came in.
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from quadfollow_core.codec import MAX_JPEG_SIDE, MEDIA_TYPES, encode_jpeg, encode_rle, sniff
from quadfollow_core.request import RAW, Bytes, FrameRequest, Result, camera_header
from quadfollow_server.settings import MAX_PICTURE


@dataclass(frozen=True, slots=True)
class Preview:
    """A frame and its answer, held by reference until somebody has room for it."""

    stream: str
    """The name under which it is shown."""
    number: int
    """Answers of the stream since somebody looks."""
    answered_at: float
    """``time.monotonic()`` when it was answered."""
    request: FrameRequest
    result: Result

    def message(self, streams: Sequence[str]) -> bytes:
        """Write the message; takes a millisecond or so, and longer where raw pixels become a JPEG first."""
        media, picture = self._picture()
        header = json.dumps(self._header(streams, media), separators=(",", ":")).encode()
        return b"".join((struct.pack("<I", len(header)), header, picture))

    def _header(self, streams: Sequence[str], media: str | None) -> dict[str, Any]:
        request = self.request
        return {
            "stream": self.stream,
            "streams": list(streams),
            "number": self.number,
            "answered_at": self.answered_at,
            "media": media,
            "camera": None if request.camera is None else camera_header(request.camera),
            "truth": None if request.truth is None else {"target": request.truth},
            "mask": self._mask(),
            "result": {key: value for key, value in self.result.body.items() if key != "mask"},
        }

    def _mask(self) -> dict[str, Any] | None:
        seen = self.result.seen
        if seen is None:
            return None
        height, width = seen.classes.shape
        place = asdict(seen.letterbox)
        return {"width": width, "height": height, "mask_from_frame": place, "runs": encode_rle(seen.classes)}

    def _picture(self) -> tuple[str | None, Bytes]:
        """The picture's media type and bytes; nothing of one that is too large."""
        is_raw = self.request.encoding == RAW
        if is_raw and max(self.request.size or (0,)) > MAX_JPEG_SIDE:
            return None, b""
        picture = encode_jpeg(self.request.decode(sys.maxsize)) if is_raw else self.request.image
        return (MEDIA_TYPES[sniff(picture)], picture) if len(picture) <= MAX_PICTURE else (None, b"")
