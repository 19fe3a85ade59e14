"""What the HTTP door answers."""

from __future__ import annotations

import base64
import concurrent.futures
import json
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from tests.server.conftest import PATIENCE
from tests.server.dispatching import ONE_WORKER

from quadfollow_core.codec import decode_image, decode_rle, encode_jpeg
from quadfollow_core.http_client import HttpClient
from quadfollow_server import http_protocol
from quadfollow_server.running import RunningServer
from quadfollow_server.schema import ProblemShape, SegmentAnswer

CAMERA = {"fx": 100, "fy": 100, "cx": 64, "cy": 48, "pose": {"position": [0, 0, 2], "rpy": [0, 0, 0]}}
PNG = {"content-type": "image/png"}


@pytest.fixture
def http(server: RunningServer) -> Iterator[httpx.Client]:
    """A client of the shared server that knows nothing of quadfollow."""
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


def test_a_raw_body_is_answered(http: httpx.Client, png: bytes) -> None:
    """A PNG as the body answers the target, in the shape that is documented."""
    response = http.post("/segment", content=png, headers=PNG)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    answer = SegmentAnswer.model_validate(response.json())
    assert answer.target is not None
    assert answer.target.centroid == pytest.approx((50, 40))
    assert len(answer.people) == 1
    assert (answer.model, answer.id, answer.stream, answer.dropped) == ("colours", None, "", 0)
    assert {"decode_ms", "resize_ms", "infer_ms", "locate_ms", "encode_ms", "queue_ms"} == answer.timings.keys()


@pytest.mark.parametrize(
    "media_type", ["image/jpeg", "image/jpeg; charset=binary", "IMAGE/JPEG", "application/octet-stream", None]
)
def test_the_media_type_may_be_left_to_the_bytes(
    http: httpx.Client, picture: NDArray[np.uint8], media_type: str | None
) -> None:
    """A JPEG is taken as such, as bytes, and without any content type."""
    headers = {} if media_type is None else {"content-type": media_type}
    response = http.post("/segment", content=encode_jpeg(picture, 95), headers=headers)
    assert response.json()["target"]["centroid"] == pytest.approx([50, 40], abs=1.5)


def test_webp_is_taken(http: httpx.Client, picture: NDArray[np.uint8], tmp_path: Any) -> None:
    """A WebP file is answered like any other."""
    Image.fromarray(picture).save(tmp_path / "frame.webp", lossless=True)
    response = http.post(
        "/segment", content=(tmp_path / "frame.webp").read_bytes(), headers={"content-type": "image/webp"}
    )
    assert response.json()["target"]["centroid"] == pytest.approx([50, 40])


def test_a_chunked_body_is_answered(http: httpx.Client, png: bytes) -> None:
    """A body without a declared length is read to its end."""
    response = http.post("/segment", content=iter([png[:100], png[100:]]), headers=PNG)
    assert response.json()["target"]


def test_the_query_is_repeated_and_obeyed(http: httpx.Client, png: bytes) -> None:
    """Id, stream and capture time come back; threshold and smallest blob change the decision."""
    query = {"id": "f-1", "stream": "front", "captured_at": 12.5, "threshold": 255, "min_area": 200}
    body = http.post("/segment", params=query, content=png, headers=PNG).json()
    assert (body["id"], body["stream"], body["captured_at"]) == ("f-1", "front", 12.5)
    assert body["target"]
    assert http.post("/segment", params={"min_area": 201}, content=png, headers=PNG).json()["target"] is None


def test_of_two_parameters_of_one_name_the_last_counts(http: httpx.Client, png: bytes) -> None:
    """The others are as if they were not there, even where they make no sense."""
    query = "id=first&id=last&mask=gif&mask=rle&model=nobody&model=small&threshold=high&threshold=100&unknown=1"
    answer = http.post(f"/segment?{query}", content=png).json()
    assert (answer["id"], answer["mask"]["encoding"], answer["model"]) == ("last", "rle", "small")


