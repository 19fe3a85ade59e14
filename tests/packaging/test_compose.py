"""The compose file fits the Dockerfile, the program, and the files that it mounts; no container is run here."""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import Any

import click
import yaml
from tests.packaging.conftest import ROOT

from quadfollow_core.cli import quadfollow
from quadfollow_server.settings import Settings

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
USUAL = Settings()


def test_images_are_pinned() -> None:
    """Our own by the package's version, others by a version of theirs."""
    assert SERVICES.keys() == {"server", "flight", "prometheus", "grafana"}
    for service in SERVICES.values():
        name, _, tag = service["image"].partition(":")
        assert tag.startswith(version("quadfollow")) if name == "quadfollow" else re.fullmatch(r"v?\d+\.\d+\.\d+", tag)
        assert (name == "quadfollow") == ("build" in service)


def test_targets_and_arguments_are_the_dockerfiles() -> None:
    """An argument that the Dockerfile does not take would be ignored, a stage that it does not have would not."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    stages = set(re.findall(r"^FROM \S+ AS (\S+)", dockerfile, re.MULTILINE))
    arguments = set(re.findall(r"^ARG (\w+)", dockerfile, re.MULTILINE))
    for build in (service["build"] for service in SERVICES.values() if "build" in service):
        assert build["target"] in stages
        assert build.get("args", {}).keys() <= arguments


def test_the_servers_ports_are_open_to_this_machine_alone() -> None:
    """Nothing here asks for keys."""
    assert all(port.startswith("127.0.0.1:") for service in SERVICES.values() for port in service.get("ports", ()))
    numbers = [int(port.rpartition(":")[2]) for port in SERVICES["server"]["ports"]]
    assert numbers == [USUAL.port, USUAL.zmq_port, USUAL.pub_port]


def test_the_flights_command_is_understood() -> None:
    """It flies behind the server of this file."""
    name, *arguments = SERVICES["flight"]["command"]
    command = quadfollow.get_command(click.Context(quadfollow), name)
    assert command is not None
    told = command.make_context(name, arguments).params
    assert told["server"] == f"tcp://server:{USUAL.zmq_port}"
    assert str(told["out"]).startswith(SERVICES["flight"]["tmpfs"][0])


def test_what_is_mounted_is_there() -> None:
    """Every folder and file; Prometheus asks the server, and Grafana Prometheus."""
    for service in SERVICES.values():
        for mount in service.get("volumes", ()):
            assert (ROOT / mount.split(":")[0]).exists()
    prometheus = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    (job,) = prometheus["scrape_configs"]
    assert job["job_name"] == "quadfollow"  # as the alerts take it to be
    assert job["static_configs"] == [{"targets": [f"server:{USUAL.port}"]}]
    assert all((ROOT / "deploy/prometheus" / name).is_file() for name in prometheus["rule_files"])
    provisioning = ROOT / "deploy/grafana/provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yaml").read_text())["datasources"]
    assert source["url"] == "http://" + "prometheus:" + SERVICES["prometheus"]["ports"][0].rpartition(":")[2]
    (provider,) = yaml.safe_load((provisioning / "dashboards/quadfollow.yaml").read_text())["providers"]
    assert any(f":{provider['options']['path']}/" in mount for mount in SERVICES["grafana"]["volumes"])
