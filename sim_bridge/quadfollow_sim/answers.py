"""What an answer says, read with care: a server that keeps to the wire is not the only one that answers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from quadfollow_core.codec import decode_image
from quadfollow_core.errors import BadInput, BadMessage, QuadfollowError
from quadfollow_core.resize import Letterbox
from quadfollow_core.stream_client import Fate


@contextlib.contextmanager
def well_formed() -> Iterator[None]:
    """Turn whatever reading an answer raises that is not of the wire's form into a BadMessage."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, QuadfollowError) as error:
        raise BadMessage(f"not of the wire's form: {error!r}") from error


def legible(fate: Fate, *, mask: bool = True) -> Fate:
    """A fate as it is, or as an error where what is read of its answer here is none of the wire's form.

    ``mask``: whether its mask is looked at, too, which takes a millisecond.
    """
    try:
        with well_formed():
            _ = fate.track, fate.sighting
            if fate.outcome == "result":
                _ = frame_size(fate), times_of(fate), mask_of(fate) if mask else None
    except BadMessage as error:
        return Fate(fate.id, "error", fate.age, {"detail": f"an answer that cannot be read: {error}"})
    return fate


def frame_size(fate: Fate) -> tuple[int, int]:
    """Width and height of the frame as the server saw it.

    Raises:
        BadInput: the answer does not say.
    """
    match fate.body.get("frame"):
        case {"width": int(width), "height": int(height)} if width > 0 and height > 0:
            return width, height
    raise BadInput("a result says the frame's width and height")


def times_of(fate: Fate) -> tuple[float | None, dict[str, float]]:
    """Milliseconds that the server held the frame for, if it says so, and those of its stages."""
    held, stages = fate.body.get("held_ms"), fate.body.get("timings", {})
    return None if held is None else float(held), {stage: float(time) for stage, time in stages.items()}


def mask_of(fate: Fate) -> tuple[NDArray[np.uint8], Letterbox] | None:
    """The answer's ``(h, w)`` class mask at the model's size, and how the frame lies in it; None where none came."""
    if fate.mask_png is None:
        return None
    place = {key: float(value) for key, value in fate.body["mask"]["mask_from_frame"].items()}
    return decode_image(fate.mask_png, "png")[:, :, 0], Letterbox(**place)


def reason_of(fate: Fate) -> str | None:
    """Why a frame has no result, in the server's words; None where it has one, or nobody told."""
    if fate.outcome == "result":
        return None
    told = fate.body.get("reason") or fate.body.get("detail")
    return None if told is None else str(told)
