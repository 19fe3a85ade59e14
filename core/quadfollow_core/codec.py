"""Pictures to bytes and back: one decoder for training, evaluation and serving.

JPEG is decoded by libjpeg-turbo (through simplejpeg, in strict mode, so a truncated file is an error and not a
grey stripe), PNG and WebP by Pillow. A picture's size is read from its header and checked before any pixel is
decoded. EXIF orientation is ignored: pixels are those the camera stored.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from quadfollow_core.errors import BadImage, BadInput, LimitExceeded, QuadfollowError, UnsupportedEncoding

MEDIA_TYPES = {"jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp"}
Encoding = Literal["jpeg", "png", "webp"]
MAX_PIXELS = 4096 * 4096
MAX_JPEG_SIDE = 65500
"""Most pixels along a side of a JPEG that libjpeg writes."""
MAX_SCANS = 64
"""Most scans of a JPEG. A progressive one has about ten; each costs a pass over all pixels, for 33 bytes."""
EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX")
"""Pillow's colour modes that convert to RGB without clipping."""
START_OF_SCAN = b"\xff\xda"
"""Cannot occur inside a scan's data, where 0xff is always followed by 0x00 or a restart marker."""


def sniff(data: bytes | memoryview) -> Encoding:
    """Name the encoding by the data's first bytes.

    Raises:
        BadImage: nothing there, or neither JPEG, PNG nor WebP.
    """
    head = bytes(data[:12])
    if not head:
        raise BadImage("the image is empty: send the bytes of a JPEG, PNG or WebP file")
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "webp"
    raise BadImage(f"neither JPEG, PNG nor WebP: the data starts with {head[:4].hex(' ')}")


def decode_image(
    data: bytes | memoryview, encoding: str | None = None, *, max_pixels: int = MAX_PIXELS
) -> NDArray[np.uint8]:
    """Decode to ``(H, W, 3)`` uint8 RGB.

    Args:
        data: a whole JPEG, PNG or WebP file.
        encoding: what the sender says it is (``jpeg``, ``png``, ``webp``); None to go by the bytes alone.
        max_pixels: largest ``H * W`` accepted, checked from the header.

    Raises:
        UnsupportedEncoding: ``encoding`` is unknown or the bytes contradict it.
        LimitExceeded: the header promises more than ``max_pixels``.
        BadImage: damaged, truncated or empty data.
    """
    if encoding is not None and encoding not in MEDIA_TYPES:
        raise UnsupportedEncoding(f"encoding {encoding!r} is not taken: use {', '.join(MEDIA_TYPES)}")
    actual = sniff(data)
    if encoding is not None and actual != encoding:
        raise UnsupportedEncoding(f"declared as {encoding} but the bytes are {actual}")
    return _decode_jpeg(data, max_pixels) if actual == "jpeg" else _decode_pillow(data, actual, max_pixels)


def _decode_jpeg(data: bytes | memoryview, max_pixels: int) -> NDArray[np.uint8]:
    scans = bytes(data).count(START_OF_SCAN)
    if scans > MAX_SCANS:
        raise LimitExceeded("max_scans", got=scans, allowed=MAX_SCANS)
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
        check_size(width, height, max_pixels)
        image: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, "RGB")
    except ValueError as error:
        raise BadImage(f"damaged JPEG: {error}") from error
    return image


def _decode_pillow(data: bytes | memoryview, encoding: Encoding, max_pixels: int) -> NDArray[np.uint8]:
    with _opened(data, encoding, max_pixels) as picture:
        if picture.mode not in EIGHT_BIT_MODES:
            raise BadImage(f"a frame has 8 bits a channel, this {encoding.upper()} is of mode {picture.mode}")
        return np.asarray(picture.convert("RGB"))


