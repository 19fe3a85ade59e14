"""The supervisor: whatever becomes of the server process, there is one that answers, or a reason why not."""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import click
import httpx
import numpy as np
import onnx
import psutil
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.server.conftest import PATIENCE

from quadfollow_core.codec import encode_png
from quadfollow_core.contract import Contract
from quadfollow_server import child, supervisor
from quadfollow_server.cli import serve as serve_command
from quadfollow_server.cli import unsupervised
from quadfollow_server.supervisor import Supervisor

LARGE = ("onnxruntime", "pydantic_core", "uvloop")
BACKOFF = supervisor.BACKOFF


def trap(model: onnx.ModelProto) -> onnx.ModelProto:
    """Make a model loop for ever, in native code, over a picture whose first pixel is wholly blue."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going_in"], ["going_out"]),
            helper.make_node("Identity", ["count_in"], ["count_out"]),
        ],
        "around",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("going_in", TensorProto.BOOL, []),
            helper.make_tensor_value_info("count_in", TensorProto.UINT8, []),
        ],
        [
            helper.make_tensor_value_info("going_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("count_out", TensorProto.UINT8, []),
        ],
    )
    model.graph.node[-1].output[0] = "probability"
    model.graph.node.extend(
        [
            helper.make_node("Slice", ["image", "corner", "corner_end", "axes"], ["corner_pixel"]),
            helper.make_node("Squeeze", ["corner_pixel"], ["corner_value"]),
            helper.make_node("Cast", ["corner_value"], ["corner_number"], to=TensorProto.INT64),
            helper.make_node("Equal", ["corner_number", "blue"], ["trapped"]),
            helper.make_node("Where", ["trapped", "for_ever", "never"], ["turns"]),
            helper.make_node("Loop", ["turns", "", "zero"], ["looped"], body=body),
            helper.make_node("Add", ["probability", "looped"], ["target_probability"]),
        ]
    )
    constants = {"corner": [0, 0, 0, 2], "corner_end": [1, 1, 1, 3], "axes": [0, 1, 2, 3], "blue": 255}
    for name, value in (constants | {"for_ever": 2**62, "never": 0}).items():
        model.graph.initializer.append(numpy_helper.from_array(np.array(value, np.int64), name))
    return model


@pytest.fixture(scope="module")
def trapping(make_model: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file that hangs on blue pictures."""
    path = tmp_path_factory.mktemp("models") / "trapping.onnx"
    onnx.save(trap(make_model(Contract("trapping", 64, 48))), path)
    return path


BLUE = encode_png(np.full((48, 64, 3), (0, 0, 255), np.uint8))


def answers(url: str, png: bytes) -> bool:
    """Whether a good frame is answered with its target."""
    with suppress(httpx.TransportError):
        response = httpx.post(f"{url}/segment", content=png, timeout=PATIENCE)
        return response.status_code == 200 and response.json()["target"] is not None
    return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_server_that_dies_is_replaced_on_its_ports(
    models: tuple[Path, Path], serve: Any, until: Any, dealer: Any, png: bytes, number: signal.Signals
) -> None:
    """Killed, crashed or stopped by a stranger, it comes back on its ports; a client's connection finds it again."""
    with serve("--model", str(models[0])) as served:
        served.wait_ready()
        client = dealer(served.address)
        assert client.ask(1)["type"] == "result"
        before = served.child.pid
        os.kill(before, number)
        served.wait_ready(2)
        how = "ended with exit code 0" if number == signal.SIGTERM else f"was ended by {number.name}"
        assert how in served.wait_for(f"server process {before} {how.split()[0]}")
        assert served.child.pid != before
        assert answers(served.url, png)
        assert client.ask(2)["id"] == 2
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(PATIENCE) == 0


def test_a_server_that_hangs_is_replaced(models: tuple[Path, Path], serve: Any, until: Any, png: bytes) -> None:
    """A process that is stopped in its tracks (SIGSTOP) gives no heartbeat, and another one takes its place."""
    with serve("--model", str(models[0]), "--hang-seconds=2") as served:
        served.wait_ready()
        stopped = served.child
        stopped.suspend()
        served.wait_for(f"server process {stopped.pid} hangs: no heartbeat")
        until(lambda: answers(served.url, png))


def test_a_native_call_that_never_returns_is_noticed(trapping: Path, serve: Any, until: Any, png: bytes) -> None:
    """While inference loops for ever inside onnxruntime the event loop is well, and still the process is replaced."""
    with serve("--model", str(trapping), "--hang-seconds=2") as served:
        served.wait_ready()
        until(lambda: answers(served.url, png))
        for times in range(1, 4):  # a slow machine may not get round to writing where it hung before it is killed
            with pytest.raises(httpx.TransportError):
                httpx.post(f"{served.url}/segment", content=BLUE, timeout=PATIENCE)
            served.wait_for("hangs: no heartbeat", times)
            until(lambda: answers(served.url, png))
            if served.said("onnxruntime"):
                return
        pytest.fail("the log does not say where it hung")


