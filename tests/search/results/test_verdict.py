"""The verdict on a search: N, whose returns, what is written, and the exit code."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_search import small_config, write_small_config

from finrl_ray.baselines.buy_and_hold import buy_and_hold
from finrl_ray.cli.main import main
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.schedulers import PBTConfig
from finrl_ray.config.search import SearchConfig
from finrl_ray.errors import SearchError
from finrl_ray.metrics.returns import simple_returns
from finrl_ray.search.folder.checkpoints import CheckpointStorage
from finrl_ray.search.folder.folder import open_folder
from finrl_ray.search.journal.records import TrialRecord
from finrl_ray.search.results.returns import evaluation_returns, read_checkpoints
from finrl_ray.search.results.verdict import configurations_tried, read_verdict
from finrl_ray.search.run.prepare import prepare_search
from finrl_ray.search.run.runner import resume_search, run_search
from finrl_ray.statistics.verdict import judge
from finrl_ray.training.agent import EVALUATIONS_FILE


def record(index: int, evaluations: int = 1, state: str = "stopped", exploits: int = 0):
    made = TrialRecord(trial_id=f"{index:05d}", index=index, sample={}, started=True)
    made.state = state  # type: ignore[assignment]  # one of the states
    made.results = [{"timesteps": k + 1, "objective": 0.0} for k in range(evaluations)]
    made.exploits = [{} for _ in range(exploits)]
    return made


@pytest.mark.parametrize(
    ("search", "records", "tried"),
    [
        ({}, [record(0, 5), record(1, 0, "failed"), record(2, 1, "rejected")], 3),
        ({"select": "best"}, [record(0, 5), record(1, 0, "failed"), record(2, 2)], 8),
        ({"select": "mean"}, [record(0, 5), record(1, 0, "failed"), record(2, 2)], 3),
        ({"scheduler": PBTConfig()}, [record(0, 5, exploits=3), record(1, 5)], 5),
        ({"ensemble": 2}, [record(0, 5), record(1, 0, "failed"), record(2, 2)], 4),
        ({"ensemble": 1}, [record(0, 5), record(1, 0, "failed"), record(2, 2)], 3),
        ({"ensemble": 2, "select": "best"}, [record(0, 5), record(1, 1)], 7),
        ({}, [], 0),
    ],
)
def test_every_chance_to_be_lucky_counts(search, records, tried) -> None:
    config = ExperimentConfig(search=SearchConfig(**search))
    assert configurations_tried(records, config) == tried


def test_what_it_takes_is_said_before_the_search(tmp_path: Path) -> None:
    text = prepare_search(small_config(tmp_path)).describe()
    assert "the best of 4 trials on 124 returns must earn an annual appraisal ratio (beside" in text
    best = prepare_search(small_config(tmp_path, search={"select": "best"})).describe()
    assert "the best of 16 trials on 124 returns" in best
    mean = prepare_search(small_config(tmp_path, search={"select": "mean"})).describe()
    assert "the best of 4 trials on 124 returns" in mean
    together = prepare_search(small_config(tmp_path, search={"ensemble": 2})).describe()
    assert "the best of 5 trials on 124 returns" in together
    assert "the 2 trials that rank first act together as the winner: one look more, 5" in together


@pytest.fixture(scope="module")
def searched(ray_session: None, tmp_path_factory: pytest.TempPathFactory):
    return run_search(
        small_config(
            tmp_path_factory.mktemp("judged"),
            agent={"n_envs": 2},
            search={"max_concurrent_trials": 1},
        )
    )


@pytest.mark.slow
def test_a_search_ends_with_a_verdict(searched) -> None:
    judged = searched.judged
    assert judged is not None
    assert judged.verdict.n_trials == judged.verdict.n_with_returns == 4
    assert judged.trial == int(searched.table.iloc[0]["trial"])
    content = json.loads((searched.path / "verdict.json").read_text())
    assert content["verdict"] == judged.verdict.kind
    assert content["sentences"][0].startswith(judged.verdict.kind)
    assert content["states"] == {"completed": 4}
    assert read_verdict(searched.path) == judged


@pytest.mark.slow
def test_residual_returns_are_the_last_evaluations_less_beta_times_buy_and_hold(searched) -> None:
    folder = open_folder(searched.path)
    records = folder.records().in_order()
    storage = CheckpointStorage(folder.path, folder.remote)
    found = evaluation_returns(folder, read_checkpoints(records, storage, EVALUATIONS_FILE))
    curves = pd.read_parquet(searched.path / "account_curves.parquet")
    held = simple_returns(buy_and_hold(folder.validation_data, folder.config.env))
    for column, trial in enumerate(found.trials):
        own = curves[curves["trial"] == trial]
        last = own[own["timesteps"] == own["timesteps"].max()]["account_value"].to_numpy()
        own = simple_returns(last)
        np.testing.assert_array_equal(found.own[:, column], own)
        slope = np.cov(own, held)[0, 1] / held.var(ddof=1)
        np.testing.assert_allclose(found.residual[:, column], own - slope * held, atol=1e-15)
    np.testing.assert_array_equal(found.benchmark, held)
    kept = pd.read_parquet(searched.path / "residual_returns.parquet")
    assert [int(name) for name in kept.columns[1:]] == list(found.trials)
    np.testing.assert_array_equal(kept.iloc[:, 1:].to_numpy(), found.residual)
    # and the verdict follows from that file alone
    again = judge(
        kept.iloc[:, 1:].to_numpy(),
        list(kept.columns[1:]).index(str(searched.judged.trial)),
        n_trials=4,
        periods_per_year=252.0,
        seed=folder.config.seed,
    )
    assert again == searched.judged.verdict


@pytest.mark.slow
def test_what_was_announced_is_what_was_needed(searched) -> None:
    folder = open_folder(searched.path)
    announced = prepare_search(folder.config).describe()
    verdict = searched.judged.verdict
    # four trials have no PBO
    assert f"{verdict.needed_weak_annual:.2f} for weak evidence (evidence takes a PBO" in announced
    said = f"of about {verdict.needed_weak_annual:.2f} would have been needed for weak evidence"
    assert said in "\n".join(searched.judged.sentences())
    assert f"the best of {verdict.n_trials} trials on {verdict.n_periods} returns" in announced


@pytest.mark.slow
def test_the_verdict_says_what_the_winner_earned(searched) -> None:
    judged = searched.judged
    earned = judged.earnings
    row = searched.table.iloc[0]
    assert earned.total_return == pytest.approx(row["total_return"])
    assert earned.exposure == pytest.approx(row["exposure"])
    assert earned.beta == pytest.approx(row["beta"], abs=1e-9)
    baselines = pd.read_csv(searched.path / "baselines.csv").set_index("strategy")
    held = baselines.loc["buy_and_hold"]
    assert earned.benchmark_return == pytest.approx(held["total_return"])
    assert held["beta"] == pytest.approx(1.0)
    said = judged.sentences()[1]
    assert re.match(r"in 124 days the winner (earned|lost) \d", said)
    assert "where buy & hold lost 11.2%; on average" in said
    assert judged.ranked_by == searched.ranked_by == "appraisal ratio"
    assert row["appraisal_ratio"] == searched.table["appraisal_ratio"].max()


@pytest.mark.slow
def test_a_verdict_that_is_lost_is_written_again_and_a_damaged_one_is_said(searched) -> None:
    path = searched.path / "verdict.json"
    before = path.read_text()
    path.unlink()
    assert read_verdict(searched.path) is None
    assert resume_search(searched.path).judged == searched.judged
    assert path.read_text() == before
    path.write_text(before[:100])
    with pytest.raises(SearchError, match=r"verdict\.json is damaged"):
        read_verdict(searched.path)
    path.write_text(before)


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_without_evidence_the_exit_code_says_so_where_it_is_asked_for(
    tmp_path: Path, monkeypatch, capsys
) -> None:
    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["finrl-ray", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        return int(caught.value.code or 0)

    config = write_small_config(tmp_path / "config.yaml", tmp_path / "runs")
    code = run("tune", str(config), "--no-dashboard", "--no-report", "--fail-on-no-evidence")
    said = " ".join(capsys.readouterr().out.split())
    assert code == 3, said
    assert "no evidence of skill: the best of 4 agents without any skill" in said
    (folder,) = (tmp_path / "runs").iterdir()
    assert run("show", str(folder)) == 0
    assert "deflated Sharpe ratio" in capsys.readouterr().out
