"""A search joins a cluster by its address, and what the cluster's dashboard then shows of it."""

import logging
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from processes import wait_until
from ray_head import RayHead

from finrl_ray.cluster import nodes
from finrl_ray.cluster.session import ray_session
from finrl_ray.config.load import parse_config
from finrl_ray.errors import ConfigError, SearchError
from finrl_ray.jobs.client import JobServer
from finrl_ray.search.run.trial_resources import Resources, require_capacity

pytestmark = pytest.mark.slow

CONFIG = """
name: joined
split:
  train: [null, 2008-01-01]
  validation: [2008-01-01, 2008-07-01]
  test: [2008-07-01, 2009-01-01]
agent: {algorithm: ppo, total_timesteps: 512, n_envs: 4}
evaluation: {eval_freq: 256}
search:
  num_samples: 2
  scheduler: {type: fifo}
  default_space: false
  space: {n_steps: 64, batch_size: 64, n_epochs: 1, learning_rate: {loguniform: [1.0e-4, 1.0e-2]}}
"""


def joined_config(storage: Path) -> Any:
    raw = yaml.safe_load(CONFIG)
    raw["search"]["storage_path"] = str(storage)
    return parse_config(raw)


def dashboard_in_time(limit_s: float = 600.0) -> str | None:
    """Return the dashboard as soon as one answers: on a busy machine it may be late once."""
    deadline = time.monotonic() + limit_s
    while not (url := nodes.current_dashboard()) and time.monotonic() < deadline:
        time.sleep(0.5)
    return url


def test_a_wrong_or_missing_token_is_said_at_once(ray_head: RayHead, monkeypatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "no-such-token")
    with pytest.raises(SearchError, match="refuses the token from the environment variable") as e:
        nodes.require_reachable(ray_head.address)
    assert "no-such-token" not in str(e.value)
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(SearchError, match="asks for a token, and none is presented"):
        nodes.require_reachable(ray_head.address)


def test_a_port_that_is_not_the_heads_is_said(ray_head: RayHead) -> None:
    with pytest.raises(SearchError, match="is no Ray head"):
        nodes.require_reachable(ray_head.dashboard.removeprefix("http://"))


