"""A search as a job: sent to a head of our own, followed, and its results fetched."""

import re
import sys
from pathlib import Path

import pytest
from ray_head import RayHead

from finrl_ray.cli.main import main
from finrl_ray.config.load import load_config

CONFIG = """
name: sent
data: {source: prices.csv, features: [close_5_sma]}
agent: {algorithm: ppo, total_timesteps: 256, n_envs: 2, callbacks: [my_callback:Mine]}
evaluation: {eval_freq: 128}
search:
  num_samples: 2
  scheduler: {type: fifo}
  default_space: false
  space: {n_steps: 64, batch_size: 64, n_epochs: 1, learning_rate: {loguniform: [1.0e-4, 1.0e-2]}}
"""
CALLBACK = """
from stable_baselines3.common.callbacks import BaseCallback


class Mine(BaseCallback):
    def _on_step(self):
        return True
"""
PRICES = "date,tic,close\n" + "\n".join(
    f"2020-{month:02d}-{day:02d},{tic},{10 + (7 * day + 3 * month + add) % 11}"
    for month in range(1, 13)
    for day in range(1, 29)
    for add, tic in enumerate(("AAA", "BBB"))
)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["finrl-ray", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


@pytest.fixture
def at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a config, and the prices and the code that it names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "prices.csv").write_text(PRICES, encoding="utf-8")
    (tmp_path / "my_callback.py").write_text(CALLBACK, encoding="utf-8")
    return tmp_path


@pytest.mark.slow
def test_a_search_is_sent_followed_and_its_results_are_fetched(
    ray_head: RayHead, at_work, monkeypatch, capfd
) -> None:
    address = ("--address", ray_head.dashboard)
    sent = ("submit", "config.yaml", *address, "--set", "search.num_samples=1")
    assert run(monkeypatch, *sent) == 0
    shown = capfd.readouterr().out
    job_id = re.search(r"job (sent_\w+) is sent", shown).group(1)
    # the log of the search itself came live, once
    assert shown.count("1 trial of ppo") == 1
    assert "completed 256 timesteps" in shown
    (fetched,) = (at_work / "runs").iterdir()
    assert (fetched / "code" / "my_callback.py").read_text(encoding="utf-8") == CALLBACK
    assert f"fetched: {Path('runs', fetched.name)}" in shown
    assert load_config(fetched / "config.yaml").search.num_samples == 1
    assert (fetched / "trials.csv").is_file()
    assert not (fetched / "ray").exists()
    # what came is a search that can be looked at and judged here
    assert run(monkeypatch, "show", str(fetched)) == 0
    assert run(monkeypatch, "backtest", str(fetched)) == 0
    openings = (fetched / "test_openings.jsonl").read_text()
    # a job that has ended can be followed and fetched again; the opening here stays counted
    capfd.readouterr()
    assert run(monkeypatch, "submit", "--fetch", job_id, *address, "--checkpoints") == 0
    assert (fetched / "test_openings.jsonl").read_text() == openings
    assert list((fetched / "ray").rglob("*.zip"))
    # nothing of the token is in what was printed, kept with the job or written by it
    token = ray_head.token_path.read_text()
    assert token not in shown
    for path in fetched.rglob("*"):
        assert not path.is_file() or token.encode() not in path.read_bytes()


@pytest.mark.slow
def test_a_job_that_fails_gives_its_message_and_its_exit_code(
    ray_head: RayHead, at_work, monkeypatch, capfd
) -> None:
    # found by the search on the cluster, not by the check of the config here
    (at_work / "prices.csv").write_text(PRICES + "\n2020-06-30,AAA,-5", encoding="utf-8")
    assert run(monkeypatch, "submit", "config.yaml", "--address", ray_head.dashboard) == 2
    shown = capfd.readouterr().out
    assert "2020-06-30" in shown
    assert "Traceback" not in shown
    assert "no results have been written" in shown


@pytest.mark.slow
def test_the_dashboard_is_printed_with_where_its_token_is(
    ray_head: RayHead, monkeypatch, capfd
) -> None:
    assert run(monkeypatch, "dashboard", "--address", ray_head.address) == 0
    shown = capfd.readouterr().out
    assert f"dashboard: {ray_head.dashboard}" in shown
    assert str(ray_head.token_path) in shown
    assert ray_head.token_path.read_text() not in shown
    monkeypatch.setenv("RAY_AUTH_TOKEN", "another")
    assert run(monkeypatch, "submit", "--fetch", "none", "--address", ray_head.dashboard) == 2
    assert "refuses the token" in capfd.readouterr().err
