"""The Kubernetes manifests hold to what the program takes, listens on and tells; schemas: `make kubernetes-test`."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import httpx
import numpy as np
import pytest
import yaml
from tests.packaging.conftest import ROOT

from quadfollow_core.cli import quadfollow
from quadfollow_core.codec import encode_png
from quadfollow_server.keys import Clients, new_client, revoke_client
from quadfollow_server.running import RunningServer
from quadfollow_server.segmenter import ConstantSegmenter
from quadfollow_server.serve import DRAIN_SECONDS
from quadfollow_server.settings import Settings

FOLDER = ROOT / "deploy" / "kubernetes"
OVERLAYS = ("cpu", "gpu")
CONFINED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
Object = dict[str, Any]


def read(path: Path) -> list[Object]:
    """The objects of a YAML file."""
    return [found for found in yaml.safe_load_all(path.read_text()) if found is not None]


def kustomization(folder: str) -> Object:
    """What a folder is built of."""
    (found,) = read(FOLDER / folder / "kustomization.yaml")
    return found


@pytest.fixture(scope="module")
def base() -> dict[tuple[str, str], Object]:
    """The base's objects by kind and name."""
    files = [FOLDER / "base" / name for name in kustomization("base")["resources"]]
    return {(one["kind"], one["metadata"]["name"]): one for file in files for one in read(file)}


@pytest.fixture(scope="module")
def pod(base: dict[tuple[str, str], Object]) -> Object:
    """The server's pod, as the base has it."""
    found: Object = base["Deployment", "quadfollow"]["spec"]["template"]
    return found


@pytest.fixture(scope="module")
def container(pod: Object) -> Object:
    """The server's container, as the base has it."""
    (found,) = pod["spec"]["containers"]
    return dict(found)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """A real server that has answered one frame."""
    settings = Settings(port=0, zmq_port=0, pub_port=0)
    with RunningServer(settings, [ConstantSegmenter(np.zeros((48, 64), np.uint8))]) as running:
        frame = encode_png(np.zeros((48, 64, 3), np.uint8))
        httpx.post(f"{running.url}/segment", content=frame, headers={"content-type": "image/png"}).raise_for_status()
        yield running


def patched(folder: str) -> Object:
    """The server's container in an overlay's patch of the Deployment."""
    (patch,) = read(FOLDER / folder / "deployment.yaml")
    (found,) = patch["spec"]["template"]["spec"]["containers"]
    assert (patch["kind"], patch["metadata"]["name"], found["name"]) == ("Deployment", "quadfollow", "server")
    return dict(found)


