"""The Python of those pages that no other test runs."""

import re
from pathlib import Path
from typing import Any

import pytest
from made_search import made_search
from repository import REPOSITORY

from finrl_ray import MarketData, StockTradingVecEnv
from finrl_ray.agents.state import training_state
from finrl_ray.data.sources.bundled import read_bundled

STATE_NAMES = ("save_state", "capture_state", "restore_state", "load_state", "learn_from")
DOCS = REPOSITORY / "docs"


def blocks(page: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def run(code: str, page: str, names: dict[str, Any]) -> dict[str, Any]:
    exec(compile(code, f"docs/{page}", "exec"), names)  # our own text
    return names


def test_the_figures_of_the_report_page(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("report.md")
    folder = made_search(tmp_path, n_trials=12).path
    run(code.replace("runs/quickstart_...", str(folder)), "report.md", {})
    assert (tmp_path / "curves.svg").is_file()


@pytest.mark.slow
def test_the_agent_page(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (first,) = blocks("agent.md")
    (second,) = blocks("resume.md")
    df = read_bundled()
    data = MarketData.from_finrl(df[df["date"] < "2005-06-01"])
    names = {
        "train_env": StockTradingVecEnv(data, n_envs=2),
        "validation_env": StockTradingVecEnv(data),
    }
    short = first.replace("20_000", "400").replace("2_000", "200")
    run(short, "agent.md", names)
    assert len(names["account_value"]) == data.n_periods
    made = 'agent.get_model("sac", model_kwargs={"batch_size": 128, "learning_rate": "lin_3e-4"})'
    names |= {name: getattr(training_state, name) for name in STATE_NAMES}
    names |= {"total_timesteps": 800, "callback": names["evaluation"]}
    run(second.replace("agent.get_model(...)", made), "agent.md", names)
    assert names["model"].num_timesteps == 800


@pytest.mark.slow
def test_the_environment_page(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    one_asset, code = blocks("environment.md")
    names = run(one_asset.replace("512", "64").replace("1_024", "64"), "environment.md", {})
    assert str(names["model"].action_space) == "Discrete(2)"
    assert len(names["shares"]) == len(names["account_value"]) - 1
    small = '"ppo", model_kwargs={"n_steps": 100, "batch_size": 50})'
    short = code.replace("5_000", "300").replace('"ppo")', small)
    names = run(short, "environment.md", {})
    assert len(names["account_value"]) > 100
