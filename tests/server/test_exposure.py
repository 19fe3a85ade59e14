"""What a server lays open: where it listens and with which keys, what it encrypts, and no secret at all."""

from __future__ import annotations

import json
import logging
import socket
import ssl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import trustme
from tests.server.conftest import bearer
from tests.server.dispatching import ANY

from quadfollow_core.client_key import VARIABLE, ClientKey
from quadfollow_core.errors import BadInput, NotFound
from quadfollow_core.stream_client import StreamClient
from quadfollow_server.access import Access, is_loopback
from quadfollow_server.binding import bound
from quadfollow_server.keys import new_client
from quadfollow_server.login import cookie_name
from quadfollow_server.running import RunningServer


def test_keys_that_are_not_there_end_the_start(folder: Path, constant: Callable[..., Any]) -> None:
    """A folder without keys is an error with its remedy, not an open or a dead door."""
    with (
        pytest.raises(NotFound, match="quadfollow keys new"),
        RunningServer(replace(ANY, access=Access(keys=str(folder))), [constant()]),
    ):
        pass


def test_a_public_address_without_keys_is_refused(
    folder: Path, constant: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Every way to say "all addresses" needs keys, or the word that none are wanted, which is warned of."""
    for host in ("0.0.0.0", "::"):
        with pytest.raises(BadInput, match="--insecure-public"), RunningServer(replace(ANY, host=host), [constant()]):
            pass
    caplog.set_level(logging.WARNING)
    insecure = replace(ANY, host="0.0.0.0", access=Access(insecure_public=True))
    with RunningServer(insecure, [constant()]) as server:
        assert httpx.get(f"http://127.0.0.1:{server.service.ports.http}/info").status_code == 200
    assert "open to everybody" in caplog.text
    if socket.has_dualstack_ipv6():
        with RunningServer(replace(insecure, host="::"), [constant()]) as server:
            assert httpx.get(f"http://127.0.0.1:{server.service.ports.http}/info").status_code == 200
    caplog.clear()
    new_client(folder, "drone")
    with RunningServer(replace(insecure, access=Access(keys=str(folder))), [constant()]) as server:
        assert httpx.get(f"http://127.0.0.1:{server.service.ports.http}/info").status_code == 401
    assert "unencrypted" in caplog.text
    caplog.clear()
    with RunningServer(ANY, [constant()]):
        pass
    assert not caplog.records


def listening(served: Any) -> set[str]:
    """The addresses that a server and its children listen on."""
    family = [psutil.Process(served.process.pid), served.child]
    found = [one for process in family for one in process.net_connections(kind="inet") if one.status == "LISTEN"]
    assert len(found) == 3, "HTTP, ROUTER and PUB"
    return {one.laddr.ip for one in found}


def test_a_name_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else a name stands for the next time it is asked, all three ports are on one address."""
    look_up, addresses = socket.getaddrinfo, ("127.0.0.2", "127.0.0.3")
    answers = iter(addresses)

    def drifting(host: str, *rest: Any, **options: Any) -> Any:
        return look_up(next(answers) if host == "drone.example" else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", drifting)
    with bound(replace(ANY, host="drone.example")):
        found = [one.laddr.ip for one in psutil.Process().net_connections("tcp") if one.status == "LISTEN"]
    assert [ip for ip in found if ip in addresses] == ["127.0.0.2"] * 3


def test_by_default_nothing_listens_beyond_the_loopback(models: tuple[Path, Path], serve: Callable[..., Any]) -> None:
    """All sockets of a real `quadfollow serve` are the loopback's; with another host the same look finds that."""
    with serve("--model", str(models[0])) as served:
        served.wait_ready()
        assert listening(served) == {"127.0.0.1"}
    with serve("--model", str(models[0]), "--host=0.0.0.0", "--insecure-public") as served:
        served.wait_ready()
        assert listening(served) == {"0.0.0.0"}


def test_no_secret_is_told(
    models: tuple[Path, Path],
    serve: Callable[..., Any],
    folder: Path,
    key: ClientKey,
    png: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither logs at their loudest, nor process lists, `/info`, `/metrics` or any answer show a key."""
    monkeypatch.setenv(VARIABLE, str(folder / "unused"))  # a server passes over what clients need
    hidden = {key.api_key, key.secret_key, json.loads((folder / "server.json").read_text())["secret_key"]}
    with serve("--model", str(models[0]), "--keys", str(folder), "--log-level=debug") as served:
        served.wait_ready()
        shown = []
        with httpx.Client(base_url=served.url, timeout=30) as http:
            wrong = replace(key, api_key=key.api_key + "x")
            shown += [http.get(path, headers=bearer(key)).text for path in ("/info", "/metrics", "/openapi.json")]
            shown += [http.get(path, headers=bearer(wrong)).text for path in ("/info", f"/{key.api_key}"[:9])]
            login = http.post("/login", data={"key": key.api_key})
            hidden.add(http.cookies[cookie_name(key.server_key)])
            shown += [login.text, http.get("/info").text]
        with StreamClient(served.address, timeout=30, key=key) as client:
            client.offer(png)
            assert [fate.outcome for fate in client.poll(30)] == ["result"]
        for process in (psutil.Process(served.process.pid), served.child):
            shown.append(" ".join(process.cmdline()))
            shown.append(json.dumps(process.environ()))
        served.process.terminate()
        served.join()
        shown.append("".join(served.lines))
    assert str(folder) in shown[-1]
    assert not [secret for secret in hidden for text in shown if secret in text]


def test_tls_is_served(constant: Callable[..., Any], tmp_path: Path, png: bytes) -> None:
    """With certificate and key the HTTP door speaks TLS alone, and sessions keep to it."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost")
    cert, private = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    private.write_bytes(issued.private_key_pem.bytes())
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    key = new_client(tmp_path / "keys", "drone")
    access = Access(keys=str(tmp_path / "keys"), tls_cert=str(cert), tls_key=str(private))
    with RunningServer(replace(ANY, access=access), [constant()]) as server:
        with httpx.Client(base_url=server.url, verify=trust, timeout=30) as http:
            assert http.post("/segment", content=png, headers=bearer(key)).json()["type"] == "result"
            assert "; Secure" in http.post("/login", data={"key": key.api_key}).headers["set-cookie"]
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{server.service.ports.http}/livez")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"tls_cert": "x"}, "both"),
        ({"tls_cert": "no.pem", "tls_key": "no.pem"}, r"no\.pem"),
        ({"tls_cert": __file__, "tls_key": __file__}, "both PEM"),
        ({"allow_origins": ("drone.example",)}, "origin"),
        ({"allow_origins": ("*",)}, "origin"),
        ({"allow_origins": ("https://drone.example/",)}, "origin"),
    ],
)
def test_access_is_checked_when_made(wrong: dict[str, Any], words: str) -> None:
    """Half a TLS pair, files that are not there and what is no origin are refused."""
    with pytest.raises(BadInput, match=words):
        Access(**wrong)


@pytest.mark.parametrize(
    ("address", "alone"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:10.0.0.5", False),
        ("::", False),
        ("0.0.0.0", False),
        ("fe80::1%eth0", False),
        ("drone", False),
        ("", False),
    ],
)
def test_what_reaches_this_machine_alone(address: str, alone: bool) -> None:
    """However the address is written."""
    assert is_loopback(address) is alone
