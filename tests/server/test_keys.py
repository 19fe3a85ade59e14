"""The folder of keys: what `quadfollow keys` writes, shows and takes back, and how a running server follows it."""

from __future__ import annotations

import errno
import json
import stat
from pathlib import Path
from typing import Any

import pytest
import zmq
from click.testing import CliRunner, Result

from quadfollow_core.client_key import VARIABLE, ClientKey
from quadfollow_core.errors import BadInput, NotFound
from quadfollow_server.keys import CLIENTS, SERVER, Clients, new_client, revoke_client
from quadfollow_server.keys_cli import keys


def run(*words: str | Path) -> Result:
    """Run `quadfollow keys`."""
    return CliRunner().invoke(keys, [str(word) for word in words], catch_exceptions=False)


def secrets_of(key: ClientKey, folder: Path) -> list[str]:
    """All that must never be shown."""
    return [key.api_key, key.secret_key, json.loads((folder / SERVER).read_text())["secret_key"]]


def test_a_new_client_gets_a_file_and_sees_its_key_once(tmp_path: Path) -> None:
    """`new` prints the API key and writes what ClientKey loads; every file is its owner's alone."""
    folder, out = tmp_path / "keys", tmp_path / "drone.json"
    told = json.loads(run("new", "drone", "--keys", folder, "--out", out, "--json").stdout)
    key = ClientKey.load(out)
    assert (told["name"], told["api_key"], told["file"]) == ("drone", key.api_key, str(out))
    assert zmq.curve_public(key.secret_key.encode()).decode() == key.public_key == told["public_key"]
    for path in (out, folder / SERVER, folder / CLIENTS):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    kept = (folder / CLIENTS).read_text()
    assert key.api_key not in kept
    assert key.secret_key not in kept
    assert key.secret_key not in json.dumps(told)


def test_a_key_file_can_go_to_standard_output(tmp_path: Path) -> None:
    """With `--out -` nothing but the key file is printed, and none is written."""
    (tmp_path / "piped.json").write_text(run("new", "drone", "--keys", tmp_path / "keys", "--out", "-").stdout)
    key = ClientKey.load(tmp_path / "piped.json")
    assert Clients(tmp_path / "keys").name_of_api_key(key.api_key) == "drone"


def test_no_later_command_shows_a_secret(tmp_path: Path) -> None:
    """`list`, as text or JSON, `revoke` and every error name clients and nothing that lets one in."""
    folder, out = tmp_path / "keys", tmp_path / "drone.json"
    run("new", "drone", "--keys", folder, "--out", out)
    hidden = secrets_of(ClientKey.load(out), folder)
    shown = [run("list", "--keys", folder).stdout, run("list", "--keys", folder, "--json").stdout]
    assert "drone" in shown[0]
    assert json.loads(shown[1])["clients"][0]["name"] == "drone"
    with pytest.raises(BadInput) as taken:
        run("new", "drone", "--keys", folder, "--out", tmp_path / "other.json")
    shown += [str(taken.value), repr(ClientKey.load(out)), repr(Clients(folder).server)]
    shown.append(run("revoke", "drone", "--keys", folder).stdout)
    assert not [secret for secret in hidden if any(secret in text for text in shown)]
    assert json.loads(run("list", "--keys", folder, "--json").stdout)["clients"] == []


def test_nothing_is_overwritten_and_names_are_checked(tmp_path: Path) -> None:
    """A key file that is there stays; a name that is none is refused; an unknown client cannot be revoked."""
    out = tmp_path / "mine.json"
    out.write_text("precious")
    with pytest.raises(BadInput, match=r"mine\.json"):
        run("new", "drone", "--keys", tmp_path / "keys", "--out", out)
    assert out.read_text() == "precious"
    assert not (tmp_path / "keys").exists()
    with pytest.raises(BadInput, match="letters"):
        run("new", "a.b", "--keys", tmp_path / "keys", "--out", tmp_path / "new.json")
    with pytest.raises(NotFound, match="there is none"):
        run("revoke", "nobody", "--keys", tmp_path / "keys")
    with pytest.raises(NotFound, match="quadfollow keys new"):
        run("list", "--keys", tmp_path / "nowhere")


