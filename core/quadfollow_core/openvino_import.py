"""OpenVINO's module, without what its import does beside importing.

The module reports each import to a web service, from a fork of the importing process that it ends with SIGTERM where
the line hangs. In a server the fork keeps the listening sockets, and the signal reaches the server's own handler.
"""

from __future__ import annotations

import sys
from typing import Any


def import_openvino() -> Any:
    """Import OpenVINO with its telemetry made unimportable, for which OpenVINO has a stand-in that does nothing.

    Raises:
        ImportError: it is not installed, or not for this machine.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino
