"""Which model trades a window: seeds, ties, failures, fallbacks, training again."""

import math
from collections.abc import Mapping
from typing import Any

import pytest
from ensemble_cases import SMALL_A2C, SMALL_PPO, small_agent

from finrl_ray.errors import ConfigError
from finrl_ray.workflows.ensemble.strategy import (
    TrainingPlan,
    WindowChoice,
    best_algorithm,
    check_plan,
    choose_models,
    task_seed,
)
from finrl_ray.workflows.ensemble.window_training import TrainingOutcome, TrainingTask

NAN = math.nan


class ScriptedWorkers:
    """Gives outcomes from a table, the last submitted first."""

    def __init__(self, sharpe: Mapping[tuple[int, str], float], *, retrain_fails: bool = False):
        self.sharpe, self.retrain_fails = sharpe, retrain_fails
        self.waiting: list[TrainingTask] = []
        self.seen: list[TrainingTask] = []

    def submit(self, task: TrainingTask) -> None:
        self.waiting.append(task)

    def next(self) -> tuple[TrainingTask, TrainingOutcome]:
        task = self.waiting.pop()
        self.seen.append(task)
        name = f"{task.stage} {task.window} {task.algorithm}".encode()
        if task.stage == "retrain":
            if self.retrain_fails:
                return task, TrainingOutcome(failure="MemoryError: full")
            return task, TrainingOutcome(model=name)
        sharpe = self.sharpe[task.window, task.algorithm]
        if math.isnan(sharpe):
            return task, TrainingOutcome(failure="ValueError: broken")
        return task, TrainingOutcome(sharpe=sharpe, model=name)


def plan(agent: Any, **changes: Any) -> TrainingPlan:
    values: dict[str, Any] = {
        "model_kwargs": {"a2c": SMALL_A2C, "ppo": SMALL_PPO},
        "total_timesteps": {"a2c": 50, "ppo": 64},
        "account": agent._account,
        "seed": 1,
        "n_envs": 1,
        "periods_per_year": 252.0,
        "retrain": False,
    }
    return TrainingPlan(**{**values, **changes})


def choices(
    sharpe: Mapping[tuple[int, str], float], **changes: Any
) -> tuple[list[WindowChoice], ScriptedWorkers]:
    agent = small_agent()
    workers = ScriptedWorkers(sharpe, retrain_fails=changes.pop("retrain_fails", False))
    found = choose_models(agent.windows, [None] * 3, plan(agent, **changes), workers)
    return found, workers


def table(*rows: tuple[float, float]) -> dict[tuple[int, str], float]:
    return {
        (window, name): value
        for window, row in enumerate(rows)
        for name, value in zip(("a2c", "ppo"), row, strict=True)
    }


def test_the_best_validation_sharpe_of_each_window_trades_whatever_the_order_of_arrival() -> None:
    found, _ = choices(table((1.0, 0.5), (-2.0, -1.0), (0.0, 3.0)))
    assert [choice.algorithm for choice in found] == ["a2c", "ppo", "ppo"]
    assert [choice.model for choice in found] == [
        b"validate 0 a2c",
        b"validate 1 ppo",
        b"validate 2 ppo",
    ]
    assert [list(choice.sharpe) for choice in found] == [["a2c", "ppo"]] * 3


def test_nan_never_wins_and_its_reason_is_kept() -> None:
    found, _ = choices(table((NAN, -5.0), (-5.0, NAN), (1.0, 2.0)))
    assert [choice.algorithm for choice in found] == ["ppo", "a2c", "ppo"]
    assert found[0].failures == {"a2c": "ValueError: broken"}
    assert math.isnan(found[0].sharpe["a2c"])


def test_the_model_before_goes_on_where_all_fail() -> None:
    found, _ = choices(table((1.0, 2.0), (NAN, NAN), (NAN, NAN)))
    assert [choice.model for choice in found] == [b"validate 0 ppo"] * 3
    assert [bool(choice.note) for choice in found] == [False, True, True]
    assert "the ppo model of the window before goes on trading" in found[2].note


def test_no_orders_are_placed_where_there_never_was_a_model() -> None:
    found, _ = choices(table((NAN, NAN), (1.0, NAN), (NAN, 2.0)))
    assert [choice.algorithm for choice in found] == [None, "a2c", "ppo"]
    assert "no orders are placed" in found[0].note


def test_retraining_covers_the_validation_days_and_stops_before_trading() -> None:
    found, workers = choices(table((1.0, 0.5), (0.5, 1.0), (NAN, NAN)), retrain=True)
    assert [choice.model for choice in found] == [
        b"retrain 0 a2c",
        b"retrain 1 ppo",
        b"retrain 1 ppo",
    ]
    again = [task for task in workers.seen if task.stage == "retrain"]
    windows = {choice.window.number: choice.window for choice in found}
    assert {task.window: task.stop_row for task in again} == {
        number: windows[number].trade_start for number in (0, 1)
    }
    assert len({task.seed for task in workers.seen}) == len(workers.seen)


def test_a_failed_retraining_leaves_the_validated_model() -> None:
    found, _ = choices(table(*[(1.0, 0.5)] * 3), retrain=True, retrain_fails=True)
    assert found[0].model == b"validate 0 a2c"
    assert "MemoryError: full" in found[0].note


def test_of_equal_ratios_finrls_first_algorithm_wins() -> None:
    assert best_algorithm({"ppo": 0.0, "sac": 0.0, "ddpg": 0.0, "td3": 0.0}) == "ddpg"
    assert best_algorithm({"ppo": NAN, "a2c": NAN}) is None
    assert best_algorithm({"ppo": -math.inf, "a2c": NAN}) == "ppo"


def test_seeds_depend_on_each_of_their_parts() -> None:
    parts = [(0, 0, "ppo", "validate"), (1, 0, "ppo", "validate"), (0, 1, "ppo", "validate")]
    parts += [(0, 0, "a2c", "validate"), (0, 0, "ppo", "retrain")]
    seeds = [task_seed(*part) for part in parts]
    assert len(set(seeds)) == len(seeds)
    assert seeds == [task_seed(*part) for part in parts]
    assert all(0 <= seed < 2**31 for seed in seeds)


@pytest.mark.parametrize(
    ("algorithm", "kwargs", "message"),
    [
        ("ppo", {"nsteps": 64}, "ppo has no keyword 'nsteps'.*Did you mean 'n_steps'"),
        ("ppo", {"n_steps": 1, "batch_size": 1}, "n_steps 1 x n_envs 1 = 1 sample"),
        ("sac", {"action_noise": "pink"}, "action_noise must be one of"),
        ("a2c", {"policy_kwargs": {"net_arch": "big"}}, "a2c cannot be built"),
    ],
)
def test_keywords_that_cannot_work_fail_before_any_training(
    algorithm: str, kwargs: dict[str, Any], message: str
) -> None:
    agent = small_agent()
    wrong = plan(agent, model_kwargs={algorithm: kwargs}, total_timesteps={algorithm: 50})
    with pytest.raises(ConfigError, match=message):
        check_plan(agent._market.market_data, agent.windows[0], wrong)
