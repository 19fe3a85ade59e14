"""Whether the packages that recordings need are installed."""

from __future__ import annotations

from importlib.util import find_spec

from quadfollow_core.errors import Unavailable

PACKAGES = ("mcap", "mcap_protobuf", "foxglove_schemas_protobuf")


def require_mcap() -> None:
    """Make sure that MCAP files can be read and written.

    Raises:
        Unavailable: they cannot.
    """
    if not all(find_spec(name) for name in PACKAGES):
        raise Unavailable('recordings need the mcap package: pip install "quadfollow[record]"')
