"""The ranked table: who can win, in which order, with which values."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest

from finrl_ray.config.agent import AgentConfig
from finrl_ray.config.evaluation import EvaluationConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.errors import SearchError
from finrl_ray.search.folder.checkpoints import CheckpointStorage
from finrl_ray.search.journal.records import TrialRecord
from finrl_ray.search.results.table import (
    chosen_checkpoint,
    leader,
    ranked_rows,
    table_of,
    trial_table,
    winner,
)

CONFIG = ExperimentConfig(
    agent=AgentConfig(total_timesteps=1000), evaluation=EvaluationConfig(eval_freq=100)
)


def record(index: int, *objectives: float, state: Any = "completed", **fields: Any) -> TrialRecord:
    results = [
        {
            "timesteps": 100 * (i + 1),
            "objective": value,
            "eval_objective": value,
            "eval/sharpe_ratio": value,
            "eval/appraisal_ratio": value,
            "eval/max_drawdown": -0.1,
        }
        for i, value in enumerate(objectives)
    ]
    return TrialRecord(
        trial_id=f"t{index}", index=index, sample={"n_steps": 64, "batch_size": 512},
        state=state, reason=f"{state}.", results=results, **fields,
    )  # fmt: skip


def test_trials_are_ranked_by_their_last_score_and_losers_stay_in_the_table() -> None:
    records = [
        record(0, 2.0, 0.5),
        record(1, 1.0, state="stopped"),
        record(2, 9.0, state="failed"),
        record(3, 8.0, state="rejected"),
        record(4, state="failed"),
    ]
    table = trial_table(records, CONFIG)
    assert table["trial"].tolist() == [1, 0, 3, 2, 4]
    assert table["rank"].fillna(0).tolist() == [1, 2, 0, 0, 0]
    assert table["best_sharpe_ratio"].tolist()[1] == 2.0
    assert table["timesteps"].tolist()[:2] == [100, 200]
    assert winner(records, CONFIG).index == 1
    leading = leader(records, CONFIG)
    assert leading is not None
    assert leading.index == 1


def test_the_best_rows_are_the_first_of_all() -> None:
    records = [
        record(k, math.sin(k), state="failed" if k % 4 == 3 else "stopped") for k in range(9)
    ]
    for k, one in enumerate(records):
        one.last["eval/max_drawdown"] = -0.1 * (k % 3)
    search = dataclasses.replace(CONFIG.search, objectives=("sharpe_ratio", "max_drawdown"))
    config = dataclasses.replace(CONFIG, search=search)
    every = ranked_rows(records, config)
    assert 0 < sum(row["pareto"] for row in every) < sum(row["rank"] is not None for row in every)
    assert [ranked_rows(records, config, top) for top in (0, 1, 4, 9, 20)] == [
        every[:top] for top in (0, 1, 4, 9, 20)
    ]


def test_without_a_table_the_same_trial_leads() -> None:
    cases = [
        ([record(1, 1.0), record(0, 1.0)], 0),
        ([record(0, math.nan), record(1, -3.0, state="interrupted")], 1),
        ([record(0, 2.0, state="rejected"), record(1, state="running")], None),
        ([], None),
    ]
    for records, expected in cases:
        leading = leader(records, CONFIG)
        assert (None if leading is None else leading.index) == expected
        table = trial_table(records, CONFIG)
        ranked = table[table["rank"] == 1]["trial"].tolist() if len(table) else []
        assert ranked == ([] if expected is None else [expected])


def test_equal_objectives_are_ranked_by_order_of_creation() -> None:
    table = trial_table([record(1, 1.0), record(0, 1.0)], CONFIG)
    assert table["trial"].tolist() == [0, 1]


def test_repaired_values_are_what_the_table_shows() -> None:
    row = trial_table([record(0, 1.0)], CONFIG).iloc[0]
    assert (row["n_steps"], row["batch_size"], row["n_envs"]) == (64, 64, 1)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_trial_without_a_finite_score_ranks_below_all_others(bad: float) -> None:
    table = trial_table([record(0, bad), record(1, -3.0)], CONFIG)
    assert table["score"].tolist() == [-3.0, -10.0]
    assert table["trial"].tolist() == [1, 0]
    assert winner([record(0, bad), record(1, -3.0)], CONFIG).index == 1


def test_no_winner_is_an_error_that_counts_the_trials() -> None:
    with pytest.raises(SearchError, match="no trial of 2 can win"):
        winner([record(0, state="failed"), record(1, state="failed")], CONFIG)
    with pytest.raises(SearchError, match="none has started"):
        winner([], CONFIG)


def test_the_chosen_checkpoint_is_the_last_or_the_best_on_disk(tmp_path: Path) -> None:
    for name in ("c1", "c3"):
        (tmp_path / name).mkdir()
    paths = {100: "c1", 200: "deleted", 300: "c3"}
    found = record(0, 2.0, 3.0, 1.0, checkpoints=paths)
    storage = CheckpointStorage(tmp_path)
    assert chosen_checkpoint(found, storage) == "c3"
    assert chosen_checkpoint(found, storage, CONFIG) == "c1"
    with pytest.raises(SearchError, match="no checkpoint under"):
        chosen_checkpoint(record(1, 1.0), storage)


def test_options_of_the_config_are_columns_with_what_the_trial_really_had() -> None:
    chosen = [
        {"env.hmax": 300, "data.features": ["macd", "rsi_30"], "env.profit_loss_ratio": 2.0},
        {"env.hmax": 30.0, "data.features": "finrl", "env.stop_loss": 0.9,
         "env.profit_loss_ratio": 1.0},
    ]  # fmt: skip
    records = [record(0, 2.0), record(1, 1.0)]
    for one, options in zip(records, chosen, strict=True):
        one.sample = {**one.sample, **options}
    table = trial_table(records, CONFIG)
    assert table["env.hmax"].tolist() == [300, 30]
    assert table["data.features"].tolist() == ["[macd, rsi_30]", "finrl"]
    # without a stop loss a ratio to it has no meaning
    assert table["env.profit_loss_ratio"].fillna(0).tolist() == [0, 1.0]
    assert table["n_steps"].tolist() == [64, 64]


def test_whole_numbers_stay_whole_where_other_algorithms_have_none(tmp_path: Path) -> None:
    rows = [
        {"rank": 1, "trial": 0, "n_steps": 128, "gamma": 0.9, "net_arch": "[64]"},
        {"rank": None, "trial": 1, "gamma": None, "buffer_size": 50_000, "train_freq": 4},
        {"rank": None, "trial": 2, "gamma": 1.0, "buffer_size": None, "train_freq": 0.5},
    ]
    table = table_of(rows)
    kinds = {name: str(kind) for name, kind in table.dtypes.items()}
    assert (kinds["n_steps"], kinds["buffer_size"], kinds["trial"]) == ("Int64", "Int64", "int64")
    assert (kinds["gamma"], kinds["train_freq"]) == ("float64", "float64")
    lines = table.to_csv(index=False).splitlines()
    assert lines[1:] == ["1,0,128,0.9,[64],,", ",1,,,,50000,4.0", ",2,,1.0,,,0.5"]
    table.to_parquet(tmp_path / "trials.parquet")


def test_the_measures_beside_buy_and_hold_are_columns() -> None:
    row = trial_table([record(0, 1.0)], CONFIG).iloc[0]
    for name in ("appraisal_ratio", "information_ratio", "exposure", "beta", "turnover"):
        assert name in row.index
    assert row["appraisal_ratio"] == row["score"] == 1.0
