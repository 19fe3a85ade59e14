"""Every error quadfollow raises on purpose, in one tree.

    QuadfollowError
    ├── BadInput              what was handed in is wrong; the caller can mend it
    │   ├── BadImage          the bytes are not the picture they claim to be
    │   ├── UnsupportedEncoding
    │   ├── BadGeometry       camera, pose or depth that make no sense
    │   └── BadMessage        a request that is not of the form the door expects
    ├── LimitExceeded         a stated limit was passed; carries its name and value
    ├── Overloaded            no room now, try again
    ├── NotFound              a model or stream that is not here
    ├── BadDataset            unreadable or unpaired files, all of them named
    ├── BadModel              a model file that cannot be used, or a contract it does not meet
    ├── ExportRefused         an export out of tolerance
    ├── Unavailable           something this machine lacks: an extra, a provider, a port
    └── ServerGone            a client got no answer

``code`` is the stable word used in ZeroMQ ``error`` replies and HTTP problem documents, ``exit_code`` what the
console command ends with. Foreign exceptions are mapped to these at the edge where they arise.
"""

from __future__ import annotations

from collections.abc import Sequence


class QuadfollowError(Exception):
    """Base of all deliberate errors. The message names the fault and, where there is one, the remedy."""

    code = "error"
    exit_code = 1


class BadInput(QuadfollowError):
    """What was handed in is wrong, and the caller can mend it."""

    code = "bad-input"
    exit_code = 2


class BadImage(BadInput):
    """Bytes that are not the picture they claim to be: truncated, empty, damaged."""

    code = "bad-image"


class UnsupportedEncoding(BadInput):
    """A media type or encoding that is not taken here, or that the bytes contradict."""

    code = "unsupported-encoding"


class BadGeometry(BadInput):
    """Camera, pose or depth that make no sense: not finite, wrong length, wrong size."""

    code = "bad-geometry"


class BadMessage(BadInput):
    """A request that is not of the form the door expects."""

    code = "bad-message"


class LimitExceeded(QuadfollowError):
    """A stated limit was passed. ``limit`` is its name as in ``/info``, ``allowed`` its value."""

    code = "limit-exceeded"
    exit_code = 2

    def __init__(self, limit: str, *, got: object, allowed: object) -> None:
        super().__init__(f"{limit} is limited to {allowed}, got {got}")
        self.limit = limit
        self.allowed = allowed


class Overloaded(QuadfollowError):
    """No room for one more request now; the same request may succeed later.

    ``limit`` is the name as in ``/info`` of what is used up, ``allowed`` its value.
    """

    code = "overloaded"

    def __init__(self, message: str, *, limit: str, allowed: float) -> None:
        super().__init__(message)
        self.limit = limit
        self.allowed = allowed


class NotFound(QuadfollowError):
    """A model or stream that is not here."""

    code = "not-found"
    exit_code = 2


class BadDataset(QuadfollowError):
    """A data set that cannot be used; ``problems`` names every faulty file, not only the first."""

    code = "bad-dataset"
    exit_code = 3

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        super().__init__("\n  ".join([message, *problems]))
        self.problems = tuple(problems)


class BadModel(QuadfollowError):
    """A model file that cannot be read, or whose contract is missing or not met."""

    code = "bad-model"
    exit_code = 3


class ExportRefused(QuadfollowError):
    """An exported model that differs from its source by more than the stated tolerance."""

    code = "export-refused"
    exit_code = 3


class Unavailable(QuadfollowError):
    """Something this machine lacks: an optional package, an execution provider, a free port."""

    code = "unavailable"
    exit_code = 4


class ServerGone(QuadfollowError):
    """No answer from the server within the time allowed."""

    code = "server-gone"
    exit_code = 5
