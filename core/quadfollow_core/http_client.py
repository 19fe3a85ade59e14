"""Ask a quadfollow server over HTTP."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
from numpy.typing import NDArray

from quadfollow_core.client_key import ClientKey
from quadfollow_core.codec import MEDIA_TYPES, as_file, sniff
from quadfollow_core.errors import BadInput, QuadfollowError, ServerGone
from quadfollow_core.json_text import dump
from quadfollow_core.types import Sighting

LOOPBACK = ("localhost", "127.0.0.1", "::1")


class RequestRefused(QuadfollowError):
    """The server answered with a problem document; ``status`` and ``problem`` carry it."""

    code = "refused"

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(f"HTTP {status}: {problem.get('detail') or problem.get('title') or 'no detail'}")
        self.status = status
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of ``POST /segment``: what was located, and the whole JSON ``body`` it came in."""

    sighting: Sighting
    body: dict[str, Any]


class HttpClient:
    """A client of one server's HTTP door; use it as a context manager. A server that asks for keys needs ``key``.

    Example::

        with HttpClient("http://127.0.0.1:8000") as client:
            target = client.segment(image).sighting.target

    Raises:
        BadInput: ``url`` is no HTTP address.
    """

    def __init__(
        self, url: str = "http://127.0.0.1:8000", *, timeout: float = 5.0, key: ClientKey | None = None
    ) -> None:
        headers = {} if key is None else {"authorization": f"Bearer {key.api_key}"}
        # A proxy named in the environment is not for this machine's own addresses; certificates named there are.
        trust_env = _parsed(url).host not in LOOPBACK
        certificates = httpx.create_ssl_context()
        self._http = httpx.Client(
            base_url=url, timeout=timeout, headers=headers, trust_env=trust_env, verify=certificates
        )

    def __enter__(self) -> HttpClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def segment(
        self,
        image: NDArray[np.uint8] | bytes,
        *,
        camera: dict[str, Any] | None = None,
        depth: bytes | None = None,
        depth_header: dict[str, Any] | None = None,
        **options: str | int | float,
    ) -> Answer:
        """Locate the target in one frame.

        Args:
            image: ``(H, W, 3)`` uint8 RGB, sent as JPEG of quality 90, or the bytes of a JPEG, PNG or WebP file.
            camera: intrinsics and pose as in the wire's ``camera`` object.
            depth: bytes of a depth picture, described by ``depth_header``.
            depth_header: ``{"encoding": …, "scale": …}`` as in the wire's ``depth`` object.
            options: query parameters of ``/segment``: ``model``, ``stream``, ``mask``, ``threshold``, ``min_area``.

        Raises:
            RequestRefused: the server refused the request; the message is its problem's detail.
            ServerGone: no answer in time, or one that is not a quadfollow server's.
            BadInput: the image is neither pixels nor a file's bytes.
            BadMessage: camera or depth header hold what JSON cannot.
        """
        data = as_file(image)
        media_type = MEDIA_TYPES[sniff(data)]
        if camera is None and depth is None:
            return self._answer("/segment", options, content=data, headers={"content-type": media_type})
        files: dict[str, Any] = {"file": ("frame", data, media_type)}
        if camera is not None:
            files["camera"] = (None, dump(camera), "application/json")
        if depth is not None:
            files["depth"] = ("depth", depth, "application/octet-stream")
            files["depth_header"] = (None, dump(depth_header or {}), "application/json")
        return self._answer("/segment", options, files=files)

    def info(self) -> dict[str, Any]:
        """What the server is: models and their contracts, provider, limits."""
        return self._json(self._request("GET", "/info"))

    def is_ready(self) -> bool:
        """Whether the server has run its warm-up inference and takes frames."""
        try:
            return self._http.get("/readyz").status_code == 200
        except httpx.HTTPError:
            return False

    def _answer(self, path: str, options: dict[str, Any], **content: Any) -> Answer:
        if options.get("stream"):  # where several servers share the work, one of them gets all frames of a stream
            session = quote(str(options["stream"]), safe="")
            content["headers"] = content.get("headers", {}) | {"x-session-id": session}
        body = self._json(self._request("POST", path, params=options, **content))
        try:
            return Answer(Sighting.from_dict(body), body)
        except BadInput as error:
            raise ServerGone(f"{self._http.base_url} answered, but not as a quadfollow server: {error}") from error

    def _request(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **content)
        except httpx.HTTPError as error:
            if (fault := _untrusted(error)) is not None:
                raise ServerGone(
                    f"the certificate of {self._http.base_url} is not trusted: {fault}; SSL_CERT_FILE names the file "
                    "of one to trust, or of its authority's, in PEM, and it must be for the name in this address"
                ) from error
            raise ServerGone(f"no answer from {self._http.base_url}: {error!r}; is `quadfollow serve` up?") from error

    @staticmethod
    def _json(response: httpx.Response) -> dict[str, Any]:
        try:
            body = response.json()
        except ValueError:
            body = None
        if response.is_error:
            raise RequestRefused(
                response.status_code, body if isinstance(body, dict) else {"detail": response.text[:200]}
            )
        if not response.is_success or not isinstance(body, dict):
            raise ServerGone(
                f"{response.url} answered HTTP {response.status_code} and no JSON object: not a quadfollow server, or "
                "something between that redirects or rewrites"
            )
        return body


def _untrusted(error: BaseException | None) -> str | None:
    """What is wrong with the certificate that an error is about; None where it is about something else."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return None if error is None else error.verify_message.rstrip(".")


def _parsed(url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
        parsed.raw_host.decode().encode("idna")  # as the look-up of the name will do it
    except (httpx.InvalidURL, UnicodeError) as error:
        raise BadInput(f"{url!r} is not an HTTP address such as http://127.0.0.1:8000: {error}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise BadInput(f"{url!r} is not an HTTP address such as http://127.0.0.1:8000")
    return parsed
