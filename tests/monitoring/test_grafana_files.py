"""Prometheus and Grafana as provisioned: what they query is what the search exports."""

import json
import re
import shlex
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from finrl_ray.errors import ConfigError
from finrl_ray.monitoring.grafana_files import (
    DASHBOARD_FILE,
    write_grafana_files,
)
from finrl_ray.search.loggers.dashboard_actor import GAUGES


def dashboard() -> dict[str, Any]:
    found = files("finrl_ray.monitoring").joinpath("grafana", DASHBOARD_FILE)
    return json.loads(found.read_text(encoding="utf-8"))


def test_every_query_names_a_gauge_and_its_tags() -> None:
    panels = dashboard()["panels"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    assert len(queries) >= 8
    asked = set()
    for query in queries:
        (name,) = re.findall(r"ray_(finrl_ray_\w+)", query)
        asked.add(name)
        tags = set(re.findall(r"[{,]\s*(\w+)\s*=~?", query)) | set(
            re.findall(r"by \((\w+)\)", query)
        )
        assert tags <= set(GAUGES[name][1]), query
    assert asked == set(GAUGES)


def test_the_dashboard_is_whole() -> None:
    board = dashboard()
    assert board["uid"] == "finrl-ray"
    names = [variable["name"] for variable in board["templating"]["list"]]
    assert names == ["datasource", "search"]
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in board["panels"]:
        legend = re.findall(r"{{(\w+)}}", panel["targets"][0]["legendFormat"])
        (name,) = re.findall(r"ray_(finrl_ray_\w+)", panel["targets"][0]["expr"])
        assert set(legend) <= set(GAUGES[name][1])


def test_the_files_point_at_one_another(tmp_path: Path) -> None:
    written = write_grafana_files(tmp_path / "g", tmp_path / "ray")
    prometheus = yaml.safe_load((tmp_path / "g/prometheus.yml").read_text())
    (job,) = prometheus["scrape_configs"]
    found = job["file_sd_configs"][0]["files"]
    assert found == [str(tmp_path / "ray/prom_metrics_service_discovery.json")]
    dashboards = yaml.safe_load((tmp_path / "g/provisioning/dashboards/finrl_ray.yml").read_text())
    places = [Path(provider["options"]["path"]) for provider in dashboards["providers"]]
    assert (places[0] / DASHBOARD_FILE).is_file()
    # where Ray writes the dashboards that its Metrics tab shows
    assert places[1] == tmp_path / "ray/session_latest/metrics/grafana/dashboards"
    sources = yaml.safe_load((tmp_path / "g/provisioning/datasources/prometheus.yml").read_text())
    assert sources["datasources"][0]["url"] == written.variables["RAY_PROMETHEUS_HOST"]
    assert str(tmp_path / "g/provisioning") in (tmp_path / "g/grafana.ini").read_text()
    assert write_grafana_files(tmp_path / "g", tmp_path / "ray") == written  # again


def test_commands_are_whole_with_a_space_in_the_path(tmp_path: Path) -> None:
    written = write_grafana_files(tmp_path / "my files", tmp_path / "ray")
    config = f"--config.file={tmp_path / 'my files/prometheus.yml'}"
    assert config in shlex.split(written.prometheus)
    assert str(tmp_path / "my files/grafana.ini") in shlex.split(written.grafana)


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "g").write_text("x")
    with pytest.raises(ConfigError, match="cannot be written"):
        write_grafana_files(tmp_path / "g")
