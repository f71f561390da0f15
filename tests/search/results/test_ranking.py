"""By what trials are ranked: measure, standing evaluation, lower bound, former searches."""

import math
from typing import Any

import pytest

from finrl_ray.config.load import parse_config
from finrl_ray.errors import ConfigError
from finrl_ray.search.journal.records import TrialRecord
from finrl_ray.search.results.ranking import (
    curve_key,
    rank_name,
    result_score,
    standing_result,
    trial_score,
)
from finrl_ray.search.results.table import leader, ranked_rows
from finrl_ray.search.tune.retention import superseded


def config(**sections: dict[str, Any]) -> Any:
    return parse_config({name: content for name, content in sections.items()})


def record(index: int, *results: dict[str, float]) -> TrialRecord:
    rows = [{"timesteps": 100 * (k + 1), **result} for k, result in enumerate(results)]
    return TrialRecord(trial_id=str(index), index=index, sample={}, results=rows, state="completed")


def evaluation(appraisal: float, sharpe: float) -> dict[str, float]:
    return {
        "eval/appraisal_ratio": appraisal,
        "eval/sharpe_ratio": sharpe,
        "objective": sharpe,
        "eval_objective": sharpe,
    }


CASH = record(0, evaluation(0.1, 3.0))
SKILLED = record(1, evaluation(2.0, 1.0))


@pytest.mark.parametrize(
    ("rank_by", "first", "name"),
    [
        ("appraisal_ratio", 1, "appraisal ratio"),
        ("sharpe_ratio", 0, "Sharpe ratio"),
        ("objective", 0, "Sharpe ratio"),
    ],
)
def test_the_config_says_by_what(rank_by: str, first: int, name: str) -> None:
    settings = config(search={"rank_by": rank_by})
    rows = ranked_rows([CASH, SKILLED], settings)
    assert [row["trial"] for row in rows] == [first, 1 - first]
    leading = leader([CASH, SKILLED], settings)
    assert leading is not None
    assert leading.index == first
    assert rank_name(settings) == name
    assert curve_key(settings) == f"eval/{'sharpe_ratio' if first == 0 else 'appraisal_ratio'}"


def test_the_appraisal_ratio_is_the_default_and_stopping_goes_on_by_the_sharpe_ratio() -> None:
    settings = config(search={})
    assert settings.search.rank_by == "appraisal_ratio"
    assert settings.evaluation.metric == "sharpe_ratio"
    rows = ranked_rows([SKILLED], settings)
    assert (rows[0]["score"], rows[0]["objective"]) == (2.0, 1.0)


def test_an_unknown_measure_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"search: rank_by must be .*Did you mean 'appraisal_ratio'"
    ):
        config(search={"rank_by": "apraisal_ratio"})


def test_the_best_evaluation_is_the_one_that_ranks_highest() -> None:
    trial = record(0, evaluation(1.0, 9.0), evaluation(3.0, 1.0), evaluation(2.0, 5.0))
    last, best = config(search={}), config(search={"select": "best"})
    assert trial_score(trial, last) == 2.0
    assert trial_score(trial, best) == 3.0
    assert standing_result(trial, best)["timesteps"] == 200
    # and its checkpoint is kept, where by the Sharpe ratio the first would have been
    trial.checkpoints = {steps: f"c{steps}" for steps in (100, 200, 300)}
    kept = config(search={"select": "best", "keep_checkpoints": 1})
    trial.results += [{"timesteps": 400, **evaluation(0.0, 0.0)}]
    trial.checkpoints[400] = "c400"
    assert superseded(trial, kept) == [100]