def test_a_mask_comes_as_runs_or_as_base64_png(http: httpx.Client, png: bytes) -> None:
    """Both masks are documented, at the model's size, and the same."""
    masks = []
    for encoding in ("rle", "png"):
        response = http.post("/segment", params={"mask": encoding}, content=png, headers=PNG)
        mask = SegmentAnswer.model_validate(response.json()).mask
        assert mask is not None
        assert (mask.encoding, mask.width, mask.height) == (encoding, 64, 48)
        masks.append(mask)
    assert masks[0].runs is not None
    assert masks[1].data is not None
    from_png = decode_image(base64.b64decode(masks[1].data))[:, :, 0]
    assert (decode_rle(masks[0].runs, 64, 48) == from_png).all()


def test_accept_png_answers_the_class_mask(http: httpx.Client, png: bytes) -> None:
    """With `Accept: image/png` the answer is the single-channel mask itself."""
    response = http.post("/segment", content=png, headers=PNG | {"accept": "image/png"})
    assert response.headers["content-type"] == "image/png"
    mask = decode_image(response.content)
    assert mask.shape == (48, 64, 3)
    assert set(np.unique(mask)) == {0, 1, 2}


def test_accept_png_and_overlay_answer_the_frame(http: httpx.Client, png: bytes, picture: NDArray[np.uint8]) -> None:
    """With `overlay=1` the picture is the frame, changed where somebody is."""
    response = http.post("/segment", params={"overlay": 1}, content=png, headers=PNG | {"accept": "image/png"})
    drawn = decode_image(response.content)
    assert drawn.shape == picture.shape
    assert (drawn != picture).any()
    assert (drawn[:10] == picture[:10]).all()


def test_multipart_carries_camera_and_depth(http: httpx.Client, server: RunningServer, png: bytes) -> None:
    """With camera, pose and depth the target has bearing, distance and a world position."""
    depth = np.full((96, 128), 500, dtype="<u2").tobytes()
    header = {"encoding": "raw-u16", "scale": 0.01, "width": 128, "height": 96}
    with HttpClient(server.url, timeout=60) as client:
        target = client.segment(png, camera=CAMERA, depth=depth, depth_header=header).sighting.target
    assert target is not None
    assert target.distance_source == "depth"
    assert target.world == pytest.approx((5, 0.7, 2.4), abs=1e-3)
    files = {"file": ("frame.png", png, "image/png"), "camera": ("camera.json", json.dumps(CAMERA).encode())}
    assert http.post("/segment", files=files).json()["target"]["distance_source"] == "height"


def test_of_two_parts_of_one_name_the_last_counts(http: httpx.Client, png: bytes) -> None:
    """The others, and parts that mean nothing here, are passed over."""
    parts: list[tuple[str, Any]] = [("file", ("f", b"nonsense")), ("file", ("f", png)), ("other", ("f", b"x"))]
    parts += [("camera", (None, "{")), ("camera", (None, json.dumps(CAMERA))), ("note", (None, "x"))]
    answer = http.post("/segment", files=parts).json()
    assert answer["target"]["distance_source"] == "height"
    refused = http.post("/segment", files=[parts[1], parts[0], *parts[2:]])
    assert (refused.status_code, refused.json()["code"]) == (400, "bad-image")


@pytest.mark.parametrize("name", ["f", None])
def test_a_body_may_have_eight_parts_of_each_kind(http: httpx.Client, png: bytes, name: str | None) -> None:
    """With a file name, the picture among them, and without."""
    parts: list[tuple[str, Any]] = [("file", ("f", png))]
    parts += [(f"part {number}", (name, b"x")) for number in range(8 if name is None else 7)]
    assert http.post("/segment", files=parts).status_code == 200
    refused = http.post("/segment", files=[*parts, ("part 8", (name, b"x"))])
    assert (refused.status_code, refused.json()["code"]) == (400, "bad-message")


def test_a_model_is_named_by_its_contract_or_its_file(http: httpx.Client, png: bytes) -> None:
    """The first model answers by default, the other one under both its names."""
    assert http.post("/segment", content=png).json()["model"] == "colours"
    for name in ("small", "second-file"):
        body = http.post("/segment", params={"model": name, "mask": "rle"}, content=png).json()
        assert (body["model"], body["mask"]["width"]) == ("small", 32)


