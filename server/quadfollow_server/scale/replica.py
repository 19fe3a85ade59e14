"""What Ray Serve runs: replicas, and the gateway before them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import Headers, QueryParams
from starlette.types import ASGIApp, Receive, Scope, Send

from quadfollow_server.http_door import build_app
from quadfollow_server.http_gate import guarded
from quadfollow_server.models import Loader
from quadfollow_server.problems import document
from quadfollow_server.scale.gateway import Addresses, Gateway
from quadfollow_server.scale.member import Member
from quadfollow_server.scale.options import Options
from quadfollow_server.service import Service

log = logging.getLogger(__name__)

FIND_SECONDS = 2.0
"""Time between two looks at where the gateway is."""
STICKY = "x-session-id"
"""The header by which Ray Serve brings requests of one session to one replica."""


class GatewayReplica:
    """The one gateway, as Ray Serve runs it."""

    def __init__(self, options: Options) -> None:
        from ray.util import get_node_ip_address

        self._gateway = Gateway(options.settings(), get_node_ip_address())

    async def addresses(self) -> Addresses:
        """Where it is reached."""
        return self._gateway.addresses

    async def streams(self) -> dict[str, int]:
        """How many streams each replica has."""
        return self._gateway.streams

    async def __del__(self) -> None:
        """End (called by Ray Serve)."""
        self._gateway.close()


class Replica:
    """One engine with the HTTP routes, as Ray Serve runs it.

    Args:
        options: how to serve.
        load: makes the models, if it is not the usual loader.
        gateway: Ray Serve's handle of the gateway.
    """

    def __init__(self, options: Options, load: Loader | None, gateway: Any) -> None:
        from ray.serve import get_replica_context

        self._member = Member(get_replica_context().replica_id.unique_id, options.settings(), load)
        self._gateway = gateway
        self._finding = asyncio.create_task(self._find())

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """The same routes as anywhere else (called by Ray Serve)."""
        return routes(self._member.service)

    async def reconfigure(self, config: Mapping[str, Any]) -> None:
        """Serve the models of a new ``user_config``; the old ones answer until the new ones have run once.

        Raises:
            NotFound, BadModel, Unavailable: the old ones stay.
        """
        await self._member.serve(config["models"])

    async def check_health(self) -> None:
        """Have this replica replaced where inference hangs.

        Raises:
            RuntimeError: it does.
        """
        if (hangs := self._member.service.hangs) is not None:
            raise RuntimeError(hangs)

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """What the number of replicas is decided by."""
        return {"busy": self._member.busy()}

    async def __del__(self) -> None:
        """Answer what is under way and end (called by Ray Serve)."""
        self._finding.cancel()
        await self._member.leave()

    async def _find(self) -> None:
        """Keep to the gateway, wherever Ray Serve runs it."""
        known = None
        while True:
            try:
                found = await self._gateway.addresses.remote()
            except Exception as error:  # noqa: BLE001  it comes back, and Ray's exceptions have no common base
                log.warning("no gateway: %s", error)
            else:
                if found != known:
                    self._member.connect(found)
                    known = found
            await asyncio.sleep(FIND_SECONDS)


def routes(service: Service) -> ASGIApp:
    """The HTTP door of one replica."""
    access = service.settings.access
    # Where HTTP listens is Ray's to say, not our settings'.
    return guarded(SameReplica(build_app(service)), access, access.clients(), None, service.metrics)


class SameReplica:
    """Refuses frames of a stream that may have come to any replica: a track would jump between them.

    Args:
        app: what answers all others.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection's scope (ASGI)."""
        if scope["type"] == "http":
            stream = QueryParams(scope["query_string"]).get("stream")
            if stream and STICKY not in Headers(scope=scope):
                detail = f"a stream needs the header {STICKY} too, with one value for all its frames: see docs/scale.md"
                return await document(400, "bad-message", detail)(scope, receive, send)
        return await self._app(scope, receive, send)
