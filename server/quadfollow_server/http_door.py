"""The HTTP door: one picture in, JSON or a picture out, and what the server tells of itself."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from http import HTTPStatus
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Route

from quadfollow_core.errors import Overloaded, QuadfollowError
from quadfollow_core.json_text import dump_finite
from quadfollow_core.request import MAX_NAME, Result
from quadfollow_server.frame_log import tell_refusal
from quadfollow_server.http_request import PNG, Asked, read_request
from quadfollow_server.jobs import INTERNAL, Dropped, Job, Outcome
from quadfollow_server.live_door import LiveDoor
from quadfollow_server.page import Page
from quadfollow_server.problems import document, dropped_problem, problem
from quadfollow_server.room import require_room
from quadfollow_server.schema import HANGS, NOT_READY, SEGMENT_REQUEST, SEGMENT_RESPONSES
from quadfollow_server.service import VERSION, Service

DOOR = "http"
USES = {"POST": "POST a picture", "GET": "GET it"}
"""What the methods that a path takes are for."""
REFUSAL_SECONDS = 0.2
"""How long who finds no room waits to be told so: asking again at once would cost those who are served."""


def build_app(service: Service) -> FastAPI:
    """Lay out the routes."""
    app = FastAPI(
        title="quadfollow",
        version=VERSION,
        description="Find the person to follow in a frame.",
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
    )
    for reference in app.routes:  # the only ones that would take HEAD as well
        cast(Route, reference).methods = {"GET"}
    door = HttpDoor(service)
    app.add_exception_handler(HTTPException, _http_problem)
    app.add_exception_handler(Exception, _internal_problem)
    page = Page()
    app.get("/", include_in_schema=False)(page.index)
    app.get("/web/{name}", include_in_schema=False)(page.file)
    app.websocket("/view")(LiveDoor(service.live).watch)
    app.get("/livez", summary="Is the process alive?", responses=HANGS)(door.livez)
    app.get("/readyz", summary="Can frames be answered now?", responses=NOT_READY)(door.readyz)
    app.get("/info", summary="Version, models, device, limits, ports, viewers")(door.info)
    app.get("/metrics", summary="Prometheus metrics", response_class=Response)(door.metrics)
    app.router.add_api_route(
        "/segment",
        door.segment,
        methods=["POST"],
        route_class_override=DirectRoute,
        summary="Locate the target in one frame",
        response_model=None,
        responses=SEGMENT_RESPONSES,
        openapi_extra=SEGMENT_REQUEST,
    )
    return app


class DirectRoute(APIRoute):
    """A documented route whose handler makes the response itself, from the request as it is: nothing is in between."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler as it is."""
        handler: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return handler


class HttpDoor:
    """The handlers; each writes its answer itself, so that nothing is validated twice on the hot path."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._receiving: Counter[Hashable] = Counter()

    async def segment(self, request: Request) -> Response:
        """Post a JPEG, PNG or WebP as the raw body, or as part `file` of a multipart body."""
        try:
            asked = await self._receive(request)
        except ClientDisconnect:
            return Response(status_code=400)
        except QuadfollowError as error:
            self._service.metrics.count(DOOR, "error", error.code)
            tell_refusal(DOOR, error, id=request.query_params.get("id", "")[:MAX_NAME] or None)
            return await _refusal(error)
        match await self._ask(asked, request):
            case Result() as result:
                return _picture(result) if asked.picture else _json(result)
            case Dropped() as dropped:
                return dropped_problem(dropped)
            case QuadfollowError() as failure:
                return await _refusal(failure)

    async def livez(self) -> Response:
        """Answer 200 as long as event loop and inference go on, 503 where the process should be replaced."""
        hangs = self._service.hangs
        return JSONResponse({"alive": True}) if hangs is None else document(503, "unavailable", hangs)

    async def readyz(self) -> Response:
        """Answer 200 once every model has run a warm-up inference, 503 before that and while stopping."""
        reason = self._service.not_ready
        if reason is not None:
            return document(503, "unavailable", reason)
        models = self._service.models.all
        return JSONResponse({"ready": True, "models": {model.contract.name: model.device.provider for model in models}})

    async def info(self) -> dict[str, Any]:
        """Tell what this server is and what it takes."""
        return self._service.info()

    async def metrics(self) -> Response:
        """Write the metrics in Prometheus' text format."""
        return Response(self._service.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    async def _receive(self, request: Request) -> Asked:
        settings, client = self._service.settings, _client(request)
        limits = {"max_waiting": self._receiving.total(), "max_waiting_per_client": self._receiving[client]}
        for limit, count in limits.items():
            require_room(limit, getattr(settings, limit), count)
        self._receiving[client] += 1
        try:
            with self._service.dispatcher.room.share(client) as take:
                return await read_request(request, settings.max_body_bytes, take)
        finally:
            self._receiving[client] -= 1
            if not self._receiving[client]:
                del self._receiving[client]

    async def _ask(self, asked: Asked, request: Request) -> Outcome:
        """Have the frame answered; if its client leaves before its turn, nobody looks at it."""
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        lane = (DOOR, asked.frame.stream) if asked.frame.stream else None
        job = Job(asked.frame, DOOR, partial(_settle, answer), lane, client=_client(request), overlay=asked.overlay)
        self._service.dispatcher.submit(job)
        gone = asyncio.create_task(_gone(request))
        gone.add_done_callback(lambda _: self._service.dispatcher.withdraw(job))
        try:
            return await answer
        finally:
            gone.cancel()


def _client(request: Request) -> Hashable:
    """Who asks: by the key that was shown, or by address where none is asked for."""
    return DOOR, request.scope.get("client_name") or (request.client.host if request.client else "")


async def _refusal(error: QuadfollowError) -> Response:
    """Answer a frame that cannot be answered."""
    if isinstance(error, Overloaded):
        await asyncio.sleep(REFUSAL_SECONDS)
    return problem(error)


async def _gone(request: Request) -> None:
    """Wait until the client has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _settle(answer: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not answer.done():  # the request may have been cancelled
        answer.set_result(outcome)


def _json(result: Result) -> Response:
    body = result.body
    if result.mask_png is not None:
        data = base64.b64encode(result.mask_png).decode()
        body = body | {"mask": body["mask"] | {"data": data}}
    return Response(dump_finite(body), media_type="application/json")


def _picture(result: Result) -> Response:
    return Response(result.mask_png, media_type=PNG)


async def _http_problem(request: Request, error: Exception) -> Response:
    """Answer what the router refuses: an unknown path, a wrong method."""
    refused = cast(HTTPException, error)
    code = HTTPStatus(refused.status_code).phrase.lower().replace(" ", "-")
    detail, headers = str(refused.detail), dict(refused.headers or {})
    if allowed := headers.get("Allow"):
        detail = f"{request.url.path} takes no {request.method}: {USES.get(allowed, allowed)}"
    return document(refused.status_code, code, detail, headers=headers)


async def _internal_problem(_: Request, error: Exception) -> Response:
    return problem(QuadfollowError(INTERNAL))  # uvicorn logs the trace
