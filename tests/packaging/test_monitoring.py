"""Prometheus' configuration, alerts and Grafana's dashboard fit each other; `tests/server` knows the metrics' names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from tests.packaging.conftest import ROOT
from tests.packaging.pages import PAGES, blocks

UNITS = {"s": 1, "m": 60, "h": 3600}
DEFAULT = "1m"
"""Prometheus' own time between two scrapes."""
GRAFANAS = 15
"""Seconds between two scrapes that Grafana takes for granted where the data source does not say."""


def seconds(told: str) -> int:
    """A span of time in Prometheus' words."""
    return int(told[:-1]) * UNITS[told[-1]]


def configurations() -> Iterator[dict[str, Any]]:
    """Every configuration of Prometheus, in files and on pages."""
    files = [ROOT / "deploy/prometheus/prometheus.yml", ROOT / "deploy/kubernetes/monitoring/scrape.yaml"]
    texts = [*map(Path.read_text, files), *(code for page in PAGES for code in blocks(page, "yaml"))]
    yield from (told for text in texts if "scrape_configs" in (told := yaml.safe_load(text)))


def expressions() -> list[str]:
    """What the dashboard asks of Prometheus."""
    panels = json.loads((ROOT / "deploy/grafana/quadfollow.json").read_text())["panels"]
    return [one["expr"] for panel in panels for one in panel["targets"]]


def test_prometheus_scrapes_as_often_as_rates_need() -> None:
    """A rate over a window without two scrapes is nothing: the panel is empty, the autoscaler's metric gone."""
    rule = (ROOT / "deploy/kubernetes/monitoring/adapter-rules.yaml").read_text()
    windows = [seconds(told) for told in re.findall(r"\[(\d+[smh])\]", "".join([*expressions(), rule]))]
    found = list(configurations())
    assert len(found) == 3
    for told in found:
        usual = told.get("global", {}).get("scrape_interval", DEFAULT)
        for job in told["scrape_configs"]:
            interval = seconds(job.get("scrape_interval", usual))
            assert interval <= GRAFANAS
            assert 4 * interval <= min(windows)


def test_the_dashboards_rates_go_by_grafanas_own_window() -> None:
    """A fixed window is too short where Prometheus scrapes seldom, and leaves gaps where a day is looked at."""
    rates = [one for one in expressions() if "rate(" in one]
    assert rates
    assert [one for one in rates if "[$__rate_interval]" not in one] == []


def test_an_alert_on_what_is_not_there_waits() -> None:
    """Right after Prometheus' start nothing is there yet: such an alert would go off each time."""
    groups = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"]
    absent = [rule for group in groups for rule in group["rules"] if re.search(r"absent|unless", rule["expr"])]
    assert [rule["alert"] for rule in absent] == ["QuadfollowNoModel"]
    assert all(seconds(rule["for"]) >= 60 for rule in absent)
    # Each server by itself: another one's model does not help its clients.
    assert 'up{job="quadfollow"} == 1 unless on (instance) quadfollow_model{' in absent[0]["expr"]
