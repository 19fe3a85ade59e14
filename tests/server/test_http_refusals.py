"""Requests that the HTTP door refuses, how it says so, and that it goes on."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from quadfollow_core.codec import encode_jpeg
from quadfollow_server import http_door
from quadfollow_server.http_request import NUMBER
from quadfollow_server.running import RunningServer
from quadfollow_server.settings import Settings

JPEG = {"content-type": "image/jpeg"}


def refusal(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Require a whole problem document."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["type"] == f"urn:quadfollow:problem:{code}"
    assert problem["title"]
    assert problem["detail"]
    return problem


def test_a_truncated_jpeg(http: httpx.Client, picture: NDArray[np.uint8]) -> None:
    """Half a JPEG is a bad image."""
    data = encode_jpeg(picture)
    refusal(http.post("/segment", content=data[: len(data) // 2], headers=JPEG), 400, "bad-image")


def test_a_header_that_promises_too_many_pixels(http: httpx.Client, huge_png: bytes) -> None:
    """50,000 x 50,000 pixels are refused from the header, with the limit's name and value."""
    problem = refusal(http.post("/segment", content=huge_png), 413, "limit-exceeded")
    assert (problem["limit"], problem["allowed"]) == ("max_pixels", 2_000_000)


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "image/gif", "nonsense"])
def test_a_wrong_content_type(http: httpx.Client, png: bytes, media_type: str) -> None:
    """A media type that is not taken is refused with those that are."""
    problem = refusal(
        http.post("/segment", content=png, headers={"content-type": media_type}), 415, "unsupported-encoding"
    )
    assert "image/jpeg" in problem["detail"]


def test_bytes_that_contradict_the_content_type(http: httpx.Client, png: bytes) -> None:
    """A PNG sent as JPEG is refused."""
    refusal(http.post("/segment", content=png, headers=JPEG), 415, "unsupported-encoding")


def test_an_empty_body(http: httpx.Client) -> None:
    """No bytes are a bad image, with or without a content type."""
    refusal(http.post("/segment"), 400, "bad-image")
    refusal(http.post("/segment", headers=JPEG), 400, "bad-image")


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"mask": "gif"}, 400, "bad-message"),
        ({"threshold": "high"}, 400, "bad-message"),
        ({"threshold": "0"}, 400, "bad-message"),
        ({"threshold": "1_0"}, 400, "bad-message"),
        ({"threshold": "9" * 5000}, 400, "bad-message"),
        ({"captured_at": "1_000.5"}, 400, "bad-message"),
        ({"captured_at": "١"}, 400, "bad-message"),
        ({"min_area": "-1"}, 400, "bad-message"),
        ({"deadline_ms": "nan"}, 400, "bad-message"),
        ({"deadline_ms": "0"}, 400, "bad-message"),
        ({"captured_at": "inf"}, 400, "bad-message"),
        ({"captured_at": "-1.7e308"}, 400, "bad-message"),
        ({"overlay": "maybe"}, 400, "bad-message"),
        ({"overlay": "1"}, 400, "bad-message"),
        ({"track": "maybe", "stream": "front"}, 400, "bad-message"),
        ({"track": "1"}, 400, "bad-message"),
        ({"reset_track": "1"}, 400, "bad-message"),
        ({"stream": "x" * 129}, 413, "limit-exceeded"),
        ({"id": "\0"}, 400, "bad-message"),
        ({"model": "nobody"}, 404, "not-found"),
    ],
)
def test_a_query_that_makes_no_sense(
    http: httpx.Client, png: bytes, query: dict[str, str], status: int, code: str
) -> None:
    """Each query parameter is checked, and the refusal names it."""
    problem = refusal(http.post("/segment", params=query, content=png), status, code)
    assert next(iter(query)) in problem["detail"]


@pytest.mark.parametrize("number", ["{}x", "1.{}x", "{}.1x", "1e{}x", " {} x"])
def test_a_number_is_read_in_one_pass(number: str) -> None:
    """What is none is known to be none after a look at each of its digits: trying all ways to split three million of
    them would take longer than any test may, and the server would answer nobody meanwhile.
    """
    assert NUMBER.fullmatch(number.format("1" * 3_000_000)) is None


def test_an_unknown_model_is_refused_with_those_there_are(http: httpx.Client, png: bytes) -> None:
    """The refusal of a model lists the others."""
    problem = refusal(http.post("/segment", params={"model": "nobody"}, content=png), 404, "not-found")
    assert "colours, small" in problem["detail"]


