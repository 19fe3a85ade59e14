"""The documentation's pages and the code on them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.packaging.conftest import ROOT

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path, *languages: str) -> Iterator[str]:
    """A page's code in one of these languages."""
    for language, code in BLOCK.findall(page.read_text()):
        if language in languages:
            yield code


def shell_lines() -> Iterator[tuple[str, str]]:
    """Every line of the documentation's shell blocks without its comment, and its page; continued lines are one."""
    for page in PAGES:
        for code in blocks(page, "sh"):
            for line in re.sub(r"\\\n\s*", "", code).splitlines():
                if words := re.sub(r"\s+#.*$", "", line).strip():
                    yield page.name, words
