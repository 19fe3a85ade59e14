"""The Dockerfile's layers: what is large stays where only the sources have changed."""

from __future__ import annotations

import re

from tests.packaging.conftest import ROOT

IMAGES = ("serve", "sim", "train")


def stages() -> dict[str, tuple[str, str]]:
    """Each stage's base and text."""
    text = (ROOT / "Dockerfile").read_text()
    found = re.findall(r"^FROM (\S+) AS (\S+)\n(.*?)(?=^FROM |\Z)", text, re.MULTILINE | re.DOTALL)
    return {name: (base, body) for base, name, body in found}


def needs_the_sources(name: str) -> bool:
    """Whether a stage is made anew when a source changes."""
    if name not in stages():
        return False
    base, body = stages()[name]
    given = re.findall(r"^COPY --from=(\S+)", body, re.MULTILINE)
    return re.search(r"^COPY \. ", body, re.MULTILINE) is not None or any(map(needs_the_sources, [base, *given]))


def test_the_packages_layer_of_an_image_does_not_change_with_the_sources() -> None:
    """The packages, gigabytes of them, are one layer, and the program one on top of it."""
    for name in IMAGES:
        given = re.findall(r"^COPY --from=(\S+) \S+ (\S+)$", stages()[name][1], re.MULTILINE)
        assert [(needs_the_sources(source), folder) for source, folder in given] == [
            (False, "/opt/quadfollow"),
            (True, "/opt/quadfollow"),
        ]
