"""The console command: what it lists, how it ends, where its options come from."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest

from quadfollow_core.cli import main, quadfollow
from quadfollow_core.codec import encode_png
from quadfollow_core.scoring import SETS


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the real console command."""
    command = [str(Path(sys.executable).with_name("quadfollow")), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment or None, check=False)


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that does something, with the words that call it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


EVERY = dict(commands(quadfollow))


def test_help_names_every_command_and_the_exit_codes() -> None:
    """`quadfollow --help` lists the commands with what they do, and what the exit codes mean."""
    shown = run("--help")
    assert shown.returncode == 0
    for words in EVERY:
        assert words[0] in shown.stdout
    assert "5 the server does not answer" in shown.stdout


def test_version() -> None:
    """`--version` prints name and version."""
    assert run("--version").stdout.startswith("quadfollow, version ")


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_every_command_explains_itself(words: tuple[str, ...]) -> None:
    """Each command has a help text, and each of its options one."""
    command = EVERY[words]
    assert command.help
    for option in command.params:
        assert not isinstance(option, click.Option) or option.help or option.name == "log_level", option.name


@pytest.mark.parametrize("words", [words for words in EVERY if words != ("completion",)], ids=" ".join)
def test_every_option_has_the_variable_of_its_long_name(words: tuple[str, ...]) -> None:
    """`--zmq-port` of `serve` is QUADFOLLOW_SERVE_ZMQ_PORT, and so on, whatever Python calls the parameter."""
    for option in EVERY[words].params:
        if isinstance(option, click.Option) and option.envvar != "QUADFOLLOW_DATA":
            long = next(flag[2:] for flag in option.opts if flag.startswith("--"))
            assert option.envvar == "_".join(["quadfollow", *words, long]).replace("-", "_").upper()


def test_a_variable_is_used_and_a_flag_beats_it(tmp_path: Path) -> None:
    """An option can come from the environment, and the command line wins."""
    picture = encode_png(np.zeros((4, 4, 3), np.uint8))
    for folder in [tmp_path / name / "masks" for name in SETS] + [tmp_path / "p" / name for name in SETS]:
        folder.mkdir(parents=True)
        (folder / "0.png").write_bytes(picture)
    options = ("score", "--predictions", str(tmp_path / "p"), "--truth", str(tmp_path))
    assert run(*options, QUADFOLLOW_SCORE_JSON="1").stdout.startswith("{")
    missing = run(*options[:3], QUADFOLLOW_SCORE_TRUTH="/nowhere")
    assert missing.returncode == 3
    assert "/nowhere" in missing.stderr
    assert run(*options, QUADFOLLOW_SCORE_TRUTH="/nowhere").returncode == 0


def test_wrong_usage_ends_with_two() -> None:
    """An unknown command or option is wrong usage."""
    assert run("dance").returncode == 2
    assert run("score", "--loudly").returncode == 2


def test_a_file_that_cannot_be_used_ends_with_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named in one line; an error of no file is a fault of the program, and shown as one."""
    monkeypatch.setattr(quadfollow, "main", lambda **options: (tmp_path / "no" / "file").write_text(""))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"error: {tmp_path / 'no' / 'file'}: No such file or directory\n"

    def fail(**options: object) -> None:
        raise ConnectionResetError("by peer")

    monkeypatch.setattr(quadfollow, "main", fail)
    with pytest.raises(ConnectionResetError):
        main()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    """Each shell gets its completion script."""
    assert "_QUADFOLLOW_COMPLETE" in run("completion", shell).stdout
