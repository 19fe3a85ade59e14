"""Pictures survive the codec, and what is no picture is refused by name."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from quadfollow_core.codec import (
    decode_depth,
    decode_image,
    decode_rle,
    encode_jpeg,
    encode_png,
    encode_rle,
    sniff,
)
from quadfollow_core.errors import BadImage, BadInput, LimitExceeded, UnsupportedEncoding


def gradient(height: int = 40, width: int = 60) -> np.ndarray:
    """A smooth picture whose three channels differ, so that a swap of channels shows."""
    v, u = np.mgrid[0:height, 0:width]
    return np.stack([u * 255 // width, v * 255 // height, np.full_like(u, 30)], axis=2).astype(np.uint8)


def saved(image: np.ndarray, encoding: str, **options: object) -> bytes:
    """The picture as Pillow writes it: an encoder that is not ours."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, encoding, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises a size and holds no pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("encoding", ["jpeg", "png", "webp"])
def test_decodes_what_another_library_wrote(encoding: str) -> None:
    """A JPEG, PNG or WebP by Pillow comes back as RGB of the same shape and nearly the same values."""
    image = gradient()
    decoded = decode_image(saved(image, encoding), encoding)
    assert decoded.shape == image.shape
    assert decoded.dtype == np.uint8
    assert np.abs(decoded.astype(int) - image).mean() < 4


def test_jpeg_keeps_the_colour_order() -> None:
    """A red picture is red after a round trip through our own encoder."""
    red = np.zeros((32, 32, 3), np.uint8)
    red[:, :, 0] = 200
    decoded = decode_image(encode_jpeg(red))
    assert decoded[:, :, 0].mean() > 190
    assert decoded[:, :, 2].mean() < 10


def test_grey_and_palette_pictures_become_rgb() -> None:
    """Pictures of other colour modes decode to three channels."""
    grey = np.full((8, 9), 77, np.uint8)
    assert decode_image(saved(grey, "png")).shape == (8, 9, 3)
    assert decode_image(saved(grey, "jpeg"))[4, 4].tolist() == [77, 77, 77]


@pytest.mark.parametrize("encoding", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_truncated_pictures_are_refused(encoding: str, share: float) -> None:
    """A file cut short is an error, not a picture with a grey stripe."""
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    data = saved(noise, encoding)
    with pytest.raises(BadImage):
        decode_image(data[: int(len(data) * share)])


@pytest.mark.parametrize("data", [b"", b"GIF89a....", b"hello", b"\xff\xd8\xff", b"RIFF0000WEBP", b"\x89PNG\r\n\x1a\n"])
def test_non_pictures_are_refused(data: bytes) -> None:
    """Bytes that are no picture raise BadImage."""
    with pytest.raises(BadImage):
        decode_image(data)


def test_a_huge_header_is_refused_before_decoding() -> None:
    """A PNG header of 50,000 x 50,000 names the limit it broke."""
    with pytest.raises(LimitExceeded, match=r"max_pixels.*16777216.*50000x50000"):
        decode_image(png_header(50_000, 50_000))


def test_a_webp_bomb_is_refused_by_its_limit() -> None:
    """A WebP canvas of 16,383 x 16,383 pixels is over the limit, not a fault of the server's."""
    canvas = (16_382).to_bytes(3, "little")
    extended = b"VP8X" + struct.pack("<I", 10) + bytes([2, 0, 0, 0]) + canvas + canvas
    animation = b"ANIM" + struct.pack("<I", 6) + bytes(6)
    body = b"WEBP" + extended + animation
    with pytest.raises(LimitExceeded, match="max_pixels"):
        decode_image(b"RIFF" + struct.pack("<I", len(body)) + body)


def test_a_webp_below_pillows_limit_is_refused_by_ours() -> None:
    """A WebP header of 5,000 x 5,000 names the limit it broke."""
    data = bytearray(saved(gradient(), "webp"))
    size = data.index(b"VP8 ") + 14
    data[size : size + 4] = struct.pack("<HH", 5_000, 5_000)
    with pytest.raises(LimitExceeded, match=r"max_pixels.*5000x5000"):
        decode_image(bytes(data))


def test_a_jpeg_of_endless_scans_is_refused_before_decoding() -> None:
    """A few bytes per scan must not buy a pass over all pixels each."""
    data = saved(gradient(), "jpeg", progressive=True)
    assert decode_image(data).shape == (40, 60, 3)
    last = data.rindex(b"\xff\xda")
    scan = data[last:-2]
    with pytest.raises(LimitExceeded, match="max_scans"):
        decode_image(data[:-2] + 100 * scan + data[-2:])


def test_a_png_chunk_that_trips_pillow_is_a_bad_image() -> None:
    """An empty colour profile behind the pixels is damage, whatever Pillow raises over it."""
    data = saved(gradient(), "png")
    profile = struct.pack(">I", 0) + b"iCCP" + struct.pack(">I", zlib.crc32(b"iCCP"))
    end = data.rindex(b"IEND") - 4
    for decode in (decode_image, decode_depth):
        with pytest.raises(BadImage):
            decode(data[:end] + profile + data[end:])


def test_sixteen_bit_frames_are_refused_rather_than_clipped() -> None:
    """A 16-bit grey picture would turn white; it is refused with the reason."""
    with pytest.raises(BadImage, match="8 bits"):
        decode_image(saved(np.full((8, 8), 5000, np.uint16), "png"))


def test_the_declared_encoding_must_be_the_real_one() -> None:
    """JPEG bytes declared as PNG are refused, and so is an unknown encoding."""
    data = encode_jpeg(gradient())
    with pytest.raises(UnsupportedEncoding, match="declared as png but the bytes are jpeg"):
        decode_image(data, "png")
    with pytest.raises(UnsupportedEncoding, match="bmp"):
        decode_image(data, "bmp")


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_raise_our_own_error(data: bytes) -> None:
    """Whatever the bytes, the codec answers with a picture or one of its own errors."""
    for prefix in (b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x20\x00\x00\x00WEBPVP8 "):
        try:
            assert decode_image(prefix + data).ndim == 3
        except (BadInput, LimitExceeded):
            continue


def test_png_of_a_mask_is_exact() -> None:
    """A single-channel class mask survives PNG bit for bit."""
    mask = np.random.default_rng(1).integers(0, 3, (33, 47), dtype=np.uint8)
    assert sniff(encode_png(mask)) == "png"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode_png(mask)))), mask)


