"""What a client shows to be let in: an API key for HTTP and a Curve key pair for ZeroMQ, together in one file.

``quadfollow keys new`` writes such a file; the commands that talk to a server find it by QUADFOLLOW_KEY_FILE, so that
no secret stands in a command line.
"""

from __future__ import annotations

import json
import os
import re
import struct
from dataclasses import asdict, dataclass, field
from pathlib import Path

import zmq
from zmq.utils import z85

from quadfollow_core.errors import BadInput

VARIABLE = "QUADFOLLOW_KEY_FILE"
Z85_LENGTH = 40
"""Characters of a Curve key in Z85 (ZeroMQ RFC 32)."""
API_KEY = re.compile("[!-~]+")
"""What an HTTP header carries unchanged."""


@dataclass(frozen=True, slots=True)
class ClientKey:
    """The keys of one client of one server, checked at construction; neither ``repr`` nor errors show a secret."""

    name: str
    api_key: str = field(repr=False)
    """Sent over HTTP as ``Authorization: Bearer``."""
    server_key: str
    """The server's public Curve key, in Z85 as the two below."""
    public_key: str
    secret_key: str = field(repr=False)

    def __post_init__(self) -> None:
        if not (isinstance(self.api_key, str) and API_KEY.fullmatch(self.api_key)):
            raise BadInput("api_key is a string of printable ASCII characters without a space")
        for what in ("server_key", "public_key", "secret_key"):
            if not is_curve_key(getattr(self, what)):
                raise BadInput(f"{what} is no Curve key: {Z85_LENGTH} characters of Z85")

    @classmethod
    def load(cls, path: Path) -> ClientKey:
        """Read the file that ``quadfollow keys new`` wrote.

        Raises:
            BadInput: it cannot be read, or is no such file.
        """
        try:
            fields = json.loads(path.read_text())
            return cls(**{name: fields[name] for name in cls.__slots__})
        except OSError as error:
            raise BadInput(f"the key file {path} cannot be read: {error.strerror}") from error
        except (ValueError, TypeError, KeyError, RecursionError, BadInput) as error:
            why = f": {error}" if isinstance(error, BadInput) else ""
            raise BadInput(f"{path} is no key file as `quadfollow keys new` writes it{why}") from None

    @classmethod
    def from_environment(cls) -> ClientKey | None:
        """Load the file that QUADFOLLOW_KEY_FILE names; None where the variable is not set."""
        path = os.environ.get(VARIABLE)
        return cls.load(Path(path)) if path else None

    def to_json(self) -> str:
        """Write it as :meth:`load` reads it."""
        return json.dumps(asdict(self), indent=1) + "\n"

    def apply(self, socket: zmq.Socket[bytes]) -> None:
        """Make a socket that is not yet connected show this key."""
        socket.curve_serverkey = self.server_key.encode()
        socket.curve_publickey = self.public_key.encode()
        socket.curve_secretkey = self.secret_key.encode()


def is_curve_key(value: object) -> bool:
    """Whether this is a Curve key in Z85."""
    if not (isinstance(value, str) and len(value) == Z85_LENGTH and value.isascii()):
        return False
    try:
        return len(z85.decode(value.encode())) == 32
    except (KeyError, struct.error):
        return False
