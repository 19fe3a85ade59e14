"""The live view's WebSocket: a viewer asks, and each time gets one picture, or hears that there is none.

A question is a text message, ``{"stream": NAME}`` (null for whoever comes first). Its answer is a binary message of
:mod:`quadfollow_server.preview`, or after a second without a new picture the text ``{"streams": [NAME, …]}``.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

from fastapi import WebSocket, WebSocketDisconnect

from quadfollow_core.errors import BadMessage, Overloaded
from quadfollow_server.live_view import LiveView, Viewer

PATIENCE = 1.0
"""Seconds after which a viewer hears that there is no new picture."""
REST = 1 / 30
"""Least seconds between two answers to one viewer."""
UNREADABLE, TRY_LATER = 1007, 1013
"""Why a connection is closed, in RFC 6455's numbers."""


class LiveDoor:
    """Lets viewers in."""

    def __init__(self, live: LiveView) -> None:
        self._live = live

    async def watch(self, websocket: WebSocket) -> None:
        """Serve one viewer until it leaves; refuse it where no place is left. Pages of other sites never get here."""
        await websocket.accept()
        try:
            with self._live.viewer() as viewer:
                await self._serve(websocket, viewer)
        except Overloaded as error:
            await _send_away(websocket, TRY_LATER, error)

    async def _serve(self, websocket: WebSocket, viewer: Viewer) -> None:
        asked = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                answering = group.create_task(self._answer(websocket, viewer, asked))
                while (message := await websocket.receive())["type"] == "websocket.receive":
                    viewer.stream = _question(message.get("text"))
                    asked.set()
                answering.cancel()
        except* BadMessage as errors:  # nothing is being answered any more
            await _send_away(websocket, UNREADABLE, errors.exceptions[0])

    async def _answer(self, websocket: WebSocket, viewer: Viewer, asked: asyncio.Event) -> None:
        """Answer questions one by one; of those asked meanwhile the last one counts."""
        with suppress(WebSocketDisconnect):
            while await asked.wait():
                asked.clear()
                message = await self._live.next(viewer, PATIENCE)
                if message is None:
                    await websocket.send_text(json.dumps({"streams": self._live.streams}))
                else:
                    await websocket.send_bytes(message)
                await asyncio.sleep(REST)


async def _send_away(websocket: WebSocket, code: int, why: BaseException) -> None:
    with suppress(WebSocketDisconnect):  # it has left by itself
        await websocket.close(code, str(why))


def _question(text: str | None) -> str | None:
    """Read which stream is asked for.

    Raises:
        BadMessage: that cannot be read.
    """
    try:
        stream = json.loads(text or "")["stream"]
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise BadMessage('ask with {"stream": NAME or null}') from error
    if not isinstance(stream, str | None):
        raise BadMessage("stream is a name or null")
    return stream
