"""A stream's target over time, asked for over real sockets."""

from __future__ import annotations

import concurrent.futures
import socket
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.server.dispatching import ONE_WORKER

from quadfollow_core.codec import encode_png
from quadfollow_core.errors import BadInput
from quadfollow_core.stream_client import StreamClient
from quadfollow_core.track import Track
from quadfollow_server.running import RunningServer
from quadfollow_server.schema import SegmentAnswer
from quadfollow_server.settings import Settings

WANT = ["target", "track"]
LEVEL = {"position": [0.0, 0.0, 1.0], "rpy": [0.0, 0.0, 0.0]}
CAMERA = {"fx": 100, "fy": 100, "cx": 64, "cy": 48, "pose": LEVEL}
Dealers = Callable[..., Any]


@pytest.fixture(scope="module")
def empty() -> bytes:
    """A frame with nobody in it."""
    return encode_png(np.full((96, 128, 3), 110, dtype=np.uint8))


def tracks(client: Any, count: int, *, start: float = 0.0, **header: Any) -> list[dict[str, Any]]:
    """The tracks of so many frames, 50 ms apart by the client's clock."""
    asked = [client.ask(n, captured_at=start + n / 20, want=WANT, **header) for n in range(count)]
    return [reply["track"] for reply in asked]


def test_a_target_seen_again_and_again_is_followed(server: RunningServer, dealer: Dealers) -> None:
    """The track is confirmed after some frames, on the client's clock; frames that do not ask for it get none."""
    client = dealer(server.address)
    seen = tracks(client, 6, start=100.0)
    assert [seen[0]["state"], seen[-1]["state"]] == ["searching", "following"]
    assert seen[-1]["time"] == 100.25
    assert seen[-1]["space"] == "pixel"
    assert seen[-1]["position"] == pytest.approx([50, 40], abs=0.5)
    assert "track" not in client.ask(9, want=["target"])


def test_pose_and_depth_put_the_track_into_the_world(server: RunningServer, dealer: Dealers) -> None:
    """With all that a frame can tell, the track has metres, and says that they were measured."""
    depth = {"encoding": "raw-f32", "scale": 1, "width": 128, "height": 96}
    data = np.full((96, 128), 5, dtype="<f4").tobytes()
    last = tracks(dealer(server.address), 8, camera=CAMERA, depth=depth, depth_data=data)[-1]
    assert (last["space"], last["distance_source"]) == ("world", "depth")
    assert last["position"] == pytest.approx([5.1, 0.7, 1.4], abs=0.15)


def test_streams_and_clients_have_tracks_of_their_own(server: RunningServer, dealer: Dealers) -> None:
    """A new stream of the same client, and the same stream of another, begin with a search."""
    client = dealer(server.address)
    assert tracks(client, 5, stream="front")[-1]["state"] == "following"
    assert tracks(client, 1, stream="back")[-1]["state"] == "searching"
    assert tracks(dealer(server.address), 1, stream="front")[-1]["state"] == "searching"


def test_out_of_sight_it_coasts(server: RunningServer, dealer: Dealers, empty: bytes) -> None:
    """Empty frames make a followed target coast, and its age grow; the answer's own target is null meanwhile."""
    client = dealer(server.address)
    tracks(client, 6)
    reply = client.ask(7, data=empty, captured_at=0.45, want=WANT)
    assert reply["target"] is None
    assert reply["track"]["state"] == "coasting"
    assert reply["track"]["age"] == pytest.approx(0.2)


def test_a_reset_forgets_the_target(server: RunningServer, dealer: Dealers) -> None:
    """With reset_track the same target has to be confirmed anew."""
    client = dealer(server.address)
    tracks(client, 6)
    assert client.ask(7, captured_at=1.0, want=WANT, reset_track=True)["track"]["state"] == "searching"


