"""What Prometheus and Grafana need to show searches, written into one folder."""

import shlex
import shutil
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import yaml

from finrl_ray.errors import ConfigError
from finrl_ray.files.atomic import atomic_path

DASHBOARD_FILE = "finrl_ray_dashboard.json"
DISCOVERY_FILE = "prom_metrics_service_discovery.json"
"""Written by Ray into its folder for temporary files: where its nodes export their measures."""
PROMETHEUS_URL = "http://127.0.0.1:9090"
GRAFANA_URL = "http://127.0.0.1:3000"
_SCRAPE_INTERVAL = "5s"


@dataclass(frozen=True, kw_only=True)
class GrafanaFiles:
    """Where the files are, and how the two are started with them.

    Parameters
    ----------
    folder : with all of them
    prometheus, grafana : command lines
    variables : environment of the Ray that shall show Grafana's panels in its own dashboard
    """

    folder: Path
    prometheus: str
    grafana: str
    variables: dict[str, str]


def write_grafana_files(folder: str | Path, ray_folder: str | Path = "/tmp/ray") -> GrafanaFiles:
    """Write the configuration of Prometheus and Grafana, and the dashboard of searches.

    Parameters
    ----------
    folder : is made; files of an earlier call are replaced
    ray_folder : Ray's folder for temporary files, in which it says where its measures are

    Raises
    ------
    ConfigError
        If the folder cannot be written.
    """
    target = Path(folder).expanduser().absolute()
    own_board = target / "dashboards"
    discovery = Path(ray_folder).expanduser().absolute() / DISCOVERY_FILE
    # a link that each new Ray makes anew: changes to it may go unnoticed
    found = {"files": [str(discovery)], "refresh_interval": _SCRAPE_INTERVAL}
    source = {"name": "Prometheus", "type": "prometheus", "access": "proxy", "isDefault": True}
    # Ray writes dashboards of its own for each session, and its Metrics tab shows those
    latest = discovery.parent / "session_latest/metrics/grafana/dashboards"
    providers = [
        {"name": "finrl-ray", "folder": "", "type": "file", "options": {"path": str(own_board)}},
        {"name": "Ray", "folder": "Ray", "type": "file", "options": {"path": str(latest)}},
    ]
    try:
        for name in ("provisioning/datasources", "provisioning/dashboards", "dashboards"):
            (target / name).mkdir(parents=True, exist_ok=True)
        _write_yaml(
            target / "prometheus.yml",
            {
                "global": {"scrape_interval": _SCRAPE_INTERVAL},
                "scrape_configs": [{"job_name": "ray", "file_sd_configs": [found]}],
            },
        )
        _write_yaml(
            target / "provisioning/datasources/prometheus.yml",
            {"apiVersion": 1, "datasources": [{**source, "url": PROMETHEUS_URL}]},
        )
        _write_yaml(
            target / "provisioning/dashboards/finrl_ray.yml",
            {"apiVersion": 1, "providers": providers},
        )
        with atomic_path(target / "grafana.ini") as temporary:
            temporary.write_text(_grafana_ini(target), encoding="utf-8")
        with as_file(files("finrl_ray.monitoring").joinpath("grafana", DASHBOARD_FILE)) as own:
            shutil.copy(own, own_board / DASHBOARD_FILE)
    except OSError as error:
        raise ConfigError(f"the folder {target} for Grafana cannot be written: {error}") from error
    return GrafanaFiles(
        folder=target,
        prometheus=shlex.join(
            [
                "prometheus",
                f"--config.file={target / 'prometheus.yml'}",
                f"--storage.tsdb.path={target / 'prometheus-data'}",
                "--web.listen-address=127.0.0.1:9090",
            ]
        ),
        grafana=shlex.join(
            [
                *("grafana", "server"),
                *("--config", str(target / "grafana.ini")),
                *("--homepath", "/usr/share/grafana"),
            ]
        ),
        variables={
            "RAY_PROMETHEUS_HOST": PROMETHEUS_URL,
            "RAY_GRAFANA_HOST": GRAFANA_URL,
            "RAY_GRAFANA_IFRAME_HOST": GRAFANA_URL,
        },
    )


def _write_yaml(path: Path, content: dict[str, object]) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _grafana_ini(target: Path) -> str:
    # on this machine alone, where whoever opens it may look and not change anything
    return (
        "[server]\nhttp_addr = 127.0.0.1\n\n"
        "[security]\nallow_embedding = true\n\n"
        "[auth.anonymous]\nenabled = true\norg_role = Viewer\n\n"
        f"[paths]\nprovisioning = {target / 'provisioning'}\n"
        f"data = {target / 'grafana-data'}\n"
    )
