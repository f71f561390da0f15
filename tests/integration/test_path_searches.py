"""Whole searches whose trials train several times: scheduling by paths, kills, the winner."""

import os
import signal

import numpy as np
import pandas as pd
import pytest
from interrupted_search import Interrupter, resume, start, table, wait_for_results
from small_search import small_config, write_small_config

from finrl_ray.search.reproduce.replay import replay
from finrl_ray.search.run.runner import resume_search, run_search
from finrl_ray.workflows.backtest import backtest

pytestmark = pytest.mark.slow

SECTIONS = {
    "validation": {"scheme": "cpcv", "n_groups": 4, "n_test_groups": 2, "embargo": 5},
    "agent": {"total_timesteps": 512},
}


@pytest.fixture(scope="module")
def searched(ray_session_of_two: None, tmp_path_factory: pytest.TempPathFactory):
    home = tmp_path_factory.mktemp("paths")
    asha = {"scheduler": {"type": "asha", "grace_period": 1}, "max_concurrent_trials": 1}
    return run_search(small_config(home, **SECTIONS, search=asha))


def test_the_scheduler_stops_trials_by_whole_paths(searched) -> None:
    table = searched.table
    assert searched.finished
    assert set(table["state"]) == {"completed", "stopped"}
    done = table.set_index("state")
    assert set(done.loc[["completed"], "folds"]) == {6}
    stopped = done.loc[["stopped"]]
    # a rung is a whole path of two trainings
    assert set(stopped["folds"]) <= {2, 4}
    assert stopped["reason"].str.match(r"stopped by asha at path \d").all()


def test_every_trial_leaves_its_returns_of_the_first_path(searched) -> None:
    folds = pd.read_parquet(searched.path / "fold_returns.parquet")
    first = folds[folds["fold"] < 2]
    days = first.groupby("trial")["date"].apply(lambda dates: tuple(sorted(dates)))
    assert len(days) == len(searched.table)
    assert days.nunique() == 1
    curves = pd.read_parquet(searched.path / "account_curves.parquet")
    of_one = curves[(curves["trial"] == 0) & (curves["path"] == 1)]
    returns = first[first["trial"] == 0].sort_values("date")["return"]
    np.testing.assert_allclose(
        of_one["account_value"], 1e6 * np.cumprod(1.0 + returns.to_numpy()), rtol=1e-12
    )


def test_the_winner_is_trained_once_more_and_opens_the_test_window(searched) -> None:
    assert (searched.path / "final_model" / "model.zip").is_file()
    assert not (searched.path / "best_model").exists()
    result = backtest(searched.path)
    assert result.openings == 1
    assert np.isfinite(result.measures["agent"]["annual_volatility"])


def test_a_trial_is_replayed_from_the_journal(searched) -> None:
    result = replay(searched.path)
    assert result.differences == []


@pytest.mark.long
def test_a_killed_search_goes_on_to_the_same_table(tmp_path) -> None:
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole = start(
        write_small_config(tmp_path / "whole" / "c.yaml", tmp_path / "whole" / "r", **SECTIONS)
    )
    out = whole.communicate(timeout=1200)[0]
    assert whole.returncode == 0, out
    (undisturbed,) = (tmp_path / "whole" / "r").iterdir()
    killed = start(
        write_small_config(tmp_path / "killed" / "c.yaml", tmp_path / "killed" / "r", **SECTIONS)
    )
    folder = wait_for_results(tmp_path / "killed" / "r", 9, killed)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate(timeout=1200)
    assert resume(folder).returncode == 0
    pd.testing.assert_frame_equal(table(folder), table(undisturbed))
    one, other = (
        pd.read_parquet(place / "fold_returns.parquet") for place in (folder, undisturbed)
    )
    pd.testing.assert_frame_equal(one, other)


def test_an_interrupted_search_is_neither_judged_nor_trains_its_leader(
    ray_session_of_two: None, tmp_path
) -> None:
    two = {"num_samples": 2, "max_concurrent_trials": 1}
    config = small_config(tmp_path, **SECTIONS, search=two)
    interrupted = run_search(config, make_view=lambda *_: Interrupter(5))
    assert not interrupted.finished
    folder = interrupted.path
    assert (folder / "trials.csv").is_file()
    for name in ("verdict.json", "reproduction.zip", "final_model"):
        assert not (folder / name).exists()
    assert resume_search(folder).finished
    for name in ("verdict.json", "reproduction.zip", "final_model"):
        assert (folder / name).exists()


@pytest.mark.long  # ASHA does above
def test_hyperband_counts_paths_too(ray_session_of_two: None, tmp_path) -> None:
    hyperband = {"scheduler": {"type": "hyperband"}, "num_samples": 4}
    found = run_search(small_config(tmp_path, **SECTIONS, search=hyperband))
    assert found.finished
    assert (found.table["folds"] == 6).any()
    assert set(found.table["folds"]) <= {2, 4, 6}
    assert found.judged is not None
    assert found.judged.verdict.n_trials == 4
