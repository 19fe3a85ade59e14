"""Who gets in: keys on both doors, the login page, and what browsers are told."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import zmq
from tests.server.conftest import bearer
from tests.server.dispatching import ANY
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from quadfollow_core import wire
from quadfollow_core.client_key import ClientKey
from quadfollow_core.http_client import HttpClient, RequestRefused
from quadfollow_core.stream_client import StreamClient
from quadfollow_server.access import Access
from quadfollow_server.keys import Clients, new_client, revoke_client
from quadfollow_server.login import SESSION_SECONDS, Login, cookie_name
from quadfollow_server.running import RunningServer

HTML = {"accept": "text/html,*/*"}
SILENCE = 500
"""Milliseconds without an answer that count as silence; an authorised client is answered within a few."""
PATIENCE = 200
"""Seconds until a wait is given up."""


@pytest.fixture
def locked(key: ClientKey, folder: Path, constant: Callable[..., Any]) -> Iterator[RunningServer]:
    """A real server that asks for keys."""
    with RunningServer(replace(ANY, access=Access(keys=str(folder))), [constant()]) as server:
        yield server


@pytest.fixture
def http(locked: RunningServer) -> Iterator[httpx.Client]:
    """A stranger's client of it."""
    with httpx.Client(base_url=locked.url, timeout=30) as client:
        yield client


def paths(server: RunningServer, key: ClientKey) -> list[tuple[str, str]]:
    """Every route there is, as (method, path), and some that are not."""
    described = httpx.get(f"{server.url}/openapi.json", headers=bearer(key)).json()["paths"]
    routes = [(method.upper(), path) for path, methods in described.items() for method in methods]
    return [*routes, *(("GET", path) for path in ("/", "/docs", "/openapi.json", "/login", "/nowhere", "/livez/"))]


def test_a_stranger_gets_nothing_but_the_probes(
    locked: RunningServer, http: httpx.Client, key: ClientKey, png: bytes
) -> None:
    """Every other route answers 401 without a key, or with a wrong one, in each place a key can stand."""
    routes = paths(locked, key)
    assert {("POST", "/segment"), ("GET", "/metrics"), ("GET", "/info")} <= set(routes)
    wrong, forged = "qf_" + "A" * 43, f"{cookie_name(key.server_key)}=drone.9.x"
    for shown in ({}, {"authorization": f"Bearer {wrong}"}, {"x-api-key": wrong}, {"cookie": forged}):
        answers = {(method, path): http.request(method, path, headers=shown) for method, path in routes}
        assert {route for route, answer in answers.items() if answer.status_code != 401} == {
            ("GET", "/livez"),
            ("GET", "/readyz"),
        }
        refused = answers["POST", "/segment"]
        assert refused.json()["code"] == "unauthorized"
        assert refused.headers["www-authenticate"].startswith("Bearer")
    assert http.post("/segment", content=png, headers=bearer(key)).json()["type"] == "result"
    assert http.get("/info", headers={"x-api-key": key.api_key}).status_code == 200
    metrics = http.get("/metrics", headers=bearer(key)).text
    assert 'quadfollow_refused_total{door="http",reason="key"}' in metrics


def test_a_viewer_needs_a_key_too_and_goes_with_it(
    locked: RunningServer, http: httpx.Client, key: ClientKey, folder: Path
) -> None:
    """The live view's WebSocket lets in by key or session from the server's own page, and ends with a revoked key."""
    address = locked.url.replace("http", "ws") + "/view"
    name = cookie_name(key.server_key)
    http.post("/login", data={"key": key.api_key})
    cookie = {"cookie": f"{name}={http.cookies[name]}"}
    refused = [({}, None), ({"authorization": "Bearer qf_wrong"}, None), (cookie, "https://evil.example")]
    for headers, origin in refused:
        with (
            pytest.raises(InvalidStatus) as answer,
            connect(address, proxy=None, additional_headers=headers, origin=Origin(origin) if origin else None),
        ):
            pass
        assert answer.value.response.status_code == 403
    with (
        connect(address, proxy=None, additional_headers=bearer(key)) as program,
        connect(address, proxy=None, additional_headers=cookie, origin=Origin(locked.url)) as page,
    ):
        viewers = (program, page)
        for viewer in viewers:
            viewer.send('{"stream": null}')
            assert json.loads(viewer.recv(timeout=30)) == {"streams": []}
        revoke_client(folder, "drone")
        new_client(folder, "drone")  # another client, which goes by that name now
        for viewer in viewers:
            viewer.send('{"stream": null}')
            with pytest.raises(ConnectionClosed, match="revoked"):
                viewer.recv(timeout=30)


def test_a_viewer_goes_when_its_session_ends(locked: RunningServer, key: ClientKey, folder: Path) -> None:
    """A WebSocket that came in by a cookie is served for as long as the session lasts, and no longer."""
    address, reason = locked.url.replace("http", "ws") + "/view", "session is over"

    def come_in(left: float = 5.0) -> ClientConnection:
        login = Login(Clients(folder), clock=lambda: time.time() - SESSION_SECONDS + left)
        (drone,) = login.clients.all
        cookie = {"cookie": f"{cookie_name(key.server_key)}={login._session(drone)}"}
        try:
            return connect(address, proxy=None, additional_headers=cookie)
        except InvalidStatus:  # it was over before it was looked at
            assert left < PATIENCE
            return come_in(2 * left)

    with come_in() as page:

        def look() -> None:
            for _ in range(PATIENCE):
                page.send('{"stream": null}')
                page.recv(timeout=30)

        with pytest.raises(ConnectionClosed, match=reason):
            look()


