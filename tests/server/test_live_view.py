"""What viewers of the live view are sent, over real WebSockets, and that they are kept within bounds."""

from __future__ import annotations

import asyncio
import json
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.types import Message
from starlette.websockets import WebSocket
from tests.server.conftest import PATIENCE
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from quadfollow_core.codec import decode_image, decode_rle
from quadfollow_core.request import Result, parse_request
from quadfollow_server.live_door import LiveDoor
from quadfollow_server.live_view import LiveView
from quadfollow_server.metrics import Metrics
from quadfollow_server.preview import Preview
from quadfollow_server.running import RunningServer
from quadfollow_server.settings import MAX_PICTURE, Settings

POSE = {"position": [0.0, 1.0, 2.0], "quaternion": [0.0, 0.0, 0.0, 1.0]}
CAMERA = {"fx": 100, "fy": 100, "cx": 64, "cy": 48, "pose": POSE}
ANY = '{"stream": null}'
Dealers = Callable[..., Any]


class Watcher:
    """A viewer without a browser."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    def ask(self, stream: str | None = None) -> None:
        """Ask for one picture."""
        self.socket.send(json.dumps({"stream": stream}))

    def read(self) -> tuple[dict[str, Any], bytes]:
        """Read one answer: a picture's header and bytes, or what is said when there is none."""
        message = self.socket.recv(timeout=PATIENCE)
        if isinstance(message, str):
            return json.loads(message), b""
        (length,) = struct.unpack_from("<I", message)
        return json.loads(message[4 : 4 + length]), message[4 + length :]

    def next(self, stream: str | None = None) -> tuple[dict[str, Any], bytes]:
        """Ask and read."""
        self.ask(stream)
        return self.read()


@pytest.fixture
def watch() -> Iterator[Callable[..., Watcher]]:
    """Connect viewers; gone when the test ends."""
    with ExitStack() as stack:

        def start(server: RunningServer, **options: Any) -> Watcher:
            address = server.url.replace("http", "ws") + "/view"
            return Watcher(stack.enter_context(connect(address, compression=None, proxy=None, **options)))

        yield start


@pytest.fixture
def own(settings: Settings) -> Iterator[RunningServer]:
    """A server that no other test looks at, with room for two viewers."""
    with RunningServer(replace(settings, max_viewers=2)) as running:
        yield running


def shown(watcher: Watcher, client: Any, stream: str, **header: Any) -> tuple[dict[str, Any], bytes]:
    """Let a viewer look at a stream, send frames until it is shown one, and return that."""
    for number in range(200):
        client.ask(number, stream=stream, **header)
        told, picture = watcher.next(stream)
        if picture:
            return told, picture
    raise AssertionError("no frame was shown")


def test_a_viewer_gets_the_frame_as_sent_and_all_that_was_found(
    server: RunningServer, dealer: Dealers, watch: Callable[..., Watcher], png: bytes
) -> None:
    """Picture bytes, mask, answer, pose and truth arrive."""
    client, truth = dealer(server.address), {"target": [3.0, 1.5, 0.9]}
    want = ["target", "people", "track", "mask:rle"]
    told, picture = shown(watch(server), client, "front", camera=CAMERA, truth=truth, want=want)
    assert (told["stream"], told["media"], picture) == ("front", "image/png", png)
    assert "front" in told["streams"]
    assert told["truth"] == truth
    assert told["camera"]["pose"] == POSE
    answered = client.ask(500, stream="front", camera=CAMERA, want=want)
    assert told["mask"] | {"encoding": "rle"} == answered["mask"]
    assert told["result"]["target"] == answered["target"]
    assert told["result"]["track"]["state"] in ("searching", "following")
    assert "mask" not in told["result"]
    mask = decode_rle(told["mask"]["runs"], told["mask"]["width"], told["mask"]["height"])
    assert set(np.unique(mask)) == {0, 1, 2}