def test_a_reset_counts_even_if_its_frame_is_superseded(constant: Any, gate: Any, dealer: Dealers) -> None:
    """The frame that asked to forget is dropped for a newer one, which inherits the wish."""
    gate.open()
    with RunningServer(ONE_WORKER, [constant(gate)]) as server:
        client = dealer(server.address)
        assert tracks(client, 6)[-1]["state"] == "following"
        gate.shut()
        client.send(7, captured_at=1.0, want=WANT)
        gate.wait_reached()
        client.send(8, captured_at=1.1, want=WANT, reset_track=True)
        client.send(9, captured_at=1.2, want=WANT)
        assert client.read().body["reason"] == "superseded"
        gate.open()
        answers = {body["id"]: body["track"]["state"] for body in (client.read().body, client.read().body)}
    assert answers == {7: "following", 9: "searching"}


def test_a_reset_counts_even_if_its_client_leaves(constant: Any, gate: Any, png: bytes, until: Any) -> None:
    """The frame that asked to forget is not looked at, since nobody waits for it; the stream's next one begins anew."""
    query = "stream=front&track=1"
    gate.open()
    with (
        RunningServer(ONE_WORKER, [constant(gate)]) as server,
        httpx.Client(base_url=server.url, timeout=60) as http,
        concurrent.futures.ThreadPoolExecutor() as pool,
    ):

        def state(time: float) -> str:
            answer = http.post(f"/segment?{query}&captured_at={time}", content=png)
            return str(answer.json()["track"]["state"])

        assert [state(number / 20) for number in range(6)][-1] == "following"
        gate.shut()
        other = pool.submit(httpx.post, f"{server.url}/segment", content=png, timeout=60)
        gate.wait_reached()
        head = f"POST /segment?{query}&reset_track=1 HTTP/1.1\r\nHost: x\r\nContent-Length: {len(png)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", server.service.ports.http)) as raw:
            raw.sendall(head.encode() + png)
            until(lambda: "quadfollow_waiting 1.0" in http.get("/metrics").text)
        until(lambda: "quadfollow_waiting 0.0" in http.get("/metrics").text)
        gate.open()
        assert state(0.3) == "searching"
        assert other.result().status_code == 200


def test_without_capture_times_the_moments_of_receipt_count(server: RunningServer, dealer: Dealers) -> None:
    """A client that tells no times gets a track all the same, of a target that is followed sooner or later."""
    client = dealer(server.address)
    seen = [client.ask(0, want=WANT)["track"]]
    while seen[-1]["state"] != "following":  # soon, unless the machine stands still between two frames
        seen.append(client.ask(len(seen), want=WANT)["track"])
    assert [track["state"] for track in seen[:2]] == ["searching", "searching"]
    assert all(one["time"] < following["time"] for one, following in pairwise(seen))


def test_a_stream_over_http_has_a_track(server: RunningServer, png: bytes) -> None:
    """`?track=1&stream=` adds the documented track, and reset_track forgets it."""
    with httpx.Client(base_url=server.url, timeout=30) as http:
        for number in range(6):
            query: dict[str, Any] = {"track": 1, "stream": "http-front", "captured_at": number / 20}
            answer = SegmentAnswer.model_validate(http.post("/segment", params=query, content=png).json())
        assert answer.track is not None
        assert answer.track.state == "following"
        query |= {"captured_at": 1, "reset_track": 1}
        assert http.post("/segment", params=query, content=png).json()["track"]["state"] == "searching"


def test_the_stream_client_reads_the_track(server: RunningServer, picture: NDArray[np.uint8]) -> None:
    """What the answer says of the track arrives as a track."""
    track: Track | None = None
    with StreamClient(server.address, timeout=30) as client:
        while track is None or track.state != "following":  # as above
            client.offer(picture, want=WANT)
            (fate,) = client.poll(timeout=30)
            track = fate.track
            assert isinstance(track, Track)


def test_the_tracker_is_a_setting(settings: Settings, dealer: Dealers) -> None:
    """The baseline believes the first frame; an unknown tracker is refused with those there are."""
    with RunningServer(replace(settings, tracker="centroid")) as server:
        assert tracks(dealer(server.address), 1)[0]["state"] == "following"
        assert httpx.get(f"{server.url}/info").json()["tracker"] == "centroid"
    with pytest.raises(BadInput, match="kalman or centroid"):
        Settings(tracker="psychic")
