"""The best of a search, trained again: new seeds, walk-forward windows, the test window sealed."""

import os
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from finrl_ray.config.load import parse_config
from finrl_ray.data.windows.folds import plan_validation
from finrl_ray.errors import ConfigError, SearchError
from finrl_ray.metrics.beside_benchmark import appraisal_ratio
from finrl_ray.search.folder.folder import open_folder
from finrl_ray.search.folder.test_openings import count_openings
from finrl_ray.search.run.runner import run_search
from finrl_ray.training.fold_results import FoldResult
from finrl_ray.workflows.backtest import backtest
from finrl_ray.workflows.confirm import (
    best_records,
    confirm,
    measure_matrix,
    resume_confirmation,
)
from finrl_ray.workflows.confirmation_config import confirmation_config, new_seed
from finrl_ray.workflows.confirmation_files import read_confirmation
from finrl_ray.workflows.deployment.chosen import chosen_trials

RAW = {
    "name": "few",
    "seed": 3,
    "split": {
        "train": [None, "2007-01-01"],
        "validation": ["2007-01-01", "2007-07-01"],
        "test": ["2007-07-01", "2008-01-01"],
    },
    "agent": {"algorithm": "ppo", "total_timesteps": 512, "n_envs": 4},
    "evaluation": {"eval_freq": 512},
    "search": {
        "num_samples": 3,
        "scheduler": {"type": "fifo"},
        "default_space": False,
        "space": {
            "learning_rate": {"loguniform": [1e-4, 1e-3]},
            "n_steps": {"grid": [64]},
            "batch_size": 64,
            "n_epochs": 1,
            "net_arch": "tiny",
        },
    },
}


@pytest.fixture(scope="module")
def searched(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    raw = {**RAW, "search": {**RAW["search"], "storage_path": str(tmp_path_factory.mktemp("few"))}}  # type: ignore[dict-item]  # a dict of dicts
    return run_search(parse_config(raw)).path


@pytest.mark.slow
def test_the_plan_is_walk_forward_with_new_seeds_before_the_test_window(searched) -> None:
    folder = open_folder(searched)
    chosen = best_records(folder, 2)
    config = confirmation_config(folder, chosen, seeds=3, windows=2)
    assert config.seed == new_seed(3) != 3
    assert config.validation.n_paths == 3
    plan = plan_validation(folder.market_data, folder.split, config)
    assert len(plan.folds) == 6
    last = folder.market_data.dates[plan.first_row + max(f.judged[-1][1] for f in plan.folds) - 1]
    assert last < np.datetime64("2007-07-01")
    # the second half of the rows, as it begins before the validation window
    assert config.validation.start is not None
    assert date(2005, 9, 1) < config.validation.start < date(2006, 6, 1)
    assert [point["learning_rate"] for point in config.search.initial_points] == [
        record.sample["learning_rate"] for record in chosen
    ]


@pytest.mark.slow
def test_configurations_are_ranked_by_their_lower_bound(searched) -> None:
    found = confirm(searched, top=2, seeds=2, windows=2)
    assert found.finished
    table = found.table
    assert list(table["rank"]) == [1, 2]
    assert set(table["trial"]) == {r.index for r in best_records(open_folder(searched), 2)}
    bounds = table["mean"] - table["standard_error"]
    np.testing.assert_allclose(table["lower_bound"], bounds, rtol=1e-9)
    assert table["lower_bound"].is_monotonic_decreasing
    assert (table["iqm_low"] <= table["iqm"]).all() and (table["iqm"] <= table["iqm_high"]).all()  # noqa: PT018  # one interval
    assert count_openings(searched) == 0
    assert not (found.path / "verdict.json").exists()
    assert not (found.path / "final_model").exists()
    again = read_confirmation(searched)
    assert again is not None
    assert again.path == found.path
    # what `deploy --confirmed` takes
    chosen = chosen_trials(open_folder(searched), confirmed=True)
    assert [record.index for record in chosen.records] == [int(table["trial"].iloc[0])]
    assert "confirmation" in chosen.why
    with pytest.raises(SearchError, match="give the folder of the search, two folders up"):
        backtest(found.path)
    with pytest.raises(SearchError, match="is not the folder of a search, whose best"):
        confirm(found.path)


@pytest.mark.long
def test_a_killed_confirmation_goes_on(searched) -> None:
    command = [sys.executable, "-m", "finrl_ray", "confirm", str(searched), "--no-dashboard"]
    options = ["--top", "2", "--seeds", "2", "--windows", "3"]
    process = subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    before = set((searched / "confirmation").glob("*"))
    deadline = time.monotonic() + 1200
    folder = None
    while folder is None and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[0]
        for path in set((searched / "confirmation").glob("*")) - before:
            journal = path / "journal.jsonl"
            if journal.exists() and journal.read_text().count('"event": "result"') >= 3:
                folder = path
        time.sleep(0.02)
    assert folder is not None
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=1200)
    found = resume_confirmation(folder)
    assert found.finished
    assert list(found.table["folds"]) == [6, 6]
    undisturbed = confirm(searched, top=2, seeds=2, windows=3)
    np.testing.assert_array_equal(
        found.table["lower_bound"].to_numpy(), undisturbed.table["lower_bound"].to_numpy()
    )


@pytest.mark.slow
@pytest.mark.parametrize(("name", "value"), [("top", 0), ("seeds", 0), ("windows", -1)])
def test_numbers_below_one_are_refused(searched, name, value) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be >= 1, got {value}"):
        confirm(searched, **{name: value})


def test_the_matrix_has_seeds_in_rows_and_windows_in_columns() -> None:
    rng = np.random.default_rng(0)
    folds = [
        FoldResult(
            fold=k,
            seed=k,
            timesteps=1,
            dates=np.arange(30).astype("datetime64[D]").astype("datetime64[ns]"),
            returns=rng.normal(0.0, 0.01, 30),
            active=rng.normal(0.01 * k, 0.01, 30),
            turnover=0.0,
        )
        for k in range(6)
    ]
    config = parse_config({"validation": {"scheme": "walk_forward", "n_windows": 3, "seeds": 2}})
    matrices = {
        measure: measure_matrix(folds, config, measure, periods_per_year=252.0)
        for measure in ("active_sharpe_ratio", "appraisal_ratio")
    }
    own = folds[4]
    expected = {
        "active_sharpe_ratio": own.active.mean() / own.active.std(ddof=1) * np.sqrt(252),
        "appraisal_ratio": appraisal_ratio(own.returns, own.benchmark),
    }
    for measure, matrix in matrices.items():
        assert matrix.shape == (2, 3)
        assert matrix[1, 1] == pytest.approx(expected[measure])
