"""Who trades in each reading of a search, and what several do together, on numbers made by hand."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from search_readings import Choice, Curve, choices, joined, lockstep, winners_reading

from finrl_ray.config.search import SearchConfig


def curve(trial: int, *scores: float, sharpe: float = 0.0, **more: Any) -> Curve:
    steps = tuple(100 * (number + 1) for number in range(len(scores)))
    by_measure = {"appraisal_ratio": scores, "sharpe_ratio": [sharpe] * len(scores)}
    return Curve(trial=trial, timesteps=steps, scores=by_measure, **more)


CURVES = [
    curve(0, 3.0, 1.0, 5.0, sharpe=1.0),
    curve(1, 4.0, 6.0, 4.0, sharpe=3.0),
    curve(2, 4.5, sharpe=2.0, whole=False),
    curve(3, 1.0, 1.0, 3.0, sharpe=0.0),
]


def trials_of(reading: str) -> tuple[int, ...]:
    return choices(CURVES, "appraisal_ratio")[reading].trials


def test_the_winner_has_the_best_last_evaluation_by_the_measure_that_ranks() -> None:
    assert trials_of("ranked") == (0,)
    assert trials_of("by_sharpe_ratio") == (1,)


def test_means_take_what_evaluations_there_are() -> None:
    # of two: 3, 5, 4.5 and 2; of three: 3, 14/3, 4.5 and 5/3
    assert trials_of("mean_2") == (1,)
    assert trials_of("mean_3") == (1,)
    lone = [curve(0, 0.0, 5.0), curve(1, 4.0)]
    # 2.5 against the one evaluation of trial 1
    assert choices(lone, "appraisal_ratio")["mean_2"].trials == (1,)


def test_the_best_evaluation_is_chosen_with_its_checkpoint() -> None:
    assert choices(CURVES, "appraisal_ratio")["best"] == Choice(trials=(1,), timesteps=200)


def test_ensembles_are_the_first_of_their_kind() -> None:
    assert trials_of("ensemble_3") == (0, 2, 1)
    assert trials_of("ensemble_5") == (0, 2, 1, 3)
    assert trials_of("ensemble_3_whole") == (0, 1, 3)
    assert trials_of("last_of_whole") == (0,)


def test_of_equal_trials_the_first_wins_and_one_without_a_score_never() -> None:
    equal = [curve(4, -math.inf), curve(7, 1.0), curve(5, 1.0)]
    found = choices(equal, "appraisal_ratio")
    assert found["ranked"].trials == (5,)
    assert found["ensemble_3"].trials == (5, 7)
    assert choices([curve(4, -math.inf)], "appraisal_ratio").keys() == {"by_sharpe_ratio"}
    assert choices([], "appraisal_ratio") == {}


def test_weights_are_read_as_the_env_reads_them_before_their_mean() -> None:
    first, second = np.array([[-1.0, 0.5]]), np.array([[2.0, 1.0]])
    # 0 and .5; 1 and 1, which are more than the account, hence .5 and .5
    assert joined([first, second], [1.0, 1.0]) == pytest.approx(np.array([[0.25, 0.5]]))
    assert joined([first, second]) == pytest.approx(np.array([[0.5, 0.75]]))
    assert joined([second], [1.0]) is second


def test_the_account_goes_the_mean_of_the_members_ways() -> None:
    held, slow, fast = np.array([[0.2, 0.6]]), np.array([[0.5, 0.5]]), np.array([[0.0, 1.0]])
    # .3 of the way to .5 and .5, and the whole way to 0 and 1
    ways = held + 0.3 * (slow - held), fast
    told = joined([slow, fast], [0.3, 1.0])
    assert held + 0.65 * (told - held) == pytest.approx((ways[0] + ways[1]) / 2)


class CountingEnv:
    """An env of one account that ends after some days and remembers what it was told."""

    def __init__(self, start: float, days: int) -> None:
        self.day, self.days, self.start = 0, days, start
        self.told: list[float] = []

    def reset(self) -> Any:
        return np.array([[self.start]])

    def step(self, actions: Any) -> Any:
        self.told.append(float(actions[0, 0]))
        self.day += 1
        history = SimpleNamespace(told=list(self.told))
        done = np.array([self.day % self.days == 0])
        return np.array([[self.start + self.day]]), None, done, [{"account_history": history}]


def test_each_env_gets_the_action_for_what_it_shows_and_its_first_account_counts() -> None:
    def twice(seen: Any, *, deterministic: bool) -> Any:
        assert deterministic
        return 2.0 * seen, None

    def zero(seen: Any, *, deterministic: bool) -> Any:
        return 0.0 * seen, None

    envs = [CountingEnv(1.0, 2), CountingEnv(10.0, 3)]
    histories = lockstep(envs, [twice, zero])
    assert [history.told for history in histories] == [[1.0, 2.0], [10.0, 11.0, 12.0]]


def test_the_winner_of_a_config_is_one_of_the_readings() -> None:
    assert winners_reading(SearchConfig()) == "ranked"
    assert winners_reading(SearchConfig(ensemble=3)) == "ensemble_3"
    assert winners_reading(SearchConfig(ensemble=1, select="best")) == "best"
    assert winners_reading(SearchConfig(select="mean", select_last=5)) == "mean_5"
    with pytest.raises(ValueError, match="over 4 evaluations"):
        winners_reading(SearchConfig(select="mean", select_last=4))
