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
    with pytest.raises(ConfigError, match=r"search\.rank_by.*'appraisal_ratio'"):
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
