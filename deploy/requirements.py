"""Prints what the package needs with some of its extras, a line each, so that the image installs that before all else.

``python3 deploy/requirements.py EXTRA[,EXTRA…]``, in the folder of pyproject.toml; nothing but the standard library.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

OWN = re.compile(r"quadfollow\[(.+)\]")


def requirements(project: dict[str, Any], extras: Iterable[str]) -> Iterator[str]:
    """Yield the requirements of the package itself and of these extras, those of extras that they name included."""
    yield from project["dependencies"]
    for extra in extras:
        yield from _of_extra(project["optional-dependencies"], extra)


def _of_extra(table: dict[str, list[str]], extra: str) -> Iterator[str]:
    if extra not in table:
        sys.exit(f"there is no extra {extra!r}: {', '.join(sorted(table))}")
    for line in table[extra]:
        if own := OWN.fullmatch(line):
            for other in own[1].split(","):
                yield from _of_extra(table, other)
        else:
            yield line


if __name__ == "__main__":
    with Path("pyproject.toml").open("rb") as file:
        told = tomllib.load(file)["project"]
    print(*requirements(told, filter(None, ",".join(sys.argv[1:]).split(","))), sep="\n")
