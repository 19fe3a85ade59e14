"""The HTTP door of one replica, behind a server that begins as Ray Serve's does, without Ray."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import pytest
import uvicorn
from tests.server.conftest import PATIENCE, bearer
from tests.server.scale.conftest import SETTINGS, Scaled

from quadfollow_core.client_key import ClientKey
from quadfollow_server.access import Access, is_loopback
from quadfollow_server.http_gate import SECURITY_HEADERS
from quadfollow_server.scale.member import Member
from quadfollow_server.scale.replica import STICKY, routes
from quadfollow_server.segmenter import ConstantSegmenter


@contextmanager
def served(scaled: Scaled, access: Access, segmenter: ConstantSegmenter) -> Iterator[httpx.Client]:
    """A client of one replica."""

    async def join() -> Member:
        member = Member("replica", replace(SETTINGS, access=access), lambda _: [segmenter])
        await member.serve(["fake"])
        return member

    member = scaled.run(join())
    scaled.members.append(member)
    with socket.create_server(("0.0.0.0", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(routes(member.service), lifespan="on", log_config=None))
        serving = scaled.start(server.serve([listening]))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        try:
            with httpx.Client(base_url=url, timeout=PATIENCE) as client:
                yield client
        finally:
            server.should_exit = True
            serving.result(PATIENCE)


@pytest.fixture
def replica(
    scaled: Scaled, key: ClientKey, folder: Path, constant: Callable[..., ConstantSegmenter]
) -> Iterator[httpx.Client]:
    """A client of one that asks for keys."""
    with served(scaled, Access(keys=str(folder)), constant()) as client:
        yield client


def test_a_replica_starts_and_answers(replica: httpx.Client, key: ClientKey, png: bytes) -> None:
    """The application begins and ends as Ray has it do, and frames are answered, of streams by the header of theirs."""
    assert replica.post("/segment", content=png, headers=bearer(key)).json()["type"] == "result"
    sticky = bearer(key) | {STICKY: "one"}
    assert replica.post("/segment?stream=s", content=png, headers=sticky).json()["stream"] == "s"


def test_a_stream_that_may_have_come_to_any_replica_is_refused_behind_the_gate(
    replica: httpx.Client, key: ClientKey, png: bytes
) -> None:
    """Strangers hear of nothing but the key, and the refusal has the headers of every other answer."""
    answers = [replica.post("/segment?stream=s", content=png, headers=headers) for headers in ({}, bearer(key))]
    assert [answer.status_code for answer in answers] == [401, 400]
    for answer in answers:
        assert {name: answer.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS


def test_a_replica_goes_by_any_name_but_over_the_loopback(
    scaled: Scaled, constant: Callable[..., ConstantSegmenter]
) -> None:
    """Ray says where it listens, so what counts is where a request came in; foreign pages are turned away anyhow."""
    strange, ours = {"host": "evil.example:8000"}, {"host": "head.example.com:8000"}
    with served(scaled, Access(allow_origins=("http://head.example.com:8000",)), constant()) as client:
        assert [client.get("/info", headers=each).status_code for each in (strange, ours, {})] == [403, 200, 200]
        if (address := own_address()) is not None:
            elsewhere = str(client.base_url.copy_with(host=address))
            assert client.get(f"{elsewhere}/info", headers=strange).status_code == 200
        assert client.get("/info", headers=ours | {"origin": "https://evil.example"}).status_code == 403


def own_address() -> str | None:
    """An address of this machine that others may reach; None where it has none."""
    found = [one for each in psutil.net_if_addrs().values() for one in each if one.family == socket.AF_INET]
    return next((one.address for one in found if not is_loopback(one.address)), None)