def test_the_mean_of_the_last_evaluations() -> None:
    long = record(0, *(evaluation(value, 0.0) for value in (9.0, 1.0, 2.0, 6.0)))
    short = record(1, evaluation(4.0, 5.0), evaluation(3.0, 1.0))
    single = record(2, evaluation(3.2, 7.0))
    three, two = (
        config(search={"select": "mean"}),
        config(search={"select": "mean", "select_last": 2}),
    )
    # (1 + 2 + 6) / 3, (4 + 3) / 2, 3.2 alone
    assert [trial_score(one, three) for one in (long, short, single)] == [3.0, 3.5, 3.2]
    assert [trial_score(one, two) for one in (long, short, single)] == [4.0, 3.5, 3.2]
    assert trial_score(long, config(search={"select": "mean", "select_last": 1})) == 6.0
    assert trial_score(long, config(search={"select": "mean", "select_last": 99})) == 4.5
    trials = [long, short, single]
    assert [row["trial"] for row in ranked_rows(trials, three)] == [1, 2, 0]
    assert [row["score"] for row in ranked_rows(trials, two)] == [4.0, 3.5, 3.2]
    leading = leader(trials, three)
    assert leading is not None
    assert leading.index == 1
    assert rank_name(three) == "appraisal ratio (mean of its last 3 evaluations)"
    # the model, the account and the returns are those of the last evaluation
    assert standing_result(long, three)["timesteps"] == 400
    sharpe = config(search={"select": "mean", "select_last": 2, "rank_by": "sharpe_ratio"})
    assert trial_score(short, sharpe) == 3.0
    former = config(search={"select": "mean", "select_last": 2, "rank_by": "objective"})
    assert trial_score(short, former) == 3.0
    assert rank_name(former) == "Sharpe ratio (mean of its last 2 evaluations)"


def test_a_mean_of_evaluations_of_which_some_are_no_numbers() -> None:
    mean = config(search={"select": "mean"})
    # a measure that is no number counts as its stand-in, -10
    assert trial_score(record(0, evaluation(1.0, 0.0), evaluation(math.nan, 0.0)), mean) == -4.5
    former = config(search={"select": "mean", "rank_by": "objective"})
    first, last = {"objective": math.nan}, {"objective": 2.0}
    assert trial_score(record(0, first, last), former) == 2.0
    assert trial_score(record(0, last, first), former) is None
    assert trial_score(record(0), mean) is None


def test_a_mean_is_of_one_agent() -> None:
    trial = record(0, *(evaluation(value, 0.0) for value in (8.0, 8.0, 1.0, 2.0)))
    mean = config(search={"select": "mean", "scheduler": {"type": "pbt"}})
    trial.exploits = [{"timesteps": 100}, {"timesteps": 200}]
    assert trial_score(trial, mean) == 1.5
    trial.exploits += [{"timesteps": 400}]  # nothing came since
    assert trial_score(trial, mean) == pytest.approx(11 / 3)


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"search": {"select_last": 3}}, "number of evaluations of select 'mean'.* select 'last'"),
        ({"search": {"select": "best", "select_last": 3}}, "select_last 3 with select 'best'"),
        (
            {"search": {"select": "mean", "select_last": 0}},
            "select_last must be >= 1 or null, got 0",
        ),
        ({"search": {"select": "median"}}, r"search\.select"),
        (
            {
                "search": {
                    "select": "mean",
                    "searcher": "optuna",
                    "objectives": ["sharpe_ratio", "max_drawdown"],
                }
            },
            "set select to 'last', got 'mean'",
        ),
        (
            {"search": {"select": "mean"}, "validation": {"seeds": 2}},
            "search.select must be 'last', got 'mean'",
        ),
    ],
)
def test_a_mean_that_has_no_meaning_is_refused(sections: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        config(**sections)


def test_several_trainings_are_ranked_by_a_lower_bound() -> None:
    paths = {"scheme": "walk_forward", "n_windows": 3}
    result = {"eval/appraisal_ratio": 2.0, "eval/appraisal_ratio_se": 0.5, "objective": 7.0}
    lower = config(validation=paths, search={})
    assert result_score(result, lower) == 1.5
    assert rank_name(lower) == "appraisal ratio less its standard error"
    plain = config(validation={**paths, "objective": "metric"}, search={})
    assert result_score(result, plain) == 2.0
    former = config(validation=paths, search={"rank_by": "objective"})
    assert (result_score(result, former), rank_name(former)) == (7.0, "objective")
    assert curve_key(former) == "objective"


def test_what_is_no_number_ranks_last_and_what_was_not_measured_not_at_all() -> None:
    settings = config(search={})
    assert result_score({"eval/appraisal_ratio": math.nan}, settings) == -10.0
    assert result_score({"eval/appraisal_ratio": None}, settings) == -10.0
    assert result_score({"eval/sharpe_ratio": 1.0, "objective": 1.0}, settings) is None
    assert trial_score(record(0), settings) is None
    former = config(search={"rank_by": "objective"})
    assert result_score({"objective": math.nan}, former) is None
