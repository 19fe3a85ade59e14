"""The folder of keys behind ``serve --keys``: who may come in, and how the server shows that it is itself.

``server.json`` is the server's Curve pair. ``clients.json`` has a row per client: its name, the SHA-256 of its API key
(256 random bits need no slower hash) and its public Curve key; so nothing in it lets anyone in.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import zmq

from quadfollow_core.client_key import ClientKey, is_curve_key
from quadfollow_core.errors import BadInput, NotFound, Unavailable
from quadfollow_core.files import save_whole, stamp_of

log = logging.getLogger(__name__)

SERVER, CLIENTS = "server.json", "clients.json"
PREFIX = "qf_"
"""What API keys begin with, so that scanners for leaked secrets can tell them."""
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
MAKE = "make one with `quadfollow keys new NAME --keys {folder}`"


@dataclass(frozen=True, slots=True)
class Client:
    """One client that may come in."""

    name: str
    api_key_sha256: str
    public_key: str
    created: str

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and NAME.fullmatch(self.name)):
            raise BadInput(f"a client's name has 1 to 64 letters, digits, '-' and '_', got {self.name!r}")
        if not re.fullmatch(r"[0-9a-f]{64}", str(self.api_key_sha256)) or not is_curve_key(self.public_key):
            raise BadInput(f"the row of client {self.name} has no SHA-256 or no Curve key")


@dataclass(frozen=True, slots=True)
class ServerPair:
    """The server's Curve keys in Z85."""

    public_key: str
    secret_key: str = field(repr=False)


class Clients:
    """The clients that may come in, as their file says now: a change of it counts at once, without a restart.

    While the file is damaged, what it said last holds; while it is missing, nobody may come in.

    Raises:
        NotFound: the folder has no keys yet.
        BadInput: its files are not what ``quadfollow keys`` writes.
        Unavailable: they cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / CLIENTS
        self.server = read_server_pair(folder)
        self._by_name: dict[str, Client] = {}
        self._complained = False
        self._stamp = stamp_of(self._file)
        self._take(read_clients(folder))

    @property
    def all(self) -> tuple[Client, ...]:
        """Everyone who may come in now."""
        self._refresh()
        return tuple(self._by_name.values())

    def named(self, name: str) -> Client | None:
        """The client that goes by a name now; after a revocation another may."""
        self._refresh()
        return self._by_name.get(name)

    def name_of_api_key(self, presented: str) -> str | None:
        """Whose API key this is; takes as long for a wrong one as for a right one."""
        digest = hash_api_key(presented)
        matching = [one.name for one in self.all if hmac.compare_digest(one.api_key_sha256, digest)]
        return matching[0] if matching else None

    def name_of_public_key(self, presented: str) -> str | None:
        """Whose public Curve key this is. That its owner holds the secret one was proven by the handshake."""
        return next((one.name for one in self.all if one.public_key == presented), None)

    def _refresh(self) -> None:
        stamp = stamp_of(self._file)
        if stamp == self._stamp:
            return
        try:
            self._take(read_clients(self._file.parent))
        except Unavailable as error:  # for want of a file handle, say: what is in it may be a revocation
            if not self._complained:
                log.error("the keys cannot be looked up now: %s", error)
            self._complained = True
            return
        except BadInput as error:
            log.error("the keys stay as they were: %s", error)
        else:
            log.info("the keys have changed: %d clients may come in", len(self._by_name))
        self._stamp, self._complained = stamp, False

    def _take(self, clients: Iterable[Client]) -> None:
        self._by_name = {client.name: client for client in clients}


def new_client(folder: Path, name: str) -> ClientKey:
    """Let one more client in; the folder and the server's pair are made where they are not there yet.

    Raises:
        BadInput: the name is taken or no name.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (folder / SERVER).exists():
        public, secret = zmq.curve_keypair()
        _write(folder / SERVER, {"public_key": public.decode(), "secret_key": secret.decode()})
    server, clients = read_server_pair(folder), read_clients(folder)
    if any(client.name == name for client in clients):
        raise BadInput(f"there is a client {name!r} already: choose another name, or revoke it first")
    api_key = PREFIX + secrets.token_urlsafe(32)
    public, secret = zmq.curve_keypair()
    now = datetime.now(UTC).isoformat(timespec="seconds")
    client = Client(name, hash_api_key(api_key), public.decode(), now)
    _write(folder / CLIENTS, {"clients": [asdict(one) for one in (*clients, client)]})
    return ClientKey(name, api_key, server.public_key, public.decode(), secret.decode())


def revoke_client(folder: Path, name: str) -> None:
    """Let a client in no more.

    Raises:
        NotFound: there is no such client; the message lists those there are.
    """
    clients = read_clients(folder)
    left = [asdict(client) for client in clients if client.name != name]
    if len(left) == len(clients):
        known = ", ".join(client.name for client in clients) or "none"
        raise NotFound(f"no client {name!r} in {folder}; there is {known}")
    _write(folder / CLIENTS, {"clients": left})


def read_clients(folder: Path) -> tuple[Client, ...]:
    """Read who may come in; nobody, where there is no file.

    Raises:
        BadInput: the file is damaged; the message has nothing of its content.
        Unavailable: it cannot be read at present.
    """
    try:
        rows = json.loads((folder / CLIENTS).read_text())["clients"]
        return tuple(Client(**row) for row in rows)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise Unavailable(f"{folder / CLIENTS} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise BadInput(f"{folder / CLIENTS} is not what `quadfollow keys` writes") from error


def read_server_pair(folder: Path) -> ServerPair:
    """Read the server's own Curve pair.

    Raises:
        NotFound: there is none yet.
        BadInput: the file is damaged.
    """
    try:
        pair = ServerPair(**json.loads((folder / SERVER).read_text()))
    except FileNotFoundError as error:
        raise NotFound(f"no keys in {folder}: {MAKE.format(folder=folder)}") from error
    except OSError as error:
        raise BadInput(f"{folder / SERVER} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError):
        raise BadInput(f"{folder / SERVER} is not what `quadfollow keys` writes") from None
    if not (is_curve_key(pair.public_key) and is_curve_key(pair.secret_key)):
        raise BadInput(f"{folder / SERVER} is not what `quadfollow keys` writes")
    return pair


def hash_api_key(api_key: str) -> str:
    """Hash an API key as it is stored."""
    return hashlib.sha256(api_key.encode(errors="surrogatepass")).hexdigest()


def write_secret(path: Path, text: str) -> None:
    """Write a whole file that its owner alone can read, in the place of an older one."""

    def fill(part: Path) -> None:
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)

    save_whole(path, fill)


def _write(path: Path, content: dict[str, Any]) -> None:
    write_secret(path, json.dumps(content, indent=1) + "\n")
