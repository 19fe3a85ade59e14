"""Who may reach the server, and how: chosen once, checked before anything listens."""

from __future__ import annotations

import ipaddress
import re
import ssl
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from quadfollow_core.errors import BadInput
from quadfollow_server.keys import MAKE, Clients

ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Access:
    """Keys, TLS and foreign origins; all closed unless opened."""

    keys: str | None = None
    """Folder of keys that both doors then ask for; None to let in whoever can reach the server."""
    insecure_public: bool = False
    """Whether to listen to other machines without any keys."""
    tls_cert: str | None = None
    """PEM file of the certificate (chain) with which HTTP becomes HTTPS."""
    tls_key: str | None = None
    """PEM file of its private key."""
    allow_origins: tuple[str, ...] = ()
    """Web origins, such as ``https://drone.example``, whose pages may call this server, and host names it goes by."""

    def __post_init__(self) -> None:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise BadInput("TLS needs both --tls-cert and --tls-key")
        for what, path in (("--tls-cert", self.tls_cert), ("--tls-key", self.tls_key)):
            if path is not None and not Path(path).is_file():
                raise BadInput(f"{what}: no file at {path}")
        if self.tls_cert is not None:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.tls_cert, self.tls_key)
            except OSError as error:  # SSLError is one
                raise BadInput(
                    f"--tls-cert {self.tls_cert} and --tls-key {self.tls_key} are no certificate with its key, both "
                    f"PEM: {error}"
                ) from error
        for origin in self.allow_origins:
            if not ORIGIN.fullmatch(origin):
                raise BadInput(f"--allow-origin takes an origin such as https://drone.example, got {origin!r}")

    def require_private(self, address: str) -> None:
        """Refuse to listen where other machines reach the server, unless it asks for keys or was told to.

        Args:
            address: the IP address it will listen on.

        Raises:
            BadInput: it would be open to whoever can reach it.
        """
        if not (is_loopback(address) or self.keys is not None or self.insecure_public):
            raise BadInput(
                f"{address} is reachable from other machines and no keys are asked for: "
                f"{MAKE.format(folder='DIR')} and add `--keys DIR`, or add --insecure-public "
                "where everybody who can reach it may use it"
            )

    def clients(self) -> Clients | None:
        """Who may come in, as the folder of keys says; None where nobody is asked for a key.

        Raises:
            NotFound, BadInput, Unavailable: see :class:`quadfollow_server.keys.Clients`.
        """
        return None if self.keys is None else Clients(Path(self.keys))

    def warnings(self, address: str) -> list[str]:
        """Say what is risky about listening on an address."""
        if is_loopback(address):
            return []
        if self.keys is None:
            return [f"{address} is open to everybody who can reach it: frames, results, metrics; see --keys"]
        if self.tls_cert is None:
            return ["API keys and pictures over HTTP travel unencrypted: use --tls-cert and --tls-key, or a TLS proxy"]
        return []

    def uvicorn_options(self) -> dict[str, Any]:
        """The TLS part of uvicorn's configuration."""
        return {} if self.tls_cert is None else {"ssl_certfile": self.tls_cert, "ssl_keyfile": self.tls_key}


@lru_cache(maxsize=64)  # asked for each request
def is_loopback(address: str) -> bool:
    """Whether an IP address (with a zone or not) reaches this machine alone."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback  # ::ffff:127.0.0.1, of who listens on both