def test_a_body_over_the_limit_by_its_declared_length(server: RunningServer, http: httpx.Client) -> None:
    """A declared length over the limit is refused before the body is sent."""
    with socket.create_connection(("127.0.0.1", server.service.ports.http), timeout=30) as raw:
        raw.sendall(b"POST /segment HTTP/1.1\r\nHost: x\r\nContent-Length: 1000001\r\n\r\n")
        answer = raw.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("multipart", [False, True])
def test_a_body_over_the_limit_while_it_streams(http: httpx.Client, multipart: bool) -> None:
    """A body without a declared length is cut off at the limit, raw or multipart."""
    start = b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n' if multipart else b""
    headers = {"content-type": "multipart/form-data; boundary=x" if multipart else "image/jpeg"}
    chunks = [start, *[bytes(100_000)] * 11]
    problem = refusal(http.post("/segment", content=iter(chunks), headers=headers), 413, "limit-exceeded")
    assert (problem["limit"], problem["allowed"]) == ("max_body_bytes", 1_000_000)


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"other": ("f", b"x")}, "bad-message"),
        ({"file": ("f", b"")}, "bad-image"),
        ({"file": (None, "text")}, "bad-message"),
        ({"file": ("f", b"PNG"), "camera": (None, "[1, 2]")}, "bad-message"),
        ({"file": ("f", b"PNG"), "camera": (None, "{")}, "bad-message"),
        ({"file": ("f", b"PNG"), "camera": (None, "[" * 5000)}, "bad-message"),
        ({"file": ("f", b"PNG"), "camera": (None, '{"fx": NaN, "fy": 1, "cx": 1, "cy": 1}')}, "bad-message"),
        ({"file": ("f", b"PNG"), "camera": (None, "{}")}, "bad-geometry"),
        ({"file": ("f", b"PNG"), "depth": ("d", b"x")}, "bad-message"),
        ({"file": ("f", b"PNG"), "depth_header": (None, '{"encoding": "png", "scale": 1}')}, "bad-message"),
        ({f"f{index}": ("f", b"x") for index in range(20)}, "bad-message"),
    ],
)
def test_a_multipart_body_that_makes_no_sense(http: httpx.Client, files: dict[str, Any], code: str) -> None:
    """Parts that are missing, empty, no JSON or no object are refused by name."""
    refusal(http.post("/segment", files=files), 400, code)


def test_a_pose_that_is_not_a_number(http: httpx.Client, png: bytes) -> None:
    """NaN in the pose is bad geometry."""
    camera = {"fx": 1, "fy": 1, "cx": 1, "cy": 1, "pose": {"position": [float("nan"), 0, 0], "rpy": [0, 0, 0]}}
    files = {"file": ("f", png), "camera": (None, json.dumps(camera))}
    refusal(http.post("/segment", files=files), 400, "bad-geometry")


def test_a_camera_larger_than_a_header_may_be(http: httpx.Client, png: bytes) -> None:
    """A camera part of 100 kB is refused, as a field and as a file."""
    for name in (None, "camera.json"):
        response = http.post("/segment", files={"file": ("f", png), "camera": (name, "x" * 100_000)})
        refusal(response, 413, "limit-exceeded")
        assert response.json()["limit"] == "max_header_bytes"


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=x"])
def test_a_multipart_body_without_form(http: httpx.Client, content_type: str) -> None:
    """A multipart body without boundary, or whose bytes are something else, is a bad message."""
    response = http.post("/segment", content=b"hello", headers={"content-type": content_type})
    refusal(response, 400, "bad-message")


@pytest.mark.parametrize("charset", ["undefined", "punycode"])
def test_a_multipart_body_in_a_charset_that_cannot_be_read(http: httpx.Client, charset: str) -> None:
    """A charset that Python knows but that fails is a bad message."""
    headers = {"content-type": f"multipart/form-data; boundary=x; charset={charset}"}
    name = "a..b" + "\u00e9" * 70
    body = f'--x\r\nContent-Disposition: form-data; name="{name}"; filename="f"\r\n\r\nx\r\n--x--\r\n'
    problem = refusal(http.post("/segment", content=body.encode(), headers=headers), 400, "bad-message")
    assert "multipart" in problem["detail"]