def test_a_key_file_that_cannot_be_written_lets_nobody_in(tmp_path: Path) -> None:
    """Where the client's file has no place, the client is not kept either."""
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="cannot be written"):
        run("new", "drone", "--keys", tmp_path / "keys", "--out", tmp_path / "file" / "drone.json")
    assert Clients(tmp_path / "keys").all == ()


def test_clients_follow_their_file(tmp_path: Path) -> None:
    """Who is added comes in, who is revoked does not, a damaged file changes nothing, a missing one shuts all out."""
    first = new_client(tmp_path, "first")
    clients = Clients(tmp_path)
    assert clients.name_of_api_key(first.api_key) == "first"
    assert clients.name_of_public_key(first.public_key) == "first"
    second = new_client(tmp_path, "second")
    assert clients.name_of_api_key(second.api_key) == "second"
    revoke_client(tmp_path, "first")
    assert clients.name_of_api_key(first.api_key) is None
    assert clients.name_of_public_key(first.public_key) is None
    assert clients.named("first") is None
    kept = (tmp_path / CLIENTS).read_text()
    (tmp_path / CLIENTS).write_text(kept[:-20])
    assert clients.name_of_api_key(second.api_key) == "second"
    (tmp_path / CLIENTS).unlink()
    assert clients.name_of_api_key(second.api_key) is None
    (tmp_path / CLIENTS).write_text(kept)
    assert clients.named("second") is not None


def test_a_revocation_outlives_a_look_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the changed file cannot be read for a while, it is read as soon as it can be; the log says so once."""
    key = new_client(tmp_path, "drone")
    clients = Clients(tmp_path)
    revoke_client(tmp_path, "drone")
    with monkeypatch.context() as full:

        def no_handle(*_: object, **__: object) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

        full.setattr(Path, "read_text", no_handle)
        for _ in range(3):
            assert clients.name_of_api_key(key.api_key) == "drone"
    assert clients.name_of_api_key(key.api_key) is None
    assert caplog.text.count("Too many open files") == 1


@pytest.mark.parametrize("wrong", ["", "qf_", "qf_\udcff", "a" * 100_000])
def test_a_wrong_key_is_nobodys(tmp_path: Path, wrong: str) -> None:
    """Whatever is presented, only the very key is known."""
    new_client(tmp_path, "one")
    assert Clients(tmp_path).name_of_api_key(wrong) is None


@pytest.mark.parametrize("row", ["{}", '{"name": "x"}', "[]", '{"clients": [{"name": "x"}]}', '{"clients": [1]}', "x"])
def test_a_damaged_folder_ends_the_start(tmp_path: Path, row: str) -> None:
    """A server is not started with keys that cannot be read; the message names the file."""
    new_client(tmp_path, "one")
    (tmp_path / CLIENTS).write_text(row)
    with pytest.raises(BadInput, match=r"clients\.json"):
        Clients(tmp_path)
    (tmp_path / SERVER).write_text(row)
    with pytest.raises(BadInput, match=r"server\.json"):
        Clients(tmp_path)


@pytest.mark.parametrize(
    "change",
    [{"api_key": "tab\t"}, {"api_key": 5}, {"secret_key": "short"}, {"server_key": '"' * 40}, {"public_key": None}],
)
def test_a_damaged_key_file_is_refused_by_name_alone(tmp_path: Path, change: dict[str, Any]) -> None:
    """Errors about a key file name it and show nothing of what is in it."""
    key = new_client(tmp_path / "keys", "one")
    fields = json.loads(key.to_json())
    path = tmp_path / "one.json"
    path.write_text(json.dumps(fields | change))
    with pytest.raises(BadInput, match=r"one\.json") as refused:
        ClientKey.load(path)
    assert key.secret_key not in str(refused.value)
    assert key.api_key not in str(refused.value)


def test_a_key_file_is_found_by_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """QUADFOLLOW_KEY_FILE names the file; without it there is no key; a wrong path is an error."""
    monkeypatch.delenv(VARIABLE, raising=False)
    assert ClientKey.from_environment() is None
    key = new_client(tmp_path, "one")
    (tmp_path / "one.json").write_text(key.to_json())
    monkeypatch.setenv(VARIABLE, str(tmp_path / "one.json"))
    assert ClientKey.from_environment() == key
    monkeypatch.setenv(VARIABLE, str(tmp_path / "two.json"))
    with pytest.raises(BadInput, match=r"two\.json"):
        ClientKey.from_environment()
