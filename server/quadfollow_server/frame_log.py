"""What the log tells of each frame, at level debug only, since any client causes these lines.

Every line has the frame's ``id``, ``stream`` and ``door``, so that it can be found from its receipt to its answer.
"""

from __future__ import annotations

import logging

from quadfollow_core.errors import QuadfollowError
from quadfollow_core.request import Result
from quadfollow_server.jobs import Dropped, Job, Outcome
from quadfollow_server.logs import Facts

log = logging.getLogger("quadfollow_server.frames")


def tell_frame(event: str, job: Job, **more: object) -> None:
    """Tell one step of a frame's way."""
    if log.isEnabledFor(logging.DEBUG):
        asked = job.request
        log.debug(f"frame {event} %s", Facts(id=asked.id, stream=asked.stream, door=job.door, **more))


def tell_outcome(job: Job, outcome: Outcome) -> None:
    """Tell what became of a frame: ``answered`` with its stages' times, ``dropped`` with the reason, or ``refused``."""
    if not log.isEnabledFor(logging.DEBUG):
        return
    match outcome:
        case Result(body=body):
            told = {"model": body["model"], "found": body["target"] is not None, "timings": body["timings"]}
            tell_frame("answered", job, held_ms=body["held_ms"], **told)
        case Dropped():
            tell_frame("dropped", job, held_ms=outcome.held_ms, reason=outcome.reason)
        case QuadfollowError():
            tell_frame("refused", job, held_ms=job.held_ms, code=outcome.code, detail=str(outcome))


def tell_refusal(door: str, error: QuadfollowError, **names: object) -> None:
    """Tell of a request that was refused before it was a frame."""
    if log.isEnabledFor(logging.DEBUG):
        log.debug("frame refused %s", Facts(**names, door=door, code=error.code, detail=str(error)))