def test_depth_png_keeps_sixteen_bits_and_takes_colour() -> None:
    """A 16-bit depth PNG keeps its values, and an RGBA one (QuadSim's) gives its first channel."""
    deep = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    assert np.array_equal(decode_depth(saved(deep, "png")), deep)
    rgba = np.dstack([np.full((8, 8), 37, np.uint8)] * 3 + [np.full((8, 8), 255, np.uint8)])
    assert decode_depth(saved(rgba, "png")).tolist() == [[37] * 8] * 8


@pytest.mark.parametrize("channels", [3, 4])
def test_a_deep_depth_png_with_colours_is_refused_rather_than_rounded(channels: int) -> None:
    """Of 16-bit colours Pillow keeps the upper 8, which would bring a wall of 1000 units as near as 3."""
    wrote, data = cv2.imencode(".png", np.full((8, 8, channels), 1000, np.uint16))
    assert wrote
    with pytest.raises(BadImage, match="one channel"):
        decode_depth(data.tobytes())
    deep = cv2.imencode(".png", np.full((8, 8), 1000, np.uint16))[1]
    assert decode_depth(deep.tobytes()).max() == 1000, "control: grey"


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_depth_png_of_few_bits_is_refused_rather_than_stretched(bits: int) -> None:
    """Pillow brings 4 bits to 8, which would make 1 unit 17."""
    image = Image.fromarray(np.arange(4, dtype=np.uint8).reshape(2, 2) % 2).convert("P")
    image.putpalette([0, 0, 0, 1, 1, 1])
    data = io.BytesIO()
    image.save(data, "PNG", bits=bits)
    grey = bytearray(data.getvalue())
    grey[25] = 0
    grey[29:33] = zlib.crc32(grey[12:29]).to_bytes(4, "big")
    with pytest.raises(BadImage, match="grey of 8 or 16 bits"):
        decode_depth(bytes(grey))


def test_a_depth_png_with_a_palette_is_refused_rather_than_read_by_index() -> None:
    """Which place a value has in the palette says nothing about how far anything is."""
    data = io.BytesIO()
    Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4) * 20).quantize(12).save(data, "PNG")
    with pytest.raises(BadImage, match="palette"):
        decode_depth(data.getvalue())


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.integers(0, 2)))
def test_rle_round_trips(mask: np.ndarray) -> None:
    """Run lengths decode to the mask they came from."""
    assert np.array_equal(decode_rle(encode_rle(mask), mask.shape[1], mask.shape[0]), mask)


@pytest.mark.parametrize(
    "runs",
    [
        [1, 3],
        [1],
        [0, -4],
        [0, 5, 1, 10],
        [],
        [0, 2**62] * 4 + [1, 12],
        [0, 2**70],
        [256, 12],
        [0, "twelve"],
        [[0], [12, 1]],
        None,
    ],
    ids=repr,
)
def test_rle_that_does_not_fill_the_mask_is_refused(runs: list[int]) -> None:
    """Run lengths that miss the mask's size are an error, also where their sum wraps around to it."""
    with pytest.raises(BadImage):
        decode_rle(runs, 4, 3)
