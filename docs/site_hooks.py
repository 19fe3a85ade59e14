"""What the site gets besides its pages, made at each build: every command's help, every field of the HTTP door."""

from __future__ import annotations

from collections.abc import Iterator

import click
from http_reference import reference_page
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from quadfollow_core.cli import quadfollow

WIDTH = 100
START = """# Commands

Every command's `--help`, as it prints it. Each option can be set by the environment too: `QUADFOLLOW_SERVE_PORT` is
`quadfollow serve --port`.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    for name, content in (("commands.md", commands_page()), ("http-reference.md", reference_page())):
        files.append(File.generated(config, name, content=content))
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
