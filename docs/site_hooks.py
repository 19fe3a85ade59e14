"""What the site gets besides its pages: ``commands.md``, every command's help as it prints it, made at each build."""

from __future__ import annotations

from collections.abc import Iterator

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from quadfollow_core.cli import quadfollow

WIDTH = 100
START = """# Commands

Every command's `--help`, as it prints it. Each option can be set by the environment too: `QUADFOLLOW_SERVE_PORT` is
`quadfollow serve --port`.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page of commands."""
    files.append(File.generated(config, "commands.md", content=commands_page()))
    return files


def commands_page() -> str:
    """Every command's help."""
    top = click.Context(quadfollow, info_name="quadfollow", terminal_width=WIDTH)
    parts = [f"## {context.command_path}\n\n```text\n{context.get_help()}\n```\n" for context in _contexts(top)]
    return "\n".join([START, *parts])


def _contexts(context: click.Context) -> Iterator[click.Context]:
    """A command's context and those of all below it."""
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            assert command is not None
            yield from _contexts(click.Context(command, info_name=name, parent=context, terminal_width=WIDTH))
