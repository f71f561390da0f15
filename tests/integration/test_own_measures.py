"""A search whose trials are paid and judged by functions of the user's, cut off and resumed."""

import inspect
import json
import os
import signal
import sys
from pathlib import Path

import pandas as pd
import pytest
from interrupted_search import resume, start, table, wait_for_results
from small_search import write_small_config
from typer.testing import CliRunner

from finrl_ray.cli.main import app
from finrl_ray.config.load import load_config
from finrl_ray.errors import ConfigError
from finrl_ray.own_code.code_files import CodeFiles
from finrl_ray.own_code.finder import activate
from finrl_ray.search.reproduce.reproduce import reproduce
from finrl_ray.search.run.runner import run_search
from finrl_ray.workflows.backtest import backtest

CODE = """
import numpy as np


def reward(account_value, account_value_before, drawdown, step, *, fear, breaks_at=0):
    paid = 100.0 * np.log(account_value / account_value_before) + fear * drawdown
    return np.where((step == breaks_at) & (fear > 0.05), np.nan, paid)


def ulcer(account_value):
    down = account_value / np.maximum.accumulate(account_value) - 1.0
    return float(np.sqrt(np.mean(down**2)))


ulcer.mode = "min"
"""
SPACE = {
    "env.reward_kwargs.fear": {"choice": [0.0, 0.1]},
    "net_arch": "tiny",
    "n_steps": 64,
    "batch_size": 64,
}


def config_file(folder: Path, *, n_each: int = 1, **env: object) -> Path:
    folder.mkdir()
    (folder / "my_measures.py").write_text(inspect.cleandoc(CODE) + "\n")
    return write_small_config(
        folder / "config.yaml",
        folder / "runs",
        env={"reward": "my_measures:reward", "random_start": True, **env},
        agent={"total_timesteps": 512, "n_envs": 4},
        evaluation={"eval_freq": 256, "metric": "my_measures:ulcer"},
        search={
            "searcher": "grid",
            "num_samples": n_each,
            "rank_by": "objective",
            "max_concurrent_trials": 2,
            "scheduler": {"type": "asha", "grace_period": 256},
            "space": SPACE,
            "default_space": False,
        },
    )


@pytest.mark.slow
def test_what_a_trial_was_paid_and_judged_by_is_in_every_table(
    tmp_path: Path, ray_session_of_two: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = config_file(tmp_path / "broken", reward_kwargs={"breaks_at": 90})
    result = run_search(load_config(path), base_dir=path.parent)
    rows = result.table.set_index("env.reward_kwargs.fear")
    assert sorted(rows.index) == [0.0, 0.1]
    reason = rows.loc[0.1, "error"]
    assert "timesteps: env.reward my_measures:reward (my_measures.py, line 4) paid nan" in reason
    assert "in step 90 of its episode" in reason
    good = rows.loc[0.0]
    assert good["state"] == "completed"
    assert good["objective"] == -good["ulcer"]
    assert good["best_ulcer"] <= good["ulcer"]
    # it is that of the account
    curves = pd.read_parquet(result.path / "account_curves.parquet")
    own = curves[curves["trial"] == int(good["trial"])]
    values = own[own["timesteps"] == own["timesteps"].max()]["account_value"]
    expected = float((((values / values.cummax() - 1.0) ** 2).mean()) ** 0.5)
    assert float(good["ulcer"]) == pytest.approx(expected, rel=1e-9)
    baselines = pd.read_csv(result.path / "baselines.csv").set_index("strategy")
    assert baselines.loc["cash", "ulcer"] == 0.0
    assert baselines.loc["buy_and_hold", "ulcer"] > 0.0
    judged = backtest(result.path)
    assert judged.measures["agent"]["ulcer"] >= 0.0
    assert judged.measures["buy_and_hold"]["ulcer"] > 0.0
    # commands that read show it, and import nothing
    imported = tmp_path / "imported"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_measures.py").write_text(f"open({str(imported)!r}, 'w')\n")
    activate(CodeFiles())
    monkeypatch.delitem(sys.modules, "my_measures", raising=False)
    for command in ("show", "report"):
        done = CliRunner().invoke(app, [command, str(result.path)])
        assert done.exit_code == 0, done.output
    assert "ulcer" in (result.path / "report.html").read_text(encoding="utf-8")
    assert "my_measures" not in sys.modules
    assert not imported.exists()


@pytest.mark.slow
def test_a_broken_metric_starts_no_search(tmp_path: Path) -> None:
    path = config_file(tmp_path / "broken")
    code = path.parent / "my_measures.py"
    code.write_text(code.read_text().replace("np.mean(down**2)", "np.mean(down[5000])"))
    with pytest.raises(ConfigError, match=r"evaluation.metric my_measures:ulcer failed.*line 11"):
        run_search(load_config(path), base_dir=path.parent)
    assert not (path.parent / "runs").exists()


@pytest.mark.long
def test_a_search_that_is_killed_goes_on_with_the_same_numbers(
    tmp_path: Path, ray_session_of_two: None
) -> None:
    killed, whole = (
        config_file(tmp_path / "killed", n_each=2),
        config_file(tmp_path / "whole", n_each=2),
    )
    process = start(killed)
    folder = wait_for_results(killed.parent / "runs", 3, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    (killed.parent / "my_measures.py").unlink()
    done = resume(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    undisturbed = run_search(load_config(whole), base_dir=whole.parent)
    pd.testing.assert_frame_equal(table(folder), table(undisturbed.path))
    assert reproduce(folder).differences == ()
    assert json.loads((folder / "experiment.json").read_text())["own_code"]["references"]
