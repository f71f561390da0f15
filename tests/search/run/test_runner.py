"""Whole searches on one local Ray: what they report, count, stop, reject, and keep."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import ray
from small_search import small_config
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecNormalize

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.env.make import make_vec_env
from finrl_ray.errors import ConfigError, SearchError
from finrl_ray.metrics.registry import performance_summary
from finrl_ray.search.folder.folder import open_folder, sole_driver
from finrl_ray.search.folder.test_openings import count_openings
from finrl_ray.search.journal.events import append_event, read_journal
from finrl_ray.search.results.table import CLOCK_COLUMNS
from finrl_ray.search.run.prepare import prepare_search
from finrl_ray.search.run.runner import SearchResult, resume_search, run_search
from finrl_ray.workflows.backtest import backtest

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_session_of_two")]


@pytest.fixture(scope="module")
def finished(ray_session_of_two, tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    """A finished FIFO search of four trials, one at a time."""
    return run_search(one_at_a_time(tmp_path_factory.mktemp("runs")))


def one_at_a_time(storage: Path, **sections: dict[str, Any]) -> ExperimentConfig:
    """One process for all trials: each loads torch and Ray first, longer than these trials take."""
    search = {"max_concurrent_trials": 1, **sections.pop("search", {})}
    return small_config(storage, **sections, search=search)


OTHERS = ("a2c", "ddpg", "sac")


def without_clock(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns=list(CLOCK_COLUMNS))


def test_two_at_once_give_the_table_of_one_at_a_time(finished, tmp_path) -> None:
    together = run_search(small_config(tmp_path))
    pd.testing.assert_frame_equal(without_clock(together.table), without_clock(finished.table))


def test_one_at_a_time_means_one_at_a_time(finished) -> None:
    lines = (finished.path / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    marks = [e["event"] for e in events if e["event"] in ("start", "end")]
    assert marks == ["start", "end"] * 4


def test_a_trial_that_never_fits_on_our_own_ray_is_refused(tmp_path) -> None:
    config = small_config(tmp_path, search={"cpus_per_trial": 3.0})
    said = r"a trial can never start: one node must have 3 CPUs, but the largest has 2 CPUs"
    with pytest.raises(SearchError, match=said):
        run_search(config)
    assert list(tmp_path.iterdir()) == []


def test_every_planned_trial_is_in_the_table(finished) -> None:
    assert finished.finished
    assert sorted(finished.table["trial"]) == [0, 1, 2, 3]
    assert set(finished.table["state"]) == {"completed"}
    assert (finished.table["timesteps"] >= 2048).all()
    assert finished.table["seed"].nunique() == 4


def test_reported_measures_equal_those_of_the_saved_account_curves(finished) -> None:
    accounts = pd.read_parquet(finished.path / "account_curves.parquet")
    curves = pd.read_csv(finished.path / "learning_curves.csv")
    assert len(curves) == 4 * 4
    for (trial, steps), group in accounts.groupby(["trial", "timesteps"]):
        measures = performance_summary(group["account_value"].to_numpy())
        row = curves[(curves["trial"] == trial) & (curves["timesteps"] == steps)].iloc[0]
        for name in ("sharpe_ratio", "max_drawdown", "total_return"):
            assert row[f"eval/{name}"] == pytest.approx(measures[name], abs=1e-12)


def test_the_folder_holds_what_the_table_says(finished) -> None:
    csv = pd.read_csv(finished.path / "trials.csv")
    parquet = pd.read_parquet(finished.path / "trials.parquet")
    assert csv["objective"].tolist() == finished.table["objective"].tolist()
    assert parquet["objective"].tolist() == finished.table["objective"].tolist()
    facts = json.loads((finished.path / "experiment.json").read_text(encoding="utf-8"))
    folder = open_folder(finished.path)
    assert facts["data_hash"] == folder.market_data.content_hash
    assert facts["versions"]["ray"] == ray.__version__
    assert folder.config.search.max_concurrent_trials == 1


def test_the_final_model_is_an_ordinary_sb3_model(finished) -> None:
    folder = open_folder(finished.path)
    source = finished.path / "final_model"
    env = make_vec_env(folder.validation_data, folder.config.env, training=False)
    normalized = VecNormalize.load(str(source / "vecnormalize.pkl"), env)
    normalized.training = False
    model = PPO.load(source / "model.zip")
    values, observation, done = [], normalized.reset(), False
    while not done:
        action, _ = model.predict(observation, deterministic=True)
        observation, _, dones, infos = normalized.step(action)
        done = bool(dones[0])
    values = infos[0]["account_history"].account_value
    best = finished.table.iloc[0]
    assert performance_summary(values)["sharpe_ratio"] == pytest.approx(best["sharpe_ratio"])


def test_a_finished_search_is_not_run_again(finished) -> None:
    before = (finished.path / "journal.jsonl").read_bytes()
    again = resume_search(finished.path)
    assert again.finished
    assert (finished.path / "journal.jsonl").read_bytes() == before
    pd.testing.assert_frame_equal(without_clock(again.table), without_clock(finished.table))


def test_checkpoints_on_disk_are_the_last_and_the_best(finished) -> None:
    kept = 2 + 2  # search.keep_checkpoints, and the newest two
    for trial in (finished.path / "ray").glob("trial_*"):
        assert 1 <= len(list(trial.glob("checkpoint_*"))) <= kept


def test_the_backtest_opens_the_test_window_once(finished) -> None:
    first = backtest(finished.path)
    assert (first.openings, first.repeated) == (1, False)
    second = backtest(finished.path)
    assert (second.openings, second.repeated) == (1, True)
    assert second.measures == first.measures
    third = backtest(finished.path, again=True)
    assert (third.openings, count_openings(finished.path)) == (2, 2)
    assert third.measures == first.measures
    curves = pd.read_csv(finished.path / "backtest" / "account_curves.csv")
    assert curves["date"].min() >= "2008-07-01"
    assert curves["date"].max() < "2009-01-01"
    agent = performance_summary(curves["agent"].to_numpy())
    assert agent["sharpe_ratio"] == pytest.approx(first.measures["agent"]["sharpe_ratio"])


def test_asha_stops_trials_and_says_where(tmp_path) -> None:
    scheduler = {"type": "asha", "grace_period": 512, "reduction_factor": 2}
    config = one_at_a_time(tmp_path, search={"num_samples": 8, "scheduler": scheduler,
                                            "storage_path": str(tmp_path),
                                            "max_concurrent_trials": 1})  # fmt: skip
    result = run_search(config)
    stopped = result.table[result.table["state"] == "stopped"]
    assert 1 <= len(stopped) < 8
    assert stopped["reason"].str.match(r"stopped by asha at (512|1,024)$").all()
    assert (stopped["timesteps"] < 2048).all()
    # by hand: at each rung a trial goes on if it is in the better half of those seen so far
    curves = pd.read_csv(result.path / "learning_curves.csv").set_index(["trial", "timesteps"])
    for rung in (512, 1024):
        seen: list[float] = []
        for trial in range(8):
            if (trial, rung) not in curves.index:
                continue
            value = curves.loc[(trial, rung), "objective"]
            cutoff = np.nanpercentile(seen, 50) if seen else -np.inf
            seen.append(value)
            went_on = (trial, rung * 2) in curves.index
            assert went_on == (value >= cutoff), (trial, rung)


# builds, trains one rollout, and has NaN parameters after the first update
DIVERGING = {"log_std_init": 1e38}


def test_a_failing_trial_is_counted_and_the_search_goes_on(tmp_path) -> None:
    space = {"policy_kwargs": {"grid": [{"log_std_init": 0.0}, DIVERGING]}, "n_steps": 128}
    search = {"num_samples": 2, "space": space, "default_space": False, "max_failures": 1}
    result = run_search(one_at_a_time(tmp_path, search={**search, "storage_path": str(tmp_path)}))
    assert result.finished
    assert sorted(result.table["state"]) == ["completed", "completed", "failed", "failed"]
    # repetitions of a point of the grid differ in their seed
    assert result.table["seed"].nunique() == 4
    assert result.table["objective"].nunique() == 2
    failed = result.table[result.table["state"] == "failed"]
    assert failed["reason"].str.contains("is NaN or infinite after 512 timesteps").all()
    assert failed["rank"].isna().all()
    assert (failed["failures"] == 1).all()  # it would come to the same again
    # what the journal keeps is what a later reader sees
    again = resume_search(result.path)
    pd.testing.assert_frame_equal(without_clock(again.table), without_clock(result.table))


def test_when_every_trial_fails_there_is_no_winner(tmp_path) -> None:
    space = {"policy_kwargs": {"choice": [DIVERGING]}, "n_steps": 128}
    search = {"num_samples": 2, "space": space, "default_space": False}
    result = run_search(one_at_a_time(tmp_path, search={**search, "storage_path": str(tmp_path)}))
    assert set(result.table["state"]) == {"failed"}
    with pytest.raises(SearchError, match="no trial of 2 can win"):
        backtest(result.path)


def test_a_drawdown_beyond_the_limit_ends_a_trial_and_it_cannot_win(tmp_path) -> None:
    search = {"max_drawdown_limit": -0.001, "storage_path": str(tmp_path)}
    result = run_search(one_at_a_time(tmp_path, search={**search, "num_samples": 2}))
    rejected = result.table[result.table["state"] == "rejected"]
    assert len(rejected) >= 1
    assert rejected["reason"].str.startswith("drawdown -").all()
    assert rejected["rank"].isna().all()
    assert (rejected["max_drawdown"] < -0.001).all()


def test_a_bound_on_disk_ends_the_search_and_the_table_says_why(tmp_path) -> None:
    # 10 kB: less than one checkpoint has
    search = {"max_disk_gb": 1e-5, "max_concurrent_trials": 1, "storage_path": str(tmp_path)}
    result = run_search(one_at_a_time(tmp_path, search=search))
    assert result.finished
    assert result.table["state"].tolist() == ["stopped"]
    reason = r"the search's checkpoints take [\d.e-]+ GB, more than search\.max_disk_gb \(1e-05\)"
    assert result.table["reason"].str.match(reason).all()
    assert resume_search(result.path).finished


# a2c and sac are searched in integration/test_searched_formulation.py, and ddpg is td3 with other
# keywords
@pytest.mark.parametrize(
    "algorithm", ["td3", *(pytest.param(name, marks=pytest.mark.long) for name in OTHERS)]
)
def test_other_algorithms_search_with_optuna(algorithm: str, tmp_path) -> None:
    agent = {"algorithm": algorithm, "total_timesteps": 256, "n_envs": 2}
    search = {"num_samples": 2, "searcher": "optuna", "storage_path": str(tmp_path),
              "scheduler": {"type": "fifo"}, "space": {"net_arch": "tiny"}}  # fmt: skip
    config = one_at_a_time(tmp_path, agent=agent, search=search, evaluation={"eval_freq": 128})
    result = run_search(config)
    assert set(result.table["state"]) == {"completed"}, result.table["reason"].tolist()
    assert result.table["learning_rate"].nunique() == 2


def test_an_agent_that_no_longer_improves_is_ended_and_ranked_by_its_best(tmp_path) -> None:
    evaluation = {"eval_freq": 256, "max_no_improvement_evals": 1}
    agent = {"total_timesteps": 8192}
    search = {"select": "best", "num_samples": 2, "storage_path": str(tmp_path)}
    config = one_at_a_time(tmp_path, evaluation=evaluation, agent=agent, search=search)
    result = run_search(config)
    early = result.table[result.table["timesteps"] < 8192]
    assert len(early) >= 1
    assert early["reason"].str.match(r"no improvement in \d+ evaluations").all()
    best = result.table.iloc[0]
    assert best["objective"] == best["best_sharpe_ratio"]
    curves = pd.read_csv(result.path / "learning_curves.csv")
    of_winner = curves[curves["trial"] == best["trial"]]["eval/sharpe_ratio"]
    assert best["objective"] == pytest.approx(of_winner.max())
    assert best["objective"] > of_winner.iloc[-1]  # which is not the last


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"agent": {"policy": "MlpPolycy"}}, "agent: policy must be one of 'MlpPolicy'"),
        ({"agent": {"model_kwargs": {"learning_rate": "fast"}}}, "fast"),
        ({"data": {"source": "bundeld"}}, "bundled"),
        ({"split": {"validation": ["2008-01-02", "2008-01-05"]}}, "at least 4 dates"),
        ({"agent": {"model_kwargs": {"device": "cudaa"}}}, "cudaa"),
        ({"env": {"turbulence_threshold": 5.0, "risk_indicator_col": "macd"}}, "macd"),
    ],
)
def test_what_would_fail_later_fails_before_a_folder_is_made(sections, words, tmp_path) -> None:
    with pytest.raises(ValueError, match=words):
        run_search(one_at_a_time(tmp_path, **sections))
    assert list(tmp_path.iterdir()) == []


def copy_of(finished: SearchResult, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished.path, tmp_path / "copy"))


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file() and p.name != ".lock"}


def test_a_resume_without_rays_files_leaves_a_finished_search_as_it_is(finished, tmp_path) -> None:
    folder = copy_of(finished, tmp_path)
    shutil.rmtree(folder / "ray")
    before = contents(folder)
    assert resume_search(folder).finished
    assert contents(folder) == before
    assert backtest(folder, again=True).trial == finished.table["trial"].iloc[0]


@pytest.mark.parametrize("left", [0, 3000])
def test_a_cut_journal_is_refused_and_nothing_is_overwritten(left, finished, tmp_path) -> None:
    folder = copy_of(finished, tmp_path)
    journal = (folder / "journal.jsonl").read_bytes()
    (folder / "journal.jsonl").write_bytes(journal[:left])
    before = contents(folder)
    with pytest.raises(SearchError, match="was cut or lost"):
        resume_search(folder)
    assert contents(folder) == before


def test_a_search_that_is_running_cannot_be_resumed_beside_it(finished) -> None:
    with (
        sole_driver(open_folder(finished.path)),
        pytest.raises(SearchError, match="another process is running"),
    ):
        resume_search(finished.path)


def test_the_test_window_stays_closed_until_the_search_has_ended(finished, tmp_path) -> None:
    folder = copy_of(finished, tmp_path)
    shutil.rmtree(folder / "backtest", ignore_errors=True)
    append_event(folder, read_journal(folder), "start", trial_id="x", index=4, sample={})
    openings = count_openings(folder)
    with pytest.raises(SearchError, match="4 of 4 trials have ended; go on with it first"):
        backtest(folder)
    assert count_openings(folder) == openings


def test_a_result_of_another_model_is_not_shown_as_the_winners(finished, tmp_path) -> None:
    folder = copy_of(finished, tmp_path)
    backtest(folder, again=True)
    loser = finished.table["trial"].iloc[-1]
    other = next((folder / "ray").glob(f"trial_{loser:05d}/checkpoint_*/model.zip"))
    shutil.copy(other, folder / "final_model" / "model.zip")
    with pytest.raises(SearchError, match="another model than today's winner"):
        backtest(folder)


def test_an_unwritable_storage_path_is_an_error(tmp_path, monkeypatch) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("", encoding="utf-8")
    prepared = prepare_search(small_config(tmp_path))
    search = dataclasses.replace(prepared.config.search, storage_path=str(occupied))
    config = dataclasses.replace(prepared.config, search=search)
    # before Ray is started, also where the search was prepared before the disk filled
    monkeypatch.setattr("finrl_ray.search.run.driver.ray_session", None)
    with pytest.raises(ConfigError, match="must be a folder in which this process can make files"):
        run_search(dataclasses.replace(prepared, config=config))


def test_a_budget_ends_the_whole_search_with_its_reason(tmp_path) -> None:
    search = {"timesteps_budget": 1500, "num_samples": 50, "storage_path": str(tmp_path)}
    result = run_search(one_at_a_time(tmp_path, search=search))
    assert result.finished
    assert result.ended_by == "the search's budget of 1,500 timesteps is spent"
    assert 1 <= len(result.table) < 50
    assert result.ended_by in set(result.table["reason"])
    # and a search that has ended so is not gone on with
    before = (result.path / "journal.jsonl").read_bytes()
    assert resume_search(result.path).finished
    assert (result.path / "journal.jsonl").read_bytes() == before
    assert backtest(result.path).trial == result.table["trial"].iloc[0]


def test_a_budget_that_no_trial_fits_into_leaves_an_empty_table(tmp_path) -> None:
    search = {"time_budget_s": 1e-9, "storage_path": str(tmp_path)}
    result = run_search(one_at_a_time(tmp_path, search=search))
    assert (result.finished, len(result.table)) == (True, 0)
    assert result.ended_by == "the search's time budget of 1e-09 s is spent"


def test_a_trial_that_reports_nothing_for_too_long_is_ended_and_says_so(tmp_path) -> None:
    search = {"trial_timeout_s": 0.1, "num_samples": 1, "max_failures": 0}
    result = run_search(one_at_a_time(tmp_path, search={**search, "storage_path": str(tmp_path)}))
    assert result.table["state"].tolist() == ["failed"]
    reason = "no result for 0.1 s (search.trial_timeout_s); its process was ended"
    assert result.table["reason"].tolist() == [reason]
