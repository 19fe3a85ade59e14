"""What is watched: the log's form, and that alerts, dashboard and page name metrics that there are."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from tests.server.conftest import PATIENCE

from quadfollow_server.logs import Facts, JsonFormatter
from quadfollow_server.metrics import Metrics
from quadfollow_server.running import RunningServer

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "quadfollow.json"
PAGE = ROOT / "docs" / "operations.md"
NAME = re.compile(r"\b(?:quadfollow|process)_[a-z_]+")


@pytest.fixture(scope="module")
def names(server: RunningServer) -> set[str]:
    """Every name that /metrics can have, by its families."""
    kinds = re.findall(r"^# TYPE (\S+) (\S+)$", httpx.get(f"{server.url}/metrics").text, re.MULTILINE)
    parts = {"histogram": ("", "_bucket", "_sum", "_count")}
    found = {family + part for family, kind in kinds for part in parts.get(kind, ("",))}
    assert "quadfollow_held_seconds_bucket" in found
    return {name for name in found if not name.endswith("_created")}


def rules() -> list[dict[str, Any]]:
    """All alerts."""
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def expressions() -> list[str]:
    """What alerts and dashboard ask of Prometheus."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [rule["expr"] for rule in rules()] + [one["expr"] for panel in panels for one in panel["targets"]]


def test_alerts_and_dashboard_ask_for_metrics_that_there_are(names: set[str]) -> None:
    """A name in an expression is that of a metric, and its brackets are closed."""
    for expression in expressions():
        asked = set(NAME.findall(expression))
        assert asked <= names, expression
        assert asked or expression.startswith("up{"), expression
        assert all(expression.count(left) == expression.count(right) for left, right in ("()", "[]", "{}")), expression


def test_labels_asked_for_are_labels_that_there_are() -> None:
    """Values of `outcome`, `detail`, `reason` in the alerts are ones that the code counts."""
    from typing import get_args

    from quadfollow_core import errors
    from quadfollow_server.jobs import Reason

    codes = {kind.code for kind in vars(errors).values() if isinstance(kind, type) and hasattr(kind, "code")}
    known = {"result", "dropped", "error", "done", "failed", "key", "origin", *codes, *get_args(Reason)}
    asked = re.findall(r'(?:outcome|detail|reason)=~?"([^"]*)"', " ".join(expressions()))
    assert asked
    assert {value for values in asked for value in values.split("|")} <= known


def test_every_alert_says_what_it_is_and_the_page_what_to_do() -> None:
    """Summary, description and severity; a row on the page for each alert, and no row without one."""
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]
    assert set(re.findall(r"^\| `(Quadfollow\w+)`", PAGE.read_text(), re.MULTILINE)) == {
        rule["alert"] for rule in rules()
    }


def test_the_page_names_each_metric(names: set[str]) -> None:
    """All metrics of ours are on the page, and no other."""
    families = {family.name for family in Metrics().registry.collect() if family.name.startswith("quadfollow")}
    named = {name.removesuffix("_total") for name in NAME.findall(PAGE.read_text()) if name.startswith("quadfollow")}
    assert named == families


def as_json(message: str, *arguments: object, **options: Any) -> dict[str, Any]:
    """Log one line and read it back."""
    record = logging.LogRecord("a.logger", logging.WARNING, "f", 1, message, arguments, options.get("exc_info"))
    line = JsonFormatter().format(record)
    assert "\n" not in line
    read: dict[str, Any] = json.loads(line)
    return read


def test_a_line_is_one_json_object() -> None:
    """Arguments go into the message, facts to keys of their own, a failure's trace beside them."""
    plain = as_json("two %s %d", "lines\nhere", 7)
    assert plain["message"] == "two lines\nhere 7"
    assert (plain["level"], plain["logger"]) == ("warning", "a.logger")
    assert plain["time"].endswith("+00:00")
    told = as_json("frame dropped %s", Facts(id=1, reason="deadline"))
    assert (told["message"], told["id"], told["reason"]) == ("frame dropped", 1, "deadline")
    try:
        raise ValueError("wrong")
    except ValueError as error:
        failed = as_json("it failed", exc_info=(type(error), error, error.__traceback__))
    assert "ValueError: wrong" in failed["trace"]


def test_a_frame_can_be_followed_through_the_log(models: tuple[Path, Path], serve: Any, dealer: Any) -> None:
    """Each line of a whole server's life is JSON, and each frame's steps are found by its id, refused ones too."""
    options = ("--log-format=json", "--log-level=debug")
    with serve("--model", str(models[0]), *options) as served:
        served.wait_for('"message": "ready"')
        found = json.loads(served.wait_for('"message": "listening"'))
        client = dealer(f"tcp://127.0.0.1:{found['zmq']}")
        assert client.ask("a\nb", stream="front")["type"] == "result"
        assert client.ask("bad", data=b"no picture")["code"] == "bad-image"
        assert client.ask("worse", min_area=0)["code"] == "bad-message"
        assert httpx.post(f"http://127.0.0.1:{found['http']}/segment?id=web&mask=x", content=b"x").status_code == 400
        served.process.terminate()
        assert served.process.wait(PATIENCE) == 0
        served.join()
    lines = [json.loads(line) for line in served.lines]
    steps: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        if line["message"].startswith("frame "):
            steps.setdefault(line["id"], []).append(line)
    assert [step["message"] for step in steps["a\nb"]] == ["frame received", "frame begun", "frame answered"]
    assert {(step["stream"], step["door"]) for step in steps["a\nb"]} == {("front", "zmq")}
    assert steps["a\nb"][-1]["timings"]["infer_ms"] >= 0
    assert [step["message"] for step in steps["bad"]] == ["frame received", "frame begun", "frame refused"]
    assert [step["code"] for step in steps["worse"] + steps["web"]] == ["bad-message"] * 2
    assert any(line["logger"] == "quadfollow_server.supervisor" for line in lines)


def test_what_is_watched_begins_at_zero() -> None:
    """A first failure is a rise that Prometheus sees; an autoscaler knows a server that has answered nothing yet."""
    told = Metrics().text().decode()
    for series in (
        'quadfollow_model_reloads_total{outcome="failed"}',
        'quadfollow_frames_total{detail="error",door="zmq",outcome="error"}',
        'quadfollow_refused_total{door="http",reason="connections"}',
        'quadfollow_stage_seconds_count{stage="queue"}',
    ):
        assert f"{series} 0.0" in told