def test_a_viewer_that_looks_away_gets_the_newest_frame(
    server: RunningServer, dealer: Dealers, watch: Callable[..., Watcher]
) -> None:
    """Frames answered between two questions are passed over, not queued."""
    client, watcher = dealer(server.address), watch(server)
    first, _ = shown(watcher, client, "fast")
    for number in range(1000, 1010):
        client.ask(number, stream="fast")
    second, _ = watcher.next("fast")
    assert second["result"]["id"] == 1009
    assert second["number"] == first["number"] + 10


def test_without_news_a_viewer_hears_which_streams_there_are(
    server: RunningServer, dealer: Dealers, watch: Callable[..., Watcher]
) -> None:
    """A question is answered within a second or so even when nothing comes, and streams can be chosen."""
    client, watcher = dealer(server.address), watch(server)
    shown(watcher, client, "here")
    told, picture = watcher.next("elsewhere")
    assert (set(told), picture) == ({"streams"}, b"")
    assert "here" in told["streams"]
    client.ask(5, stream="elsewhere")
    client.ask(6, stream="here")
    assert shown(watcher, client, "elsewhere")[0]["stream"] == "elsewhere"


def test_raw_pixels_are_shown_as_a_jpeg(
    server: RunningServer, dealer: Dealers, watch: Callable[..., Watcher], picture: NDArray[np.uint8]
) -> None:
    """A frame that no browser can read is encoded for viewers."""
    size = {"encoding": "raw-rgb8", "width": 128, "height": 96}
    told, data = shown(watch(server), dealer(server.address), "raw", data=picture.tobytes(), **size)
    assert told["media"] == "image/jpeg"
    assert np.abs(decode_image(data).astype(int) - picture).mean() < 8


def test_a_picture_that_is_too_large_is_left_out() -> None:
    """Its viewers still get what was found."""
    data = b"\xff\xd8\xff" + bytes(MAX_PICTURE)
    preview = Preview("big", 1, 0.0, parse_request({}, data), Result({"target": None}))
    message = preview.message(["big"])
    header = json.loads(message[4:])
    assert header["media"] is None
    assert header["result"] == {"target": None}


@pytest.mark.parametrize("size", [(70_000, 2), (2, 70_000)])
def test_raw_pixels_that_no_jpeg_can_hold_are_left_out(size: tuple[int, int]) -> None:
    """A side may be longer than a JPEG's; viewers still get what was found."""
    request = parse_request({"encoding": "raw-rgb8", "width": size[0], "height": size[1]}, bytes(3 * size[0] * size[1]))
    header = json.loads(Preview("long", 1, 0.0, request, Result({"target": None})).message(["long"])[4:])
    assert (header["media"], header["result"]) == (None, {"target": None})


def test_raw_pixels_of_more_than_the_usual_number_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server was told to take with `--max-pixels` it also shows."""
    monkeypatch.setattr("quadfollow_core.request.MAX_PIXELS", 10)
    request = parse_request({"encoding": "raw-rgb8", "width": 8, "height": 2}, bytes(48))
    message = Preview("many", 1, 0.0, request, Result({"target": None})).message(["many"])
    assert b"image/jpeg" in message


def test_viewers_are_counted_and_bounded(own: RunningServer, watch: Callable[..., Watcher]) -> None:
    """One too many is told why; a place that becomes free is given again; /info and /metrics know."""
    first, second = watch(own), watch(own)
    for watcher in (first, second):
        watcher.next()
    assert httpx.get(f"{own.url}/info").json()["viewers"] == 2
    assert "quadfollow_viewers 2.0" in httpx.get(f"{own.url}/metrics").text
    refused = watch(own)
    with pytest.raises(ConnectionClosed) as caught:
        refused.read()
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (1013, "all 2 places of the live view are taken")
    first.socket.close()
    while httpx.get(f"{own.url}/info").json()["viewers"] == 2:
        pass
    assert "streams" in watch(own).next()[0]


def test_the_live_view_can_be_switched_off(settings: Settings, watch: Callable[..., Watcher]) -> None:
    """With room for nobody everybody is told to try later."""
    with RunningServer(replace(settings, max_viewers=0)) as server, pytest.raises(ConnectionClosed) as caught:
        watch(server).read()
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1013


def test_only_pages_of_this_server_may_look(server: RunningServer, watch: Callable[..., Watcher]) -> None:
    """Another site's page is refused before it learns anything; our own is let in."""
    with pytest.raises(InvalidStatus) as caught:
        watch(server, origin="http://elsewhere.example")
    assert caught.value.response.status_code == 403
    assert "streams" in watch(server, origin=server.url).next()[0]


