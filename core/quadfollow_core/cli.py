"""The console command ``quadfollow``: a group whose sub-commands are found by entry point and loaded when used."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any, NoReturn

import click
from click.core import ParameterSource
from click.shell_completion import get_completion_class

from quadfollow_core.errors import BadDataset, BadInput, QuadfollowError, Unavailable

COMMANDS = "quadfollow.commands"
PREFIX = "QUADFOLLOW"
EXITS = """Exit codes: 0 done; 1 failed; 2 wrong usage or input; 3 data or model refused; 4 something missing on this
machine (an extra, a provider, a free port); 5 the server does not answer; 130 interrupted."""


class LazyGroup(click.Group):
    """A click group that imports a sub-command's package only when that command is asked for.

    Args:
        points: the group of entry points that its sub-commands are announced in, beside its own.
    """

    def __init__(self, *args: Any, points: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self._points = points
        self.prefix = PREFIX
        """What the environment variables of its sub-commands' options begin with."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Name every sub-command."""
        return sorted([*self.commands, *(point.name for point in entry_points(group=self._points))])

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Load one sub-command."""
        if name in self.commands:
            return self.commands[name]
        for point in entry_points(group=self._points, name=name):
            command: click.Command = point.load()
            name_variables(command, f"{self.prefix}_{name}")
            return command
        return None


def name_variables(command: click.Command, prefix: str) -> None:
    """Give every option the environment variable of its long name, which click derives from Python's name for it."""
    for option in command.params:
        long = next((flag[2:] for flag in option.opts if flag.startswith("--")), None)
        if isinstance(option, click.Option) and option.envvar is None and long is not None:
            option.envvar = f"{prefix}_{long}".replace("-", "_").upper()
    if isinstance(command, LazyGroup):
        command.prefix = prefix
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            name_variables(inner, f"{prefix}_{name}")


@click.group(cls=LazyGroup, points=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}, epilog=EXITS)
@click.version_option(version("quadfollow"), prog_name="quadfollow")
def quadfollow() -> None:
    """Real-time follow-me for a quadcopter: train, export, serve, fly.

    Every option can be set by environment too: QUADFOLLOW_<COMMAND>_<OPTION>, such as QUADFOLLOW_SERVE_PORT.
    """


@quadfollow.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the tab-completion script for SHELL; for bash: eval "$(quadfollow completion bash)"."""
    kind = get_completion_class(shell)
    if kind is None:
        raise Unavailable(f"no completion for {shell}")
    click.echo(kind(quadfollow, {}, "quadfollow", "_QUADFOLLOW_COMPLETE").source())


@click.command()
@click.option("--predictions", required=True, type=click.Path(path_type=Path), help="Folder of <set>/*.png.")
@click.option("--truth", required=True, type=click.Path(path_type=Path), help="Folder of <set>/masks/*.png.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def score(predictions: Path, truth: Path, as_json: bool) -> None:
    """Score folders of predicted masks with the official Follow-Me score."""
    from quadfollow_core.scoring import score_folders

    result = score_folders(predictions, truth, progress=lambda name: click.echo(f"scoring {name}", err=True)).as_dict()
    click.echo(json.dumps(result) if as_json else score_table(result))


def score_table(score: dict[str, Any]) -> str:
    """Lay a score out as text: the final number where it is the official one, a row per set and per target size."""
    final = (
        f"final score {score['final']:.4f} = weight {score['weight']:.4f} x IoU {score['final_iou']:.4f}"
        f"   (TP {score['tp']}, FP {score['fp']}, FN {score['fn']})"
        if "final" in score
        else "not the official sets: no final score"
    )
    lines = [
        final,
        f"{'set':18}{'frames':>7}{'TP':>5}{'FP':>5}{'FN':>5}{'IoU target':>12}{'people':>8}{'ground':>8}",
    ]
    for name, part in score["sets"].items():
        counts = "".join(f"{part[key]:>5}" for key in ("tp", "fp", "fn"))
        ious = f"{part['iou_hero']:>12.4f}{part['iou_people']:>8.4f}{part['iou_bg']:>8.4f}"
        lines.append(f"{name:18}{part['n']:>7}{counts}{ious}")
    lines.append(f"{'target pixels':18}{'frames':>7}{'found':>7}{'IoU':>8}")
    for name, part in score["sets"].items():
        for size, row in part["by_size"].items():
            share = row["detected"] / row["frames"]
            lines.append(f"{f'{name[:10]} {size}':18}{row['frames']:>7}{share:>7.0%}{row['iou']:>8.3f}")
    return "\n".join(lines)


def refuse(names: Collection[str], where: str) -> None:
    """Refuse options of the current command, by Python's names for them, that were given and mean nothing there.

    One that the environment sets may be there for other commands.

    Raises:
        BadInput: there is one.
    """
    context = click.get_current_context()
    for option in context.command.params:
        if option.name in names and context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE:
            raise BadInput(f"{max(option.opts, key=len)} means nothing {where}")


def read_size(context: click.Context, option: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """An option's callback: read ``WIDTHxHEIGHT``."""
    if value is None:
        return None
    parts = value.lower().split("x")
    if len(parts) != 2 or not all(part.isascii() and part.isdecimal() and int(part) for part in parts):
        raise click.BadParameter(f"{value!r} is not WIDTHxHEIGHT, such as 256x256", context, option)
    return int(parts[0]), int(parts[1])


def unknown_variables() -> list[str]:
    """Environment variables that are named as the current command's options are and set none of them."""
    context = click.get_current_context()
    known = {option.envvar for option in context.command.params}
    prefix = "_".join([*context.command_path.split(), ""]).upper()
    return sorted(name for name in os.environ if name.startswith(prefix) and name not in known)


def main() -> NoReturn:
    """Run the console command and turn deliberate errors into one line and an exit code."""
    try:
        code = quadfollow.main(prog_name="quadfollow", standalone_mode=False)
    except QuadfollowError as error:
        click.echo(f"error: {error}", err=True)
        if isinstance(error, BadDataset) and error.problems:
            click.echo(f"{len(error.problems)} problem(s) in all", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.filename is None:
            raise
        # Of a file or folder that was named, and that nobody looked at closer.
        click.echo(f"error: {error.filename}: {error.strerror or error}", err=True)
        sys.exit(BadInput.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)