def test_no_manifest_is_forgotten() -> None:
    """Every file belongs to the folder that it lies in."""
    for folder in ("base", *(f"overlays/{name}" for name in OVERLAYS), "components/outside"):
        told = kustomization(folder)
        named = [*told.get("resources", ()), *(patch["path"] for patch in told.get("patches", ()))]
        present = {file.name for file in (FOLDER / folder).iterdir()} - {"kustomization.yaml"}
        assert present == {name for name in named if not name.startswith("..")}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_command_understands_what_it_is_told(
    container: Object, overlay: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arguments and environment, read by the command itself, ask for keys, the device and the share of the cores."""
    for name in [name for name in os.environ if name.startswith("QUADFOLLOW_")]:
        monkeypatch.delenv(name)
    given = patched(f"overlays/{overlay}")
    limits = container["resources"]["limits"] | given.get("resources", {}).get("limits", {})
    variables = {}
    for row in (*container["env"], *given["env"]):
        source = row.get("valueFrom", {}).get("resourceFieldRef", {}).get("resource", "")
        variables[row["name"]] = limits[source.removeprefix("limits.")] if source else row["value"]
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    name, *arguments = container["args"]
    command = quadfollow.get_command(click.Context(quadfollow), name)
    assert command is not None
    assert variables.keys() <= {option.envvar for option in command.params}
    told = command.make_context(name, arguments).params
    (mount,) = container["volumeMounts"]
    assert told["keys"] == mount["mountPath"]
    assert not told["insecure_public"]
    assert not told["supervisor"]
    assert told["threads"] == int(limits["cpu"])
    assert told["device"] == {"cpu": "auto", "gpu": "cuda"}[overlay]
    assert ("nvidia.com/gpu" in limits) == (overlay == "gpu")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_image_is_of_this_version(container: Object, overlay: str) -> None:
    """The tag is never `latest`, and the comment says how to build it."""
    (image,) = kustomization(f"overlays/{overlay}")["images"]
    assert image["name"] == container["image"]
    assert image["newTag"] == version("quadfollow") + {"cpu": "-cpu", "gpu": ""}[overlay]
    built = f"docker build -t {image['name']}:{image['newTag']} "
    assert built in (FOLDER / "overlays" / overlay / "kustomization.yaml").read_text()


def test_ports_are_the_servers_own(base: dict[tuple[str, str], Object], container: Object) -> None:
    """Services and network policy name the container's ports, and those are the program's defaults."""
    usual = Settings()
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": usual.port, "frames": usual.zmq_port, "results": usual.pub_port}
    for (kind, _), one in base.items():
        if kind == "Service":
            assert all(ports[port["targetPort"]] == port["port"] for port in one["spec"]["ports"])
    public = base["Service", "quadfollow"]["spec"]["ports"]
    assert {port["targetPort"] for port in public} == set(ports)
    assert base["Service", "quadfollow-replicas"]["spec"]["clusterIP"] == "None"
    (outside,) = read(FOLDER / "components/outside/network.yaml")[0]
    rules = [*base["NetworkPolicy", "quadfollow"]["spec"]["ingress"], outside["value"]]
    assert all(rule["from"] and {port["port"] for port in rule["ports"]} <= set(ports) for rule in rules)


def test_everything_selects_the_servers_pods(base: dict[tuple[str, str], Object], pod: Object) -> None:
    """One label holds it together."""
    labels = pod["metadata"]["labels"]
    assert base["Deployment", "quadfollow"]["spec"]["selector"]["matchLabels"] == labels
    assert base["PodDisruptionBudget", "quadfollow"]["spec"]["selector"]["matchLabels"] == labels
    assert base["NetworkPolicy", "quadfollow"]["spec"]["podSelector"]["matchLabels"] == labels
    assert all(one["spec"]["selector"] == labels for (kind, _), one in base.items() if kind == "Service")
    target = base["HorizontalPodAutoscaler", "quadfollow"]["spec"]["scaleTargetRef"]
    assert ((target["kind"], target["name"])) in base


def test_the_pod_is_confined(base: dict[tuple[str, str], Object], pod: Object, container: Object) -> None:
    """The restricted pod security standard, asked for by the namespace; the user is the image's."""
    assert base["Namespace", "quadfollow"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert container["securityContext"] == CONFINED
    confined = pod["spec"]["securityContext"]
    assert confined["runAsNonRoot"]
    assert confined["seccompProfile"] == {"type": "RuntimeDefault"}
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert f"USER {confined['runAsUser']}:{confined['runAsGroup']}" in dockerfile
    assert "QUADFOLLOW_SERVE_HOST=0.0.0.0" in dockerfile
    assert not pod["spec"]["automountServiceAccountToken"]
    # A Service "quadfollow-serve" would set QUADFOLLOW_SERVE_PORT=tcp://…
    assert not pod["spec"]["enableServiceLinks"]
    assert base["NetworkPolicy", "quadfollow"]["spec"]["egress"] == []
    drain = int(container["lifecycle"]["preStop"]["exec"]["command"][1]) + DRAIN_SECONDS
    assert pod["spec"]["terminationGracePeriodSeconds"] > drain + 2


def test_probes_ask_what_the_server_answers(container: Object, server: RunningServer) -> None:
    """Each probe's path exists and says that all is well."""
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container[name]["httpGet"]
        assert asked["port"] == "http"
        assert httpx.get(server.url + asked["path"]).status_code == 200
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_the_autoscalers_metric_is_made_of_what_the_server_tells(
    base: dict[tuple[str, str], Object], server: RunningServer
) -> None:
    """The adapter's rule makes the metric the autoscaler asks for, of series that a server exposes."""
    (adapter,) = read(FOLDER / "monitoring/adapter-rules.yaml")
    (rule,) = adapter["rules"]["custom"]
    (metric,) = base["HorizontalPodAutoscaler", "quadfollow"]["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] == rule["name"]["as"]
    told = httpx.get(f"{server.url}/metrics").text
    series = set(re.findall(r"quadfollow_\w+{stage=\"queue\"", rule["seriesQuery"] + rule["metricsQuery"]))
    assert series == {f'quadfollow_stage_seconds_{part}{{stage="queue"' for part in ("sum", "count")}
    assert all(one + "}" in told for one in series)


def test_prometheus_finds_every_pod(pod: Object, container: Object) -> None:
    """Its rule of selection fits the pod's label and the name of the HTTP port, and gives the labels the rule needs."""
    (scrape,) = read(FOLDER / "monitoring/scrape.yaml")
    (job,) = scrape["scrape_configs"]
    kept = next(rule for rule in job["relabel_configs"] if rule.get("action") == "keep")
    ports = [port["name"] for port in container["ports"] if port["containerPort"] == Settings().port]
    assert re.fullmatch(kept["regex"], f"{pod['metadata']['labels']['app.kubernetes.io/name']};{ports[0]}")
    assert {rule.get("target_label") for rule in job["relabel_configs"]} >= {"namespace", "pod"}
    # A pod that has ended is still listed with its address, which another pod may have got: it would be sent the key.
    dropped = next(rule for rule in job["relabel_configs"] if rule.get("action") == "drop")
    assert dropped["source_labels"] == ["__meta_kubernetes_pod_phase"]
    assert re.fullmatch(dropped["regex"], "Failed")
    assert re.fullmatch(dropped["regex"], "Succeeded")
    assert "authorization" in job


def test_keys_come_from_a_secret_as_the_page_says(pod: Object, tmp_path: Path) -> None:
    """The documented command puts in every file of the folder; changes count without a restart."""
    made = tmp_path / "keys"
    drone = new_client(made, "drone")
    page = (ROOT / "docs" / "deploy.md").read_text()
    (volume,) = pod["spec"]["volumes"]
    files = set(re.findall(r"--from-file=keys/(\S+)", page))
    assert f"create secret generic {volume['secret']['secretName']} " in page
    assert files == {file.name for file in made.iterdir()}

    # A Secret's folder as the kubelet makes and changes it: links into a folder that is replaced in one step.
    mounted = tmp_path / "mounted"
    mounted.mkdir()

    def publish(name: str) -> None:
        shutil.copytree(made, mounted / name)
        (mounted / "..next").symlink_to(name)
        (mounted / "..next").rename(mounted / "..data")

    publish("..first")
    for name in files:
        (mounted / name).symlink_to(f"..data/{name}")
    clients = Clients(mounted)
    assert clients.name_of_api_key(drone.api_key) == "drone"
    new_client(made, "other")
    revoke_client(made, "drone")
    publish("..second")
    assert clients.name_of_api_key(drone.api_key) is None
    assert clients.named("other") is not None