@pytest.mark.parametrize(
    ("question", "code"),
    [("{", 1007), ("[]", 1007), ('{"stream": 7}', 1007), ("[" * 4000, 1007), (b"\0", 1007), ("x" * 5000, 1009)],
    ids=["no JSON", "no object", "no name", "deep", "binary", "long"],
)
def test_a_question_that_cannot_be_read_ends_the_connection(
    server: RunningServer, watch: Callable[..., Watcher], question: str | bytes, code: int
) -> None:
    """The close code says why."""
    watcher = watch(server)
    watcher.socket.send(question)
    with pytest.raises(ConnectionClosed) as caught:
        watcher.read()
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == code


def test_a_viewer_is_not_sent_away_while_it_is_being_answered() -> None:
    """A connection that takes a while to close is sent nothing after its close code."""
    messages = [{"type": "websocket.connect"}, *({"type": "websocket.receive", "text": text} for text in (ANY, "{"))]
    sent: list[tuple[str, int]] = []

    async def receive() -> Message:
        await asyncio.sleep(0)
        return messages.pop(0)

    async def send(message: Message) -> None:
        sent.append((message["type"], len(asyncio.all_tasks())))

    asyncio.run(LiveDoor(LiveView(Metrics(), 1)).watch(WebSocket({"type": "websocket"}, receive, send)))
    assert sent == [("websocket.accept", 1), ("websocket.close", 1)]


def test_a_viewer_that_leaves_with_nonsense_leaves_no_trace(
    settings: Settings,
    dealer: Dealers,
    watch: Callable[..., Watcher],
    picture: NDArray[np.uint8],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whoever has hung up by the time that its picture is made, and it can be told why it is sent away, is not told."""
    large = np.tile(picture, (20, 20, 1))
    size = {"encoding": "raw-rgb8", "width": large.shape[1], "height": large.shape[0]}
    with RunningServer(replace(settings, max_body_bytes=2**24, max_pixels=2**24)) as server:
        watcher = watch(server)
        watcher.ask()
        assert dealer(server.address).ask(data=large.tobytes(), **size)["type"] == "result"
        watcher.socket.send("{")
        watcher.socket.close()
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_viewer_that_does_not_read_holds_nobody_up(
    server: RunningServer, dealer: Dealers, watch: Callable[..., Watcher]
) -> None:
    """While one viewer only asks, until nobody takes its questions any more, frames are answered and others look on."""
    client, good, greedy = dealer(server.address), watch(server), watch(server)
    over = threading.Event()

    def ask_without_end() -> None:
        with suppress(ConnectionClosed):
            while not over.is_set():
                greedy.ask()

    asking = threading.Thread(target=ask_without_end, daemon=True)
    asking.start()
    for number in range(30):
        assert client.ask(number, stream="busy")["type"] == "result"
    assert shown(good, client, "busy")[1]
    over.set()
    greedy.socket.socket.close()
    asking.join(PATIENCE)


def test_the_server_stops_while_viewers_wait(settings: Settings, watch: Callable[..., Watcher]) -> None:
    """They are told that it goes away."""
    with RunningServer(settings) as server:
        watcher = watch(server)
        watcher.ask()
    with pytest.raises(ConnectionClosed) as caught:
        list(iter(watcher.read, None))
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1012
