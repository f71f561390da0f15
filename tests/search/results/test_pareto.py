"""Which results no other dominates."""

import numpy as np
import pytest

from finrl_ray.config.agent import AgentConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.search import SearchConfig
from finrl_ray.search.journal.records import TrialRecord
from finrl_ray.search.results.pareto import non_dominated
from finrl_ray.search.results.table import trial_table

NAN = float("nan")


@pytest.mark.parametrize(
    ("values", "front"),
    [
        ([[1, 1]], [True]),
        ([[1, 3], [2, 2], [3, 1]], [True, True, True]),
        ([[1, 3], [2, 2], [2, 3]], [False, False, True]),
        ([[1, 1], [1, 1]], [True, True]),
        ([[1, 1], [1, 2]], [False, True]),
        ([[NAN, 9], [1, 2]], [False, True]),
        ([[1, 2, 3], [3, 2, 1], [1, 2, 2]], [True, True, False]),
    ],
)
def test_worked_fronts(values: list[list[float]], front: list[bool]) -> None:
    assert non_dominated(np.array(values, dtype=float)).tolist() == front


def test_no_result_has_an_empty_front() -> None:
    assert non_dominated(np.empty((0, 2))).tolist() == []


def record(index: int, sharpe: float, drawdown: float, state: str = "completed") -> TrialRecord:
    result = {
        "timesteps": 100,
        "objective": sharpe,
        "eval/sharpe_ratio": sharpe,
        "eval/appraisal_ratio": sharpe,
        "eval/max_drawdown": drawdown,
    }
    return TrialRecord(
        trial_id=f"{index:05d}", index=index, sample={}, started=True, state=state, results=[result]
    )


def test_only_trials_that_can_win_are_in_the_front() -> None:
    search = SearchConfig(searcher="optuna", objectives=("sharpe_ratio", "max_drawdown"))
    config = ExperimentConfig(agent=AgentConfig(), search=search)
    records = [
        record(0, 1.0, -0.3),
        record(1, 0.5, -0.1),
        record(2, 0.4, -0.2),  # worse than trial 1 in both
        record(3, 9.0, -0.01, state="rejected"),
        record(4, NAN, -0.01),  # ranks last, by the stand-in of what is no number
    ]
    table = trial_table(records, config).set_index("trial")
    assert table["pareto"].to_dict() == {0: True, 1: True, 2: False, 3: False, 4: False}
    assert table["rank"].fillna(0).to_dict() == {0: 1, 1: 2, 2: 3, 3: 0, 4: 4}
    plain = ExperimentConfig(agent=AgentConfig())
    assert "pareto" not in trial_table(records, plain)