def test_info_tells_models_devices_limits_and_ports(http: httpx.Client, server: RunningServer) -> None:
    """`/info` has what a client needs to know, under the names that errors use."""
    info = http.get("/info").json()
    assert [model["name"] for model in info["models"]] == ["colours", "small"]
    assert [model["default"] for model in info["models"]] == [True, False]
    first = info["models"][0]
    assert (first["contract"]["width"], first["contract"]["height"], first["file"]) == (64, 48, "colours.onnx")
    assert first["device"]["provider"]
    assert first["device"]["reason"]
    assert info["limits"]["max_body_bytes"] == 1_000_000
    assert server.url.endswith(str(info["ports"]["http"]))
    assert info["version"]


def test_alive_ready_and_documented(http: httpx.Client) -> None:
    """The process is alive, its models are ready, its documentation is where it says."""
    assert http.get("/livez").json() == {"alive": True}
    assert http.get("/readyz").json()["ready"] is True
    assert http.get("/docs").status_code == 200


def test_the_generated_documentation_is_whole(http: httpx.Client) -> None:
    """The OpenAPI page names every query parameter, body and answer of `/segment`."""
    operation = http.get("/openapi.json").json()["paths"]["/segment"]["post"]
    assert {item["name"] for item in operation["parameters"]} >= {"model", "stream", "mask", "overlay", "deadline_ms"}
    assert "multipart/form-data" in operation["requestBody"]["content"]
    assert set(operation["responses"]["200"]["content"]) == {"application/json", "image/png"}
    assert {"400", "404", "413", "415", "503"} <= operation["responses"].keys()


def _samples(http: httpx.Client) -> dict[str, float]:
    """Read the metrics as ``name value-of-each-label …``, labels in alphabetical order."""
    families = text_string_to_metric_families(http.get("/metrics").text)
    return {
        " ".join([sample.name, *(sample.labels[label] or "-" for label in sorted(sample.labels))]): sample.value
        for family in families
        for sample in family.samples
    }


def test_metrics_count_each_frame_by_door_and_fate(
    http: httpx.Client, server: RunningServer, png: bytes, dealer: Callable[..., Any]
) -> None:
    """Results and errors of both doors are counted, stages timed, models shown."""
    before = _samples(http)
    http.post("/segment", content=png)
    http.post("/segment", content=b"rubbish")
    http.post("/segment", content=png, headers={"content-type": "text/plain"})
    client = dealer(server.address)
    client.ask(1)
    client.ask(2, encoding="gif")
    after = _samples(http)
    grown = {key: value - before.get(key, 0) for key, value in after.items()}
    assert grown["quadfollow_frames_total - http result"] == 1
    assert grown["quadfollow_frames_total bad-image http error"] == 1
    assert grown["quadfollow_frames_total unsupported-encoding http error"] == 1
    assert grown["quadfollow_frames_total - zmq result"] == 1
    assert grown["quadfollow_frames_total unsupported-encoding zmq error"] == 1
    assert grown["quadfollow_stage_seconds_count infer"] == 2
    assert grown["quadfollow_held_seconds_count zmq"] == 1
    assert after["quadfollow_waiting"] == 0
    assert any(key.startswith("quadfollow_model true colours") for key in after)


def test_http_results_of_a_stream_count_on_their_own(
    png: bytes, constant: Callable[..., Any], gate: Any, until: Any
) -> None:
    """Posts of one stream that wait together are all answered: HTTP has no newest-wins."""
    with (
        RunningServer(ONE_WORKER, [constant(gate)]) as server,
        httpx.Client(base_url=server.url, timeout=PATIENCE) as http,
        concurrent.futures.ThreadPoolExecutor(5) as pool,
    ):
        asked = [{"stream": "s", "id": str(number)} for number in range(5)]
        posts = [pool.submit(http.post, "/segment", params=params, content=png) for params in asked]
        until(lambda: "quadfollow_waiting 4.0" in http.get("/metrics").text)
        gate.open()
        answers = [post.result() for post in posts]
    assert [answer.status_code for answer in answers] == [200] * 5
    assert [answer.json()["id"] for answer in answers] == [str(number) for number in range(5)]