def test_keys_change_while_the_server_runs(
    locked: RunningServer, http: httpx.Client, key: ClientKey, folder: Path
) -> None:
    """A new key opens at once, a revoked one no longer."""
    assert http.get("/info", headers=bearer(key)).status_code == 200
    other = new_client(folder, "other")
    assert http.get("/info", headers=bearer(other)).status_code == 200
    revoke_client(folder, "drone")
    assert http.get("/info", headers=bearer(key)).status_code == 401
    assert http.get("/info", headers=bearer(other)).status_code == 200


def test_a_person_logs_in_for_a_cookie(http: httpx.Client, key: ClientKey, folder: Path) -> None:
    """A browser gets a form; the key in it gives a cookie that scripts cannot read and other sites cannot send."""
    kept = cookie_name(key.server_key)
    form = http.get("/docs", headers=HTML)
    assert (form.status_code, 'name="next" type="hidden" value="/docs"' in form.text) == (401, True)
    again = http.post("/login", data={"key": "qf_wrong", "next": "/docs"})
    assert (again.status_code, "not known" in again.text, http.cookies.get(kept)) == (401, True, None)
    welcome = http.post("/login", data={"key": key.api_key, "next": "/docs"})
    assert (welcome.status_code, welcome.headers["location"]) == (303, "/docs")
    cookie = welcome.headers["set-cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=strict", "Path=/"))
    assert key.api_key not in cookie
    assert http.get("/docs", headers=HTML).status_code == 200
    session = http.cookies[kept]
    name, expiry, signature = session.split(".")
    http.cookies.clear()
    for forged in (f"other.{expiry}.{signature}", f"{name}.{int(expiry) + 1}.{signature}", f"{name}..", name):
        assert http.get("/info", headers={"cookie": f"{kept}={forged}"}).status_code == 401
    assert http.get("/info", headers={"cookie": f"{kept}={session}"}).status_code == 200
    revoke_client(folder, "drone")
    assert http.get("/info", headers={"cookie": f"{kept}={session}"}).status_code == 401
    new_client(folder, "drone")
    assert http.get("/info", headers={"cookie": f"{kept}={session}"}).status_code == 401, "it was another's"


def test_a_login_at_one_server_ends_none_at_another(
    locked: RunningServer, key: ClientKey, folder: Path, tmp_path: Path, constant: Callable[..., Any]
) -> None:
    """A browser sends its cookies to all ports of a host; servers with the same keys know each other's sessions."""
    others = new_client(tmp_path / "others", "drone")
    with (
        RunningServer(replace(ANY, access=Access(keys=str(tmp_path / "others"))), [constant()]) as other,
        RunningServer(replace(ANY, access=Access(keys=str(folder))), [constant()]) as twin,
        httpx.Client(timeout=30) as browser,
    ):

        def seen() -> list[int]:
            return [browser.get(f"{server.url}/info").status_code for server in (locked, other, twin)]

        assert seen() == [401, 401, 401]
        browser.post(f"{locked.url}/login", data={"key": key.api_key})
        assert seen() == [200, 401, 200]
        browser.post(f"{other.url}/login", data={"key": others.api_key})
        assert seen() == [200, 200, 200]


@pytest.mark.parametrize(
    "wanted", ["https://evil.example/", "//evil.example", "/\\evil.example", "x", "", "/a\r\nb: c"]
)
def test_a_login_leads_nowhere_else(http: httpx.Client, key: ClientKey, wanted: str) -> None:
    """Whatever the form says, the way on is a path of this server."""
    answer = http.post("/login", data={"key": key.api_key, "next": wanted})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_a_login_takes_no_long_forms(http: httpx.Client) -> None:
    """What is no form of a key and a path is not read to its end."""
    assert http.post("/login", content=iter([b"key=" + b"x" * 5000])).status_code == 401


def test_a_session_ends(folder: Path, key: ClientKey, tmp_path: Path) -> None:
    """A session holds for its time and not longer, at every server of these keys and at no other."""
    now = [1000.0]
    login = Login(Clients(folder), clock=lambda: now[0])
    (drone,) = login.clients.all
    session = login._session(drone)
    assert login._of_session(session) == drone
    assert Login(Clients(folder), clock=lambda: now[0])._of_session(session) == drone, "another server of these keys"
    new_client(tmp_path / "others", key.name)
    assert Login(Clients(tmp_path / "others"), clock=lambda: now[0])._of_session(session) is None
    now[0] += SESSION_SECONDS + 1
    assert login._of_session(session) is None


