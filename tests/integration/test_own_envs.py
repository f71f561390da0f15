"""Searches in envs that this package has not written: stopped early, interrupted, judged, shown."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import own_envs
import pandas as pd
import pytest
import yaml
from interrupted_search import start, wait_for_results
from other_envs import (
    ANY_STOCKS,
    FINRL_STOCK,
    GYM_TRADING,
    WITHOUT_FINRLS_OWN_IMPORTS,
    other_class,
)

from finrl_ray.config.load import load_config
from finrl_ray.report.write import write_report
from finrl_ray.search.reproduce.reproduce import reproduce
from finrl_ray.search.run.runner import resume_search, run_search
from finrl_ray.workflows.backtest import backtest

MORE: dict[str, dict[str, Any]] = {
    "finrl": {"env": {"class": "finrl_here:StockTradingEnv"}, "tickers": ["AAPL", "MSFT"]},
    "gym_trading": {
        "env": {"class": GYM_TRADING, "class_kwargs": {"positions": [0, 0.5, 1]}},
        "tickers": ["AAPL"],
        "space": {"env.class_kwargs.windows": {"choice": [2, 4]}},
    },
    "gym_anytrading": {"env": {"class": ANY_STOCKS}, "tickers": ["AAPL"]},
    "value": {"env": {"class": "own_file:ValueEnv"}, "tickers": ["AAPL", "MSFT"]},
    "vec_env": {"env": {"class": "own_file:GivenVecEnv"}, "tickers": ["AAPL", "MSFT"]},
}


def write_config(folder: Path, case: str) -> Path:
    own = MORE[case]
    folder.mkdir()
    (folder / "finrl_here.py").write_text(WITHOUT_FINRLS_OWN_IMPORTS, encoding="utf-8")
    text = Path(own_envs.__file__).read_text(encoding="utf-8")
    (folder / "own_file.py").write_text(text, encoding="utf-8")
    content = {
        "name": "small",
        "data": {"tickers": own["tickers"], "features": ["macd"]},
        "split": {
            "train": ["2007-01-01", "2008-01-01"],
            "validation": ["2008-01-01", "2008-07-01"],
            "test": ["2008-07-01", "2008-12-01"],
        },
        "env": own["env"],
        "agent": {"algorithm": "ppo", "total_timesteps": 512, "n_envs": 2},
        "evaluation": {"eval_freq": 128},
        "search": {
            "num_samples": 8,
            "searcher": "random",
            "scheduler": {"type": "asha", "grace_period": 128, "reduction_factor": 2},
            "storage_path": str(folder / "runs"),
            "space": {
                "n_steps": {"choice": [32, 64]},
                "batch_size": {"choice": [32]},
                "n_epochs": {"choice": [1]},
                "net_arch": {"choice": ["tiny"]},
                "learning_rate": {"loguniform": [1e-4, 1e-2]},
                **own.get("space", {}),
            },
        },
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


@pytest.mark.long
@pytest.mark.parametrize("case", list(MORE))
def test_a_search_is_stopped_early_killed_resumed_judged_and_shown(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ray_session_of_two: None
) -> None:
    for reference in (FINRL_STOCK, GYM_TRADING, ANY_STOCKS):
        other_class(reference, monkeypatch)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    undisturbed = run_search(load_config(write_config(whole, case)), base_dir=whole)
    process = start(write_config(killed, case))
    folder = wait_for_results(killed / "runs", 9, process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=1200)
    assert resume_search(folder, trust=True).finished
    table = pd.read_csv(folder / "trials.csv")
    assert set(table["state"]) <= {"completed", "stopped"}
    assert len(table) == 8
    notes = " ".join(table["notes"].dropna())
    exact = case not in ("value", "vec_env")
    assert ("which is not exact" in notes) == (not exact), notes
    if exact:
        # which trials are stopped depends on the order of reports, and their numbers do not
        pair = [
            pd.read_csv(one / "learning_curves.csv").set_index(["trial", "timesteps"])["objective"]
            for one in (undisturbed.path, folder)
        ]
        shared = pair[0].index.intersection(pair[1].index)
        assert len(shared) >= 10
        pd.testing.assert_series_equal(pair[0][shared], pair[1][shared])
    verdict = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    assert sum(verdict["states"].values()) == 8
    result = backtest(folder, trust=True)
    assert np.isfinite(result.measures["agent"]["total_return"])
    assert ("turnover" in result.measures["agent"]) == (case in ("finrl", "gym_trading"))
    assert result.trading is not None
    told_costs = case in ("finrl", "gym_trading", "gym_anytrading")
    assert (len(result.trading.rows) == 3) == told_costs, result.trading.notes
    assert told_costs or "other costs cannot be told" in result.trading.notes[0]
    assert "trial" in write_report(folder).read_text(encoding="utf-8")
    assert not exact or reproduce(folder, trust=True).differences == ()
