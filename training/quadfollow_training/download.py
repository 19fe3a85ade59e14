"""Downloading one large file over HTTP, patiently: what has arrived is kept, and asked for no second time."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import httpx

from quadfollow_core.errors import NotFound, QuadfollowError, ServerGone

Progress = Callable[[int, int | None], None]
"""Told the bytes that are here and the bytes in all (None while unknown)."""

_TOTAL = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+)")


class _Interrupted(QuadfollowError):
    """The transfer broke off; the rest can be asked for."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How often to go on after a transfer that brought nothing, and the first wait in seconds (it doubles)."""

    attempts: int = 5
    pause: float = 1.0


def download(
    client: httpx.Client,
    url: str,
    path: Path,
    progress: Progress = lambda done, total: None,
    patience: Patience | None = None,
) -> None:
    """Download ``url`` to ``path``, going on where an earlier attempt, also of another process, broke off.

    Raises:
        NotFound: the server refuses the address.
        ServerGone: it gave nothing in several attempts.
    """
    patience = patience or Patience()
    part = path.with_name(f"{path.name}.part")
    failures = 0
    while True:
        before = _size(part)
        try:
            _transfer(client, url, part, progress)
        except (httpx.TransportError, _Interrupted) as error:
            failures = 1 if _size(part) > before else failures + 1
            if failures >= patience.attempts:
                raise ServerGone(f"{url}: gave up after {failures} attempts that brought nothing: {error}") from error
            time.sleep(patience.pause * 2 ** (failures - 1))
        else:
            part.replace(path)
            _tag_file(part).unlink(missing_ok=True)
            return


def _transfer(client: httpx.Client, url: str, part: Path, progress: Progress) -> None:
    """Ask for what is missing and append it."""
    have = _size(part)
    with client.stream("GET", url, headers=_range(part, have)) as response:
        if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            _check_complete(response, part, have)
            return
        _check_status(response, url)
        have, total = _where(response, have)
        if have == 0:
            _remember_tag(response, part)
        with part.open("r+b" if have else "wb") as file:
            file.seek(have)
            for chunk in response.iter_raw():
                file.write(chunk)
                have += len(chunk)
                progress(have, total)
    if total is not None and have != total:
        raise _Interrupted(f"got {have} of {total} bytes")


def _range(part: Path, have: int) -> dict[str, str]:
    """Headers asking for the rest, but only of the very file that was begun; never a compressed transfer."""
    headers = {"Accept-Encoding": "identity"}
    tag = _tag_file(part)
    if have and tag.exists():
        headers |= {"Range": f"bytes={have}-", "If-Range": tag.read_text(encoding="utf-8")}
    return headers


def _check_status(response: httpx.Response, url: str) -> None:
    if response.is_server_error or response.status_code in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS):
        raise _Interrupted(f"the server answers {response.status_code}")
    if response.status_code not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
        raise NotFound(f"{url}: the server answers {response.status_code} {response.reason_phrase}")


def _where(response: httpx.Response, have: int) -> tuple[int, int | None]:
    """Say at which byte the answer starts and how many there are in all."""
    if response.status_code == HTTPStatus.OK:
        length = response.headers.get("Content-Length")
        return 0, int(length) if length else None
    match = _TOTAL.fullmatch(response.headers.get("Content-Range", ""))
    if match is None or match[1] is None or int(match[1]) > have:
        raise _Interrupted(f"asked for bytes from {have}, got {response.headers.get('Content-Range')!r}")
    return int(match[1]), int(match[2])


def _check_complete(response: httpx.Response, part: Path, have: int) -> None:
    """Nothing lies beyond what is here: either it is whole, or it is not of this file."""
    match = _TOTAL.fullmatch(response.headers.get("Content-Range", ""))
    if match is None or int(match[2]) != have:
        part.unlink()
        raise _Interrupted("what was here is not a part of this file; starting again")


def _remember_tag(response: httpx.Response, part: Path) -> None:
    """Note the file's version; without a strong one nothing is ever resumed."""
    tag = response.headers.get("ETag", "")
    version = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")
    if version:
        _tag_file(part).write_text(version, encoding="utf-8")
    else:
        _tag_file(part).unlink(missing_ok=True)


def _tag_file(part: Path) -> Path:
    return part.with_suffix(".version")


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0