def test_probes_notice_a_native_call_that_never_returns(trapping: Path, serve: Any, until: Any, png: bytes) -> None:
    """Without a supervisor, /livez and /readyz tell an orchestrator that the process should be replaced."""
    with serve("--model", str(trapping), "--hang-seconds=1", "--no-supervisor") as served:
        served.wait_ready()
        until(lambda: httpx.get(f"{served.url}/livez").status_code == 200)
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{served.url}/segment", content=BLUE, timeout=httpx.Timeout(PATIENCE, read=0.1))
        until(lambda: httpx.get(f"{served.url}/livez").status_code == 503)
        assert "inference has not moved on" in httpx.get(f"{served.url}/readyz").json()["detail"]
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(PATIENCE) == 0


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_sigterm_ends_it_in_time_whatever_the_server_does(
    models: tuple[Path, Path], serve: Any, number: signal.Signals
) -> None:
    """A server that hangs or has just died is waited for no longer than is said, which is less than 5 s."""
    assert supervisor.STOP_SECONDS + child.TRACE_SECONDS < 5
    with serve("--model", str(models[0]), "--hang-seconds=600", stop_seconds=0.5) as served:
        served.wait_ready()
        os.kill(served.child.pid, number)
        served.process.send_signal(signal.SIGTERM)
        code = served.process.wait(PATIENCE)
        served.join()
        if number == signal.SIGSTOP:
            assert (code, len(served.said("did not stop within 0.5 s"))) == (137, 1)
        assert code in (0, 137)


def test_a_killed_supervisor_takes_the_server_along(models: tuple[Path, Path], serve: Any) -> None:
    """When the supervisor itself is killed, the server notices that it is alone and ends."""
    with serve("--model", str(models[0])) as served:
        served.wait_ready()
        alone = served.child
        served.process.kill()
        alone.wait(PATIENCE)


@pytest.mark.parametrize(
    ("options", "code"), [(["--model", "nowhere"], 2), (["--model", __file__], 3), (["--zmq-port=70000"], 2)]
)
def test_a_start_that_cannot_succeed_is_tried_once(serve: Any, options: list[str], code: int) -> None:
    """A missing model, a file that is none and a bad option end it with their exit code and one line of error."""
    with serve(*options) as served:
        assert served.process.wait(PATIENCE) == code
        served.join()
        assert len(served.said("error: ")) == 1
        assert len(served.said("server process")) <= 2


def test_a_taken_port_is_an_error_not_a_loop(models: tuple[Path, Path], serve: Any) -> None:
    """A port that somebody else has ends the start with exit code 4."""
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        serve("--model", str(models[0]), f"--port={taken.getsockname()[1]}") as served,
    ):
        assert served.process.wait(PATIENCE) == 4
        served.join()
        assert served.said("error: HTTP cannot listen")


class Scripted:
    """A supervisor in this process, over programs that play a server."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in {"BACKOFF": (0.01, 0.02), "TICK": 0.02, "CALM_SECONDS": 60.0}.items():
            monkeypatch.setattr(supervisor, name, value)

    def run(self, program: str, hang_seconds: float = 5.0) -> int:
        """Supervise a program; in it, ``tell(line)`` writes to the supervisor."""
        told = "import os, signal, sys, time; tell = lambda line: os.write(pipe, line + b'\\n')\n"
        told += "pipe = int(sys.argv[-1].partition('=')[2])\n"
        return Supervisor([sys.executable, "-c", told + program], hang_seconds).run()


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """A quick supervisor."""
    return Scripted(monkeypatch)


def once(path: Path, then: str, ever_after: str) -> str:
    """A program that does one thing the first time and another one from then on."""
    return f"first = not os.path.exists({str(path)!r})\nopen({str(path)!r}, 'a').write('x')\n" + (
        f"{then if then else 'pass'} if first else ({ever_after})"
    )


READY = 'tell(b\'listening {\\"http\\": 1, \\"zmq\\": 2, \\"pub\\": 3}\'), tell(b\'ready\')'


def test_a_successor_that_never_starts_is_given_up(
    scripted: Scripted, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Ready once, then dead, and from then on failing at the start: given up after five failures, with their code."""
    starts = tmp_path / "starts"
    program = once(starts, f"({READY}, os.kill(os.getpid(), signal.SIGKILL))", "sys.exit(3)")
    with caplog.at_level("INFO"):
        assert scripted.run(program) == 3
    assert len(starts.read_text()) == 1 + supervisor.FAILED_STARTS
    assert "giving up after 5 starts in a row that failed" in caplog.text


def test_a_successor_gets_the_ports_of_the_first(scripted: Scripted, tmp_path: Path) -> None:
    """The options that follow name the ports that the first one had chosen."""
    words = tmp_path / "words"
    keep = f"open({str(words)!r}, 'w').write(' '.join(sys.argv[1:]))"
    program = once(tmp_path / "starts", f"({READY}, os.kill(os.getpid(), signal.SIGKILL))", keep)
    assert scripted.run(program) == 0
    assert words.read_text().startswith("--port=1 --zmq-port=2 --pub-port=3 --heartbeat=")