def test_no_proxy_stands_between_us_and_a_cluster(ray_head: RayHead, monkeypatch) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy"):
        for written in (name, name.upper()):
            monkeypatch.setenv(written, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    nodes.require_reachable(ray_head.address)
    assert nodes.dashboard_of(ray_head.address) == ray_head.dashboard
    assert nodes.dashboard_answers(ray_head.dashboard, direct=False)
    for address in (ray_head.dashboard, ray_head.address):
        with pytest.raises(SearchError, match="knows nothing of the job no-such-job"):
            JobServer(address).ended("no-such-job")
        with pytest.raises(SearchError, match="knows nothing of the job no-such-job"):
            JobServer(address).follow("no-such-job", print)


def test_a_trial_that_no_node_of_a_cluster_can_run_is_waited_for(ray_head: RayHead, caplog) -> None:
    with ray_session({}, address=ray_head.address), caplog.at_level(logging.WARNING):
        require_capacity(Resources(2), "a trial")
        assert not caplog.messages
        require_capacity(Resources(1, 4096), "a trial")
    said = "one node must have 1 CPU and 4096 GPUs, but the largest has 2 CPUs and"
    assert said in caplog.text


def test_the_dashboard_is_found_from_the_heads_address(ray_head: RayHead) -> None:
    assert nodes.dashboard_of(ray_head.address) == ray_head.dashboard


def test_the_nodes_are_asked_for_the_package_and_the_folder(
    ray_head: RayHead, tmp_path, monkeypatch
) -> None:
    with ray_session({}, address=ray_head.address):
        assert nodes.most_cpus() == 2
        monkeypatch.setenv("FINRL_RAY_MAX_CPUS", "64")
        assert nodes.most_cpus() == 64
        monkeypatch.setenv("FINRL_RAY_MAX_CPUS", "many")
        with pytest.raises(ConfigError, match="must be a number of CPUs, got 'many'"):
            nodes.most_cpus()
        assert dashboard_in_time() == ray_head.dashboard
        # what the driver has just made is on its own node
        nodes.require_shared(tmp_path / "not-there")
        monkeypatch.setattr(nodes, "_own_node", lambda: "another")
        nodes.require_shared(tmp_path)
        with pytest.raises(SearchError, match="a folder that every node sees"):
            nodes.require_shared(tmp_path / "not-there")
        with pytest.raises(SearchError, match=r"every node must have finrl_ray 99\.0"):
            nodes.require_workers("99.0")
    assert not ray.is_initialized()


def _metrics(head: RayHead, token: str) -> str:
    """Return what the head's metrics ports say, of those that answer.

    Ray lists the ports of several processes, some of which begin later than the others.
    """
    request = urllib.request.Request(
        f"{head.dashboard}/api/prometheus/sd", headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request, timeout=600) as reply:
        targets = {target for entry in yaml.safe_load(reply) for target in entry["targets"]}
    texts = []
    for target in targets:
        try:
            with urllib.request.urlopen(f"http://{target}/metrics", timeout=600) as reply:
                texts.append(reply.read().decode())
        except (urllib.error.URLError, ConnectionError):
            continue
    return "\n".join(texts)


def _exporter_answers(head: RayHead) -> bool:
    """Whether the node's own exporter answers: only it tells of the node's CPUs."""
    return "ray_node_cpu_utilization" in _metrics(head, head.token_path.read_text())


def _exported(head: RayHead, name: str, tag: str) -> float | None:
    pattern = rf"^ray_{name}\{{[^}}]*{tag}[^}}]*\}} (\S+)$"
    found = re.findall(pattern, _metrics(head, head.token_path.read_text()), re.MULTILINE)
    return float(found[-1]) if found else None


def test_trials_are_in_the_dashboard_by_name_and_in_the_metrics(
    ray_head: RayHead, tmp_path
) -> None:
    from ray.util.state import list_tasks

    from finrl_ray.search.run.runner import run_search

    # a process that finds no exporter in its first half minute never exports anything
    wait_until(lambda: _exporter_answers(ray_head), timeout_s=600)
    with ray_session({"MALLOC_ARENA_MAX": "1"}, address=ray_head.address):
        result = run_search(joined_config(tmp_path))
        assert result.finished
        deadline = time.monotonic() + 600
        states: dict[str, str] = {}
        exported: dict[str, float | None] = {}
        while time.monotonic() < deadline:
            tasks = list_tasks(address=ray_head.dashboard, limit=10_000)
            states = {t.name: t.state for t in tasks if t.name.startswith("trial_")}
            exported = {
                "completed": _exported(ray_head, "finrl_ray_trials", 'state="completed"'),
                "sharpe": _exported(ray_head, "finrl_ray_best_sharpe", 'search="joined"'),
            }
            if list(states.values()) == ["FINISHED"] * 2 and exported["completed"] == 2:
                break
            time.sleep(1)
    assert states == {f"trial_{i:05d}": "FINISHED" for i in range(2)}
    assert exported["completed"] == 2
    best = float(result.table["sharpe_ratio"].iloc[0])
    assert exported["sharpe"] == pytest.approx(best, rel=1e-6)


SERVE = """
import time
from finrl_ray.cli import cluster
cluster._serve_dashboard()
print("left")
"""


def test_a_dashboard_is_started_on_loopback_with_a_closed_token(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    with tempfile.TemporaryDirectory(prefix="fr-") as temp_dir:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE],
            env={**kept, "HOME": str(tmp_path), "RAY_TMPDIR": temp_dir, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            umask=0o022,
        )
        assert process.stdout
        try:
            lines: list[str] = []
            for line in process.stdout:
                lines.append(line)
                if line.startswith("Ctrl-C"):
                    break
            (url,) = re.findall(r"^dashboard: (\S+)$", "".join(lines), re.MULTILINE)
            assert url.startswith("http://127.0.0.1:")
            assert nodes.dashboard_answers(url)
            token = tmp_path / ".ray" / "auth_token"
            assert stat.S_IMODE(token.stat().st_mode) == 0o600
            assert token.read_text() not in "".join(lines)
            request = urllib.request.Request(f"{url}/api/version")
            with pytest.raises(urllib.error.HTTPError, match="401"):
                urllib.request.urlopen(request, timeout=600)
            process.send_signal(signal.SIGINT)
            assert "left" in process.stdout.read()
            assert process.wait(600) == 0
        finally:
            process.kill()
            process.wait(600)
