"""What ``doctor`` says of machines that lack one thing or another; the libraries are real files that load or do not."""

from __future__ import annotations

import ctypes.util
import json
import os
import shutil
import socket
import subprocess
import sys
import tomllib
from contextlib import suppress
from importlib.metadata import distributions
from pathlib import Path

import pytest

from quadfollow_server.accelerator import CUDA_LIBRARIES, DRIVER, TENSORRT_LIBRARIES
from quadfollow_server.doctor import EXTRAS, examine, report
from quadfollow_server.settings import Settings

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="lends itself libraries of Linux")

ROOT = Path(__file__).parents[2]
FILES = [library.file for library in (*CUDA_LIBRARIES, *TENSORRT_LIBRARIES)]


def _any_library() -> Path:
    """Some small library of this system, which can stand in for any other that only has to load."""
    maps = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    (path,) = {line.split()[-1] for line in maps if line.split()[-1].endswith("/libm.so.6")} or {
        ctypes.util.find_library("m")
    }
    return Path(str(path))


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file for every library of CUDA and TensorRT; the driver's lacks its functions."""
    folder = tmp_path_factory.mktemp("cuda")
    for name in (DRIVER, *FILES):
        shutil.copy(_any_library(), folder / name)
    return folder


def _doctor(libraries: Path | None, device: str, *more: str) -> tuple[int, dict[str, dict[str, object]]]:
    environment = dict(os.environ) | ({"LD_LIBRARY_PATH": str(libraries)} if libraries else {})
    code = "from quadfollow_core.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "doctor", "--device", device, "--json", *more],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    told = json.loads(done.stdout)
    return done.returncode, {finding["name"]: finding for finding in told["findings"]}


def _missing(findings: dict[str, dict[str, object]]) -> set[str]:
    return {name for name in FILES if name in findings and not findings[name]["well"]}


def test_each_hidden_library_is_named_with_what_brings_it(libraries: Path) -> None:
    """With all libraries there none is called missing; with one hidden that one is, and no other."""
    code, findings = _doctor(libraries, "tensorrt")
    assert _missing(findings) == set()
    assert code == 4
    assert "cuDriverGetVersion" in str(findings["NVIDIA driver"]["found"])
    for library in (*CUDA_LIBRARIES, *TENSORRT_LIBRARIES):
        hidden = libraries / f"{library.file}.hidden"
        (libraries / library.file).rename(hidden)
        found = _doctor(libraries, "tensorrt")[1]
        hidden.rename(libraries / library.file)
        if _missing(found):  # this system may have the library itself
            assert _missing(found) == {library.file}
            assert found[library.file]["remedy"] == library.remedy
        else:
            ctypes.CDLL(library.file)


def test_a_machine_without_a_gpu_is_told_so_and_serves_on_the_cpu() -> None:
    """Asked for CUDA, a machine without it fails with the driver named; left the choice, all is well."""
    findings = examine("cuda")
    if report(findings)["well"]:
        pytest.skip("this machine has a usable GPU")
    driver = next(finding for finding in findings if finding.name == "NVIDIA driver")
    assert "--gpus all" in str(driver.remedy)
    assert not next(finding for finding in findings if finding.name == "model").well
    unhurried = [finding for finding in examine("auto") if not finding.name.startswith("port")]
    assert report(unhurried)["well"]
    assert any("CPUExecutionProvider" in one.found or "OpenVINO" in one.found for one in unhurried)


def test_every_extra_that_is_installed_is_named() -> None:
    """All that adds to an installation are known by something that they alone require."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    of_users = {name: packages for name, packages in declared.items() if name not in ("cuda", "dev", "fuzz")}
    assert {
        name for name, package in EXTRAS.items() if any(one.startswith(package) for one in of_users[name])
    } == of_users.keys()
    (found,) = [finding.found for finding in examine("cpu", "nowhere.onnx") if finding.name == "extras"]
    missing = {name for name, package in EXTRAS.items() if not list(distributions(name=package))}
    assert set(found.split(", ")) == of_users.keys() - missing


def test_a_taken_port_and_a_missing_model_are_named() -> None:
    """What stands in a server's way is found before it is started; a port that was given up is free."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number = listener.getsockname()[1]
        found = {finding.name: finding for finding in examine("cpu", "nowhere.onnx", Settings(pub_port=number))}
    assert "--pub-port" in str(found[f"port {number}"].remedy)
    assert "nowhere.onnx" in str(found["model"].remedy)
    again = {finding.name: finding for finding in examine("cpu", "nowhere.onnx", Settings(pub_port=number))}
    assert again[f"port {number}"].found == "free"


def test_ports_are_looked_at_where_they_are_wanted() -> None:
    """The default ports of the address that is asked for, IPv6 too; a host that is none is told of, with its remedy."""
    with suppress(OSError), socket.create_server(("::1", 8000), family=socket.AF_INET6):  # else another has it
        assert "cannot be taken" in str(_doctor(None, "cpu", "--host", "::1")[1]["port 8000"]["found"])

    def free(host: str) -> bool:
        found = examine("cpu", "nowhere.onnx", Settings(host=host, pub_port=number))
        return next(one.well for one in found if one.name == f"port {number}")

    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        number = listener.getsockname()[1]
        assert (free("::1"), free("127.0.0.1")) == (False, True)
    assert free("::1")
    for name in ("nowhere.invalid", "192.0.2.1"):  # none at all, and nobody's
        host = _doctor(None, "cpu", "--host", name)[1]["host"]
        assert name in str(host["found"])
        assert host["well"] is False
