"""The documentation: it builds without a broken link, its commands exist, its programs run."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml
from tests.packaging.conftest import ROOT
from tests.packaging.pages import BLOCK, PAGES, blocks, shell_lines

from quadfollow_core.cli import quadfollow
from quadfollow_server.running import RunningServer
from quadfollow_server.settings import Settings
from quadfollow_sim.drawn import DrawnSource
from quadfollow_sim.mission import city_is_missing

PLACEHOLDERS = re.compile(r"[…]|\.\.\.")
LANGUAGES = {"sh", "python", "py", "json", "yaml", "text"}
"""Of these, `text` alone is no code."""


def build(source: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build the site as `make docs` does."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", "mkdocs.yml", "--site-dir", site]
    return subprocess.run([str(word) for word in command], cwd=source, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the site's sources."""
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    return tmp_path


def test_the_site_builds_without_a_warning(copy: Path) -> None:
    """Every link and anchor leads somewhere; the commands' help is among the pages."""
    built = build(copy, copy / "site")
    assert built.returncode == 0, built.stderr
    assert "quadfollow data render" in (copy / "site" / "commands.html").read_text()
    reference = (copy / "site" / "http-reference.html").read_text()
    assert [name for name in ("/segment", "deadline_ms", "held_ms", "position_sigma") if name not in reference] == []


@pytest.mark.parametrize(("heading", "there"), [("a-heading", True), ("no-such-heading", False)])
def test_a_broken_link_is_refused(tmp_path: Path, heading: str, there: bool) -> None:
    """Negative control: in a site of two pages, by the rules of ours, a link to no heading ends the build."""
    rules, _, _ = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")
    (tmp_path / "mkdocs.yml").write_text(rules.replace("hooks:\n  - docs/site_hooks.py\n", "") + "\n")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text(f"# One\n\n[other](other.md#{heading})\n")
    (tmp_path / "docs" / "other.md").write_text("# Other\n\n## A heading\n")
    built = build(tmp_path, tmp_path / "site")
    assert (built.returncode == 0) == there, built.stderr
    assert ("no-such-heading" in built.stderr) != there


def test_every_block_names_its_language() -> None:
    """No block of the site is code that nobody looks at."""
    pages = [page for page in PAGES if page.name != "README.md"]
    named = {(page.name, language) for page in pages for language, _ in BLOCK.findall(page.read_text())}
    assert {(page, language) for page, language in named if language not in LANGUAGES} == set()


def test_json_and_yaml_can_be_read() -> None:
    """Every such block is whole."""
    read = [json.loads(code) for page in PAGES for code in blocks(page, "json")]
    read += [yaml.safe_load(code) for page in PAGES for code in blocks(page, "yaml")]
    assert all(isinstance(value, dict) for value in read)
    assert len(read) >= 5


def quoted_messages() -> Iterator[str]:
    """The messages that the pages quote in the first column of a table on what one sees, in pieces without numbers."""
    for page in PAGES:
        seen, column = False, ""
        for line in page.read_text().splitlines():
            column = line.split("|")[1].strip() if line.startswith("|") else ""
            seen = column == "what you see" or (seen and bool(column))
            for message in re.findall(r"(?<!\*)\*([^*]+)\*(?!\*)", column) if seen else ():
                yield from filter(None, (piece.strip() for piece in re.split(r"…|\d+|: ", message)))


def test_the_messages_in_the_troubleshooting_tables_are_the_programs() -> None:
    """Each quoted message stands in the source, but for its numbers and names."""
    folders = ("core", "server", "training", "export", "sim_bridge")
    sources = "".join(
        path.read_text() for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".js")
    )
    messages = list(quoted_messages())
    assert len(messages) > 10
    assert [piece for piece in messages if piece not in sources] == []


def written_commands() -> Iterator[tuple[str, str]]:
    """Every `quadfollow …` line in the documentation's shell blocks, with its page."""
    for page, line in shell_lines():
        if line.startswith("quadfollow ") and not PLACEHOLDERS.search(line):
            yield page, line


@pytest.mark.parametrize(("page", "line"), sorted(set(written_commands())))
def test_every_command_in_the_documentation_exists(page: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command and its options are known and their values of the right kind; nothing is carried out."""
    words = [word for word in shlex.split(line, comments=True)[1:] if word != "&"]
    command: click.Command = quadfollow
    context = click.Context(quadfollow, info_name="quadfollow")
    while isinstance(command, click.Group):
        found = command.get_command(context, words.pop(0))
        assert found is not None, f"{page}: {line}"
        command = found
        context = click.Context(command, info_name=command.name, parent=context)
    for parameter in command.params:
        if isinstance(parameter.type, click.Path):
            monkeypatch.setattr(parameter.type, "exists", False)
    command.parse_args(context, words)


def test_an_unknown_option_would_be_noticed() -> None:
    """Negative control of the test above."""
    command = quadfollow.get_command(click.Context(quadfollow), "fly")
    assert command is not None
    with pytest.raises(click.NoSuchOption):
        command.parse_args(click.Context(command), ["--no-such-option"])


def programs() -> Iterator[tuple[str, str]]:
    """The documentation's Python programs, with their page."""
    for page in PAGES:
        for number, code in enumerate(blocks(page, "python"), 1):
            yield f"{page.name}-{number}", code


@pytest.mark.parametrize(("name", "code"), sorted(programs()))
def test_every_program_in_the_documentation_runs(name: str, code: str, tmp_path: Path) -> None:
    """As it stands, against a real server: only the ports are changed for free ones."""
    missing = city_is_missing() if "quadfollow_sim.city" in code else None
    if missing is not None:
        pytest.skip(str(missing))
    models = (str(ROOT / "models" / "follow-256.onnx"),)
    start = "from quadfollow_sim.drawn import DrawnSource\njpeg_bytes = jpeg = DrawnSource().read(56).image\n"
    with RunningServer(Settings(models=models, port=0, zmq_port=0, pub_port=0, device="cpu")) as server:
        for fixed, free in (("http://127.0.0.1:8000", server.url), ("tcp://127.0.0.1:5555", server.address)):
            code = code.replace(fixed, free)
        (tmp_path / "frame.jpg").write_bytes(DrawnSource().read(56).image)
        program = tmp_path / "program.py"
        program.write_text(start + code)
        done = subprocess.run(
            [sys.executable, program], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
        )
    assert done.returncode == 0, f"{name}: {done.stderr}"