def test_unknown_paths_and_methods_are_problems_too(http: httpx.Client) -> None:
    """404 and 405 come as problem documents, 405 with the methods allowed."""
    refusal(http.get("/nowhere"), 404, "not-found")
    response = http.get("/segment")
    problem = refusal(response, 405, "method-not-allowed")
    assert response.headers["allow"] == "POST"
    assert problem["detail"] == "/segment takes no GET: POST a picture"
    assert refusal(http.post("/info"), 405, "method-not-allowed")["detail"] == "/info takes no POST: GET it"


@pytest.mark.parametrize("path", ["/", "/livez", "/readyz", "/info", "/metrics", "/docs", "/openapi.json", "/segment"])
def test_a_path_takes_one_method(http: httpx.Client, path: str) -> None:
    """Every other one is refused, HEAD and OPTIONS too, with the one that is taken in `Allow`."""
    taken = "POST" if path == "/segment" else "GET"
    assert http.request(taken, path).status_code != 405
    for method in {"GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"} - {taken}:
        response = http.request(method, path)
        assert (response.status_code, response.headers["allow"]) == (405, taken), method
        assert response.content if method != "HEAD" else not response.content


def test_bodies_being_received_are_limited_too(png: bytes, constant: Callable[..., Any]) -> None:
    """While as many bodies arrive as may wait, a further one is refused; it is taken once there is room."""
    settings = Settings(port=0, zmq_port=0, pub_port=0, workers=1, max_waiting=1)
    with RunningServer(settings, [constant()]) as server, httpx.Client(base_url=server.url) as http:
        with socket.create_connection(("127.0.0.1", server.service.ports.http)) as raw:
            raw.sendall(b"POST /segment HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf")
            while http.post("/segment", content=png).status_code != 503:
                pass
        while http.post("/segment", content=png).status_code != 200:
            pass


def test_overload_and_a_missed_deadline_say_when_to_come_back(
    png: bytes, constant: Callable[..., Any], gate: Any
) -> None:
    """No room, and a deadline that passed, are 503 with Retry-After."""
    import concurrent.futures

    settings = Settings(port=0, zmq_port=0, pub_port=0, workers=1, max_waiting=1)
    with (
        RunningServer(settings, [constant(gate)]) as server,
        httpx.Client(base_url=server.url, timeout=60) as http,
        concurrent.futures.ThreadPoolExecutor() as pool,
    ):
        first = pool.submit(http.post, "/segment", content=png)
        gate.wait_reached()
        late = pool.submit(http.post, "/segment", content=png, params={"deadline_ms": 1})
        while b"quadfollow_waiting 1.0" not in http.get("/metrics").content:
            pass
        crowded = http.post("/segment", content=png)
        refusal(crowded, 503, "overloaded")
        gate.open()
        problem = refusal(late.result(), 503, "dropped")
        assert problem["reason"] == "deadline"
        assert crowded.headers["retry-after"] == late.result().headers["retry-after"] == "1"
        assert first.result().status_code == 200


def test_one_client_leaves_room_for_others(png: bytes, constant: Callable[..., Any], gate: Any) -> None:
    """An eighth of the places is one address's share; beyond it the answer is 429, while another address is served."""
    import concurrent.futures

    settings = Settings(port=0, zmq_port=0, pub_port=0, workers=1, max_waiting=16)
    elsewhere = httpx.HTTPTransport(local_address="127.0.0.2")
    with (
        RunningServer(settings, [constant(gate)]) as server,
        httpx.Client(base_url=server.url, timeout=60) as http,
        httpx.Client(base_url=server.url, timeout=60, transport=elsewhere) as other,
        concurrent.futures.ThreadPoolExecutor() as pool,
    ):
        answers = [pool.submit(http.post, "/segment", content=png)]
        gate.wait_reached()
        for count in (b"1.0", b"2.0"):
            answers.append(pool.submit(http.post, "/segment", content=png))
            while b"quadfollow_waiting " + count not in http.get("/metrics").content:
                pass
        problem = refusal(refused := http.post("/segment", content=png), 429, "overloaded")
        assert (problem["limit"], problem["allowed"]) == ("max_waiting_per_client", 2)
        assert refused.headers["retry-after"] == "1"
        begun = time.monotonic()
        assert [http.post("/segment", content=png).status_code for _ in range(3)] == [429] * 3
        least = 3 * http_door.REFUSAL_SECONDS
        assert time.monotonic() - begun > 0.9 * least > 0.5, "who asks again at once is answered at leisure"
        answers.append(pool.submit(other.post, "/segment", content=png))
        while b"quadfollow_waiting 3.0" not in http.get("/metrics").content:
            pass
        gate.open()
        assert {answer.result().status_code for answer in answers} == {200}