def test_the_right_curve_key_is_answered_a_wrong_one_meets_silence(
    locked: RunningServer, key: ClientKey, png: bytes, tmp_path: Path
) -> None:
    """A known client gets its results; an unknown key, another server's key and no key at all get nothing, ever."""
    stranger = new_client(tmp_path / "elsewhere", "drone")
    wrong: list[ClientKey | None] = [None, stranger, replace(stranger, server_key=key.server_key)]
    with ExitStack() as stack:
        clients = [stack.enter_context(StreamClient(locked.address, timeout=60, key=one)) for one in wrong]
        for client in clients:
            client.offer(png)
        with StreamClient(locked.address, timeout=60, key=key) as known:
            assert known.ping(30)
            known.offer(png)
            assert [fate.outcome for fate in known.poll(30)] == ["result"]
        assert [client.poll(SILENCE / 1000) for client in clients] == [[]] * 3
    metrics = httpx.get(f"{locked.url}/metrics", headers=bearer(key)).text
    assert 'quadfollow_refused_total{door="zmq",reason="key"}' in metrics


def test_a_client_with_a_wrong_key_goes_on(locked: RunningServer, key: ClientKey, png: bytes, tmp_path: Path) -> None:
    """Refused again and again, it loses its frames in time and never waits for a connection that will not come."""
    stranger = replace(new_client(tmp_path / "elsewhere", "drone"), server_key=key.server_key)
    fates: list[str] = []
    with StreamClient(locked.address, timeout=0.2, key=stranger) as client:
        while fates.count("lost") < 3:
            client.offer(png)
            fates += [fate.outcome for fate in client.poll(0.1)]
    assert set(fates) <= {"lost", "unsent"}


def subscriber(context: zmq.Context[Any], address: str, key: ClientKey | None) -> zmq.Socket[bytes]:
    """Subscribe to all results."""
    sub = context.socket(zmq.SUB)
    sub.linger = 0
    if key is not None:
        key.apply(sub)
    sub.subscribe(b"")
    sub.connect(address)
    return sub


def test_results_are_published_to_known_clients_alone(
    locked: RunningServer, key: ClientKey, png: bytes, tmp_path: Path
) -> None:
    """A subscriber with a known key hears what one without hears nothing of."""
    stranger = replace(new_client(tmp_path / "elsewhere", "x"), server_key=key.server_key)
    with zmq.Context() as context, StreamClient(locked.address, stream="s", timeout=30, key=key) as client:
        known, *others = (subscriber(context, locked.pub_address, one) for one in (key, None, stranger))
        end = time.monotonic() + PATIENCE
        while not known.poll(50):
            client.offer(png)
            client.poll(30)
            assert time.monotonic() < end
        assert wire.decode_publication(known.recv_multipart())[0] == "s"
        assert [sub.poll(SILENCE) for sub in others] == [0, 0]
        for sub in (known, *others):
            sub.close()


def test_a_revoked_curve_key_falls_silent_and_the_others_go_on(
    locked: RunningServer, key: ClientKey, folder: Path, png: bytes
) -> None:
    """Connections that were made with a revoked key end on both sockets; other clients reconnect by themselves."""
    other = new_client(folder, "other")
    with (
        zmq.Context() as context,
        StreamClient(locked.address, stream="s", timeout=0.5, key=key) as revoked,
        StreamClient(locked.address, stream="s", timeout=0.5, key=other) as stays,
    ):
        heard, unheard = (subscriber(context, locked.pub_address, one) for one in (other, key))
        end = time.monotonic() + PATIENCE
        while not (heard.poll(10) and unheard.poll(10)):
            stays.offer(png)
            stays.poll(0.2)
            assert time.monotonic() < end
        revoke_client(folder, "drone")
        fates = ["result"]
        while "lost" not in fates:
            revoked.offer(png)
            fates = [fate.outcome for fate in revoked.poll(1)]
            assert time.monotonic() < end
        while unheard.poll(0):
            unheard.recv_multipart()
        while heard.poll(0):
            heard.recv_multipart()
        while not heard.poll(10):
            stays.offer(png)
            stays.poll(0.2)
            assert time.monotonic() < end
        revoked.offer(png)
        assert "result" not in [fate.outcome for fate in revoked.poll(2)]
        assert not unheard.poll(SILENCE)
        heard.close()
        unheard.close()


def test_every_answer_carries_the_security_headers(server: RunningServer, http: httpx.Client) -> None:
    """Pages, JSON, problems, refusals and the login form tell browsers to keep closed what is not needed."""
    answers = [httpx.get(f"{server.url}{path}") for path in ("/docs", "/info", "/nowhere")]
    answers += [http.get("/info"), http.get("/docs", headers=HTML), httpx.get(server.url, headers={"origin": "x"})]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "server" not in answer.headers


def test_the_http_client_shows_its_key(locked: RunningServer, key: ClientKey, png: bytes) -> None:
    """With a key the distribution's client is answered; without, the refusal says what is missing."""
    with HttpClient(locked.url, key=key, timeout=30) as client:
        assert client.segment(png).body["type"] == "result"
    with HttpClient(locked.url, timeout=30) as client:
        assert client.is_ready()
        with pytest.raises(RequestRefused, match="a key is needed"):
            client.segment(png)