def test_frames_of_clients_that_have_gone_are_not_looked_at(
    png: bytes, constant: Callable[..., Any], gate: Any
) -> None:
    """Thirty posts whose clients hang up cost no inference; the one after them is the next to be answered."""
    looks: list[None] = []

    def look() -> None:
        looks.append(None)
        gate()

    post = b"POST /segment HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(png), png)
    with (
        RunningServer(ONE_WORKER, [constant(look)]) as server,
        httpx.Client(base_url=server.url, timeout=30) as http,
        concurrent.futures.ThreadPoolExecutor() as pool,
    ):
        first = pool.submit(httpx.post, f"{server.url}/segment", content=png, timeout=60)
        gate.wait_reached()
        with ExitStack() as leaving:
            for _ in range(30):
                raw = leaving.enter_context(socket.create_connection(("127.0.0.1", server.service.ports.http)))
                raw.sendall(post)
            while "quadfollow_waiting 30.0" not in http.get("/metrics").text:
                pass
        while 'quadfollow_frames_total{detail="gone",door="http",outcome="dropped"} 30.0' not in (
            metrics := http.get("/metrics").text
        ):
            pass
        gate.open()
        assert http.post("/segment", content=png).status_code == first.result().status_code == 200
    assert len(looks) == 2
    assert "quadfollow_waiting 0.0" in metrics


@pytest.mark.parametrize(("seconds", "is_kept"), [(600, True), (0.05, False)])
def test_a_slow_camera_keeps_its_connection(
    constant: Callable[..., Any], png: bytes, monkeypatch: pytest.MonkeyPatch, seconds: float, is_kept: bool
) -> None:
    """A connection is kept between two posts for as long as is said, which is far longer than a slow camera pauses."""
    assert http_protocol.KEEP_ALIVE_SECONDS >= 30
    monkeypatch.setattr(http_protocol, "KEEP_ALIVE_SECONDS", seconds)
    with (
        RunningServer(segmenters=[constant()]) as server,
        closing(HTTPConnection("127.0.0.1", server.service.ports.http, timeout=60)) as connection,
    ):
        connection.request("POST", "/segment", png)
        used = connection.sock
        assert connection.getresponse().read().startswith(b"{")
        if is_kept:
            connection.request("POST", "/segment", png)
            assert connection.getresponse().read().startswith(b"{")
            assert connection.sock is used
        else:
            assert used.recv(1) == b""


def test_a_refusal_is_documented_too(http: httpx.Client) -> None:
    """A problem document has the documented shape."""
    response = http.post("/segment", content=b"rubbish", headers=PNG)
    assert response.headers["content-type"] == "application/problem+json"
    ProblemShape.model_validate(response.json())


@pytest.mark.skipif(sys.platform != "linux", reason="counts packets as Linux tells them")
def test_an_answer_is_one_packet(server: RunningServer, png: bytes) -> None:
    """Head and body leave together: two packets would wake the client twice."""
    post = b"POST /segment HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(png), png)
    with socket.create_connection(("127.0.0.1", server.service.ports.http), timeout=30) as raw:
        for count in range(1, 6):
            raw.sendall(post)
            head, _, body = raw.recv(65536).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            assert json.loads(body)["type"] == "result"
            (packets,) = struct.unpack_from("I", raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192), 152)
            assert packets == count  # tcpi_data_segs_in


def test_a_client_that_asks_before_it_sends_its_picture(server: RunningServer, png: bytes) -> None:
    """`Expect: 100-continue` is answered at once, the picture once it has come."""
    head = b"POST /segment HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(png)
    with socket.create_connection(("127.0.0.1", server.service.ports.http), timeout=30) as raw:
        raw.sendall(head)
        assert raw.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        raw.sendall(png)
        assert raw.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_head_without_its_body(server: RunningServer) -> None:
    """HEAD is answered, with a head alone; what is asked next over the connection is answered too."""
    with socket.create_connection(("127.0.0.1", server.service.ports.http), timeout=30) as raw:
        raw.sendall(b"HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        head, _, body = raw.recv(65536).partition(b"\r\n\r\n")
        assert (head.split(b" ")[1], body) == (b"405", b"")
        raw.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert raw.recv(65536).endswith(b'{"alive":true}')