@contextmanager
def _opened(data: bytes | memoryview, encoding: Encoding, max_pixels: int) -> Iterator[ImageFile]:
    """Open a PNG or WebP whose size is within bounds; Pillow's exceptions on the way become BadImage."""
    # The plug-in's class, not Image.open, which warns below a bomb limit of its own.
    kind = PngImageFile if encoding == "png" else WebPImageFile
    try:
        with kind(io.BytesIO(data)) as picture:
            check_size(*picture.size, max_pixels)
            yield picture
    except (QuadfollowError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise LimitExceeded("max_pixels", got=str(error), allowed=max_pixels) from error
    except Exception as error:  # Pillow's plug-ins raise whatever a damaged file makes them stumble over
        raise BadImage(f"damaged {encoding.upper()}: {error!r}") from error


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Refuse a picture that is too large.

    Raises:
        LimitExceeded: it has more than ``max_pixels``.
    """
    if width * height > max_pixels:
        raise LimitExceeded("max_pixels", got=f"{width}x{height} = {width * height}", allowed=max_pixels)


def as_file(image: NDArray[np.uint8] | bytes | bytearray | memoryview, quality: int = 90) -> bytes:
    """Return the bytes of a picture's file as they are, and ``(H, W, 3)`` uint8 RGB as JPEG.

    Raises:
        BadInput: neither bytes nor such pixels.
    """
    if isinstance(image, np.ndarray):
        return encode_jpeg(image, quality)
    if not isinstance(image, bytes | bytearray | memoryview):
        raise BadInput(
            f"an image is the bytes of a file, or (height, width, 3) uint8 RGB pixels, got {type(image).__name__}; "
            "cv2.imread returns None for what it cannot read"
        )
    return bytes(image)


def encode_jpeg(image: NDArray[np.uint8], quality: int = 75) -> bytes:
    """Encode ``(H, W, 3)`` uint8 RGB as JPEG 4:2:0, QuadSim's own quality by default.

    Raises:
        BadInput: pixels of another form, or more than MAX_JPEG_SIDE along a side.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise BadInput(
            f"pixels are (height, width, 3) uint8 RGB, got {image.dtype} {image.shape}; a picture that is encoded "
            "already is given as bytes (after cv2.imencode: .tobytes())"
        )
    if max(image.shape) > MAX_JPEG_SIDE:
        raise BadInput(f"a JPEG has at most {MAX_JPEG_SIDE} pixels along a side, got {image.shape}: send it as PNG")
    data: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality, "RGB", "420")
    return data


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """Encode ``(H, W)`` uint8 or ``(H, W, 3)`` uint8 RGB as PNG."""
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    return bytes(cv2.imencode(".png", pixels)[1])


FORM = slice(24, 26)
"""Where a PNG says how many bits a channel has, and its colour type."""
DEPTH_FORMS = (b"\x08\0", b"\x08\2", b"\x08\4", b"\x08\6", b"\x10\0")
"""8 bits in grey or in colours, with or without transparency, or 16 in grey: what Pillow reads value by value."""


def decode_depth(data: bytes | memoryview, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint16]:
    """Decode a depth PNG (grey of 8 or 16 bits, or 8 bits with equal colour channels) to its raw ``(H, W)`` values.

    Raises:
        BadImage: not a readable PNG, or one of another form, whose values Pillow would change: of 16 bits and several
            channels it keeps 8, fewer bits it stretches, and a palette's indices are no depth.
        LimitExceeded: the header promises more than ``max_pixels``.
    """
    if sniff(data) != "png":
        raise BadImage("a depth picture must be a PNG")
    with _opened(data, "png", max_pixels) as picture:
        if bytes(data[FORM]) not in DEPTH_FORMS:
            raise BadImage("a depth PNG has one channel, grey of 8 or 16 bits, or 8 bits and colours, but no palette")
        values = np.asarray(picture)
    return (values if values.ndim == 2 else values[:, :, 0]).astype(np.uint16)


def encode_rle(mask: NDArray[np.uint8]) -> list[int]:
    """Run-length encode a ``(H, W)`` class mask, row by row: ``[class, run, class, run, …]``."""
    flat = mask.ravel()
    starts = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1])
    runs = np.diff(np.concatenate([starts, [flat.size]]))
    encoded: list[int] = np.column_stack([flat[starts], runs]).ravel().tolist()
    return encoded


def decode_rle(encoded: list[int], width: int, height: int) -> NDArray[np.uint8]:
    """Invert :func:`encode_rle` to a ``(height, width)`` uint8 mask.

    Raises:
        BadImage: the runs are not classes and lengths by turns, or do not fill the mask exactly.
    """
    size = width * height
    try:
        pairs = np.asarray(encoded, dtype=np.int64).reshape(-1, 2)
    except (OverflowError, TypeError, ValueError) as error:
        raise BadImage(f"runs are [class, length, class, length, ...] in integers: {error}") from error
    if not ((pairs >= 0) & (pairs <= (255, size))).all() or pairs[:, 1].sum() != size:
        raise BadImage(f"the runs do not fill a {width}x{height} mask")
    return np.repeat(pairs[:, 0].astype(np.uint8), pairs[:, 1]).reshape(height, width)