def test_a_slow_start_is_no_hang_but_silence_after_it_is(
    scripted: Scripted, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Before it is ready a process may say nothing for longer than afterwards."""
    then = f"(time.sleep(1), {READY}, time.sleep(600))"
    with caplog.at_level("INFO"):
        assert scripted.run(once(tmp_path / "starts", then, "sys.exit(0)"), hang_seconds=0.3) == 0
    first, _ = re.findall(r"server process (\d+) started", caplog.text)
    assert re.findall(r"server process (\d+) hangs: no heartbeat", caplog.text) == [first]
    assert re.search(rf"server process {first} was ended by SIG\w+ after ", caplog.text), "it was never ready"


def test_a_start_that_beats_and_never_gets_ready_is_replaced(
    scripted: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A device may hang while the model loads, with the event loop beating beside it."""
    monkeypatch.setattr(supervisor, "START_SECONDS", 0.5)
    beats = "[(tell(b'beat'), time.sleep(0.05)) for _ in range({})]"
    listening = READY.partition(", tell(b'ready')")[0]
    assert scripted.run(f"{listening}, {beats.format(10_000)}") > 128
    assert "is not ready after 0.5 s; killing it" in caplog.text
    caplog.clear()
    monkeypatch.setattr(supervisor, "START_SECONDS", 5.0)  # Python's own start counts, too
    long = f"({READY}, {beats.format(110)}, sys.exit(7))"
    assert scripted.run(once(tmp_path / "starts", long, "sys.exit(0)")) == 0
    assert "is not ready" not in caplog.text, "one that was ready may run for longer than a start may take"


def test_the_pauses_between_starts_grow_until_one_was_calm(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, then after 0.5 s, 1 s and so on up to 5 s; after a process that was ready for long at once again."""
    monkeypatch.setattr(supervisor, "BACKOFF", BACKOFF)
    paused: list[float] = []
    wait = Supervisor._pause

    def pause(it: Supervisor, seconds: float) -> bool:
        paused.append(seconds)
        monkeypatch.setattr(supervisor, "CALM_SECONDS", 0.0 if len(paused) == 7 else 600.0)
        return wait(it, 0.0) or len(paused) == 9

    monkeypatch.setattr(Supervisor, "_pause", pause)
    assert scripted.run(f"{READY}, os.kill(os.getpid(), signal.SIGKILL)") == 0
    assert paused == [0, 0.5, 1, 2, 4, 5, 5, 0, 0.5]


def test_a_stop_during_the_pause_between_two_starts_ends_it(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """SIGTERM is heard while no process runs."""
    monkeypatch.setattr(supervisor, "BACKOFF", (60.0, 60.0))
    before = signal.getsignal(signal.SIGTERM)

    def stop() -> None:
        while "starts in 60 s" not in caplog.text:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    stopper = threading.Thread(target=stop)
    stopper.start()
    assert scripted.run(f"{READY}, os.kill(os.getpid(), signal.SIGKILL)") == 0
    stopper.join()
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_command_is_said_again_with_its_own_words_only() -> None:
    """The server process gets the options of the command line; those of the environment it inherits."""
    words = ["--model", "a b", "--model=c", "--port=7", "--watch", "--max-body-mb", "2.5", "--supervisor"]
    with click.Context(serve_command, info_name="serve") as context:
        serve_command.parse_args(context, words)
        said = unsupervised(context)
    after = said[said.index("serve") + 1 :]
    expected = ["--model=a b", "--model=c", "--port=7", "--max-body-mb=2.5", "--watch", "--supervisor"]
    assert sorted(after[:-1]) == sorted(expected)
    assert after[-1] == "--no-supervisor"


def test_a_closed_terminal_ends_it_and_a_kept_one_does_not(models: tuple[Path, Path], serve: Any) -> None:
    """SIGHUP loads the models anew, but where it tells that the terminal was closed it ends the server."""
    master, slave = pty.openpty()
    with (
        closing(os.fdopen(master, "rb", 0)) as terminal,
        closing(os.fdopen(slave, "rb", 0)) as keyboard,
        serve("--model", str(models[0]), stdin=keyboard) as served,
    ):
        served.wait_ready()
        served.process.send_signal(signal.SIGHUP)
        served.wait_for(" reloaded ")
        keyboard.close()
        terminal.close()
        served.process.send_signal(signal.SIGHUP)
        assert served.process.wait(PATIENCE) == 0


def test_the_supervisor_is_small(models: tuple[Path, Path], serve: Any) -> None:
    """It loads neither onnxruntime nor a web framework, as the server process beside it does."""
    with serve("--model", str(models[0])) as served:
        served.wait_ready()
        loaded = [
            {name for name in LARGE if any(f"/{name}" in region.path for region in process.memory_maps())}
            for process in (psutil.Process(served.process.pid), served.child)
        ]
    assert loaded == [set(), set(LARGE)]
