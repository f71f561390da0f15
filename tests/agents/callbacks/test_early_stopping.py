"""Early stopping: when, by what, and when never."""

import logging
import math
from types import SimpleNamespace

import pytest
from market_env import MarketEnv
from small_models import small_env, small_model
from stable_baselines3.common import callbacks as sb3_callbacks
from stable_baselines3.common.callbacks import CallbackList

from finrl_ray.agents.callbacks.early_stopping import StopTrainingOnNoModelImprovement
from finrl_ray.agents.callbacks.evaluation import EvalCallback, TradingEvalCallback
from finrl_ray.config.evaluation import EvaluationConfig, earliest_stop
from finrl_ray.errors import ConfigError


def under(values, stop, **fixed):
    """Feed a series of measures, one an evaluation; return the number of the one that stopped."""
    parent = EvalCallback(small_env(), callback_after_eval=stop)
    stop.model = SimpleNamespace(num_timesteps=0)
    best = -math.inf
    for number, value in enumerate(values, 1):
        measures = {"sharpe_ratio": value, "annual_volatility": value, **fixed}
        parent.log.measures.append(measures)
        if value > best:
            parent.best_mean_reward = best = value
        if not stop.on_step():
            return number
    return None


class TestCounting:
    @pytest.mark.parametrize(
        ("min_evals", "patience"), [(0, 3), (1, 3), (5, 3), (5, 15), (0, 1), (0, 0)]
    )
    @pytest.mark.parametrize("metric", [None, "sharpe_ratio"])
    def test_it_counts_as_sb3_does(self, min_evals, patience, metric) -> None:
        stop = StopTrainingOnNoModelImprovement(patience, min_evals, metric=metric)
        first = max(min_evals, 1) + patience + 1
        assert stop.first_possible_stop() == first
        if patience:
            evaluation = EvaluationConfig(min_evals=min_evals, max_no_improvement_evals=patience)
            assert first == earliest_stop(evaluation)
        assert under([1.0] * 50, stop) == first

    def test_it_equals_sb3_on_a_series_with_ups_and_downs(self) -> None:
        values = [0.1, 0.3, 0.2, 0.2, 0.4, 0.1, 0.1, 0.5, 0.0, 0.0, 0.0, 0.0, 9.0]
        ours = under(values, StopTrainingOnNoModelImprovement(2, 3))
        theirs = under(values, sb3_callbacks.StopTrainingOnNoModelImprovement(2, 3))
        assert ours == theirs == 11

    def test_the_possible_stop_moves_with_what_has_happened(self) -> None:
        stop = StopTrainingOnNoModelImprovement(3, 2)
        assert under([1.0, 1.0, 1.0, 1.0], stop) is None
        assert stop.no_improvement_evals == 2
        assert stop.first_possible_stop() == 6

    def test_less_is_better_in_mode_min(self) -> None:
        stop = StopTrainingOnNoModelImprovement(1, metric="sharpe_ratio", mode="min")
        assert under([5.0, 4.0, 3.0, 2.0, 2.0, 2.0], stop) == 6
        assert StopTrainingOnNoModelImprovement(1, metric="annual_volatility").mode == "min"

    def test_small_steps_add_up_to_min_delta(self) -> None:
        stop = StopTrainingOnNoModelImprovement(2, metric="sharpe_ratio", min_delta=0.25)
        # 1.2 is no improvement over 1.0, 1.3 is; then 1.5 is none over 1.3
        assert under([1.0, 1.2, 1.3, 1.4, 1.5, 1.5], stop) == 6

    def test_an_undefined_metric_is_no_improvement(self) -> None:
        stop = StopTrainingOnNoModelImprovement(2, metric="sharpe_ratio")
        assert under([1.0, math.nan, math.nan, math.nan, 5.0], stop) == 4


class TestTraining:
    @pytest.mark.parametrize("n_envs", [1, 4])
    @pytest.mark.parametrize("kind", [EvalCallback, TradingEvalCallback])
    def test_training_ends_at_the_stated_step(self, n_envs, kind) -> None:
        stop = StopTrainingOnNoModelImprovement(2, 1, metric="sharpe_ratio")
        stated = stop.first_possible_stop() * 40
        # Sharpe ratio 0.0 each time: number 1 is the best, then 2, 3 and 4 do not improve
        callback = kind(MarketEnv(flat=True), callback_after_eval=stop, eval_freq=40)
        model = small_model("a2c", n_envs, n_steps=2).learn(1000, callback)
        assert model.num_timesteps == stated == 160
        assert stop.stop_reason == "no improvement of sharpe_ratio in 3 evaluations"

    @pytest.mark.parametrize("n_envs", [1, 4])
    def test_sb3s_own_evaluation_works_too(self, n_envs) -> None:
        stop = StopTrainingOnNoModelImprovement(1, metric="mean_reward")
        callback = sb3_callbacks.EvalCallback(
            small_env(flat=True), callback_after_eval=stop, eval_freq=40 // n_envs, verbose=0
        )
        model = small_model("a2c", n_envs, normalize=False, n_steps=2).learn(1000, callback)
        assert model.num_timesteps == 120

    def test_inside_a_list_of_callbacks(self) -> None:
        stop = StopTrainingOnNoModelImprovement(1)
        callback = EvalCallback(
            MarketEnv(flat=True), callback_after_eval=CallbackList([stop]), eval_freq=40
        )
        assert small_model("a2c").learn(1000, callback).num_timesteps == 120


class TestBudget:
    def warnings(self, caplog, total, *, n_envs=1, algorithm="a2c", **options) -> list[str]:
        stop = StopTrainingOnNoModelImprovement(options.pop("patience", 2), 5)
        callback = EvalCallback(small_env(), callback_after_eval=stop, n_eval_episodes=1, **options)
        with caplog.at_level(logging.WARNING):
            small_model(algorithm, n_envs).learn(total, callback)
        return [r.getMessage() for r in caplog.records if "never fire" in r.getMessage()]

    def test_a_budget_that_is_too_short_is_told_with_the_step_it_takes(self, caplog) -> None:
        (message,) = self.warnings(caplog, 70, eval_freq=10)
        assert "can never fire within 70 timesteps" in message
        assert "number 8, at timestep 80" in message

    def test_a_budget_that_just_suffices_is_not(self, caplog) -> None:
        assert self.warnings(caplog, 80, eval_freq=10) == []

    def test_the_last_rollout_counts_to_its_end(self, caplog) -> None:
        # 70 timesteps take 3 rollouts of 32: 96
        assert self.warnings(caplog, 70, eval_freq=12, algorithm="ppo") == []

    def test_envs_do_not_change_the_step(self, caplog) -> None:
        (message,) = self.warnings(caplog, 60, eval_freq=20, n_envs=4)
        assert "number 8, at timestep 160" in message

    def test_there_is_at_most_one_evaluation_per_step_of_all_envs(self, caplog) -> None:
        (message,) = self.warnings(caplog, 20, eval_freq=1, n_envs=4)
        assert "number 8, at timestep 32" in message

    def test_the_last_rollout_of_an_off_policy_model_counts_too(self, caplog) -> None:
        # train_freq is 4: 78 timesteps take 20 rollouts
        assert self.warnings(caplog, 78, eval_freq=10, algorithm="td3") == []

    def test_training_on_counts_what_has_been_counted(self, caplog) -> None:
        stop = StopTrainingOnNoModelImprovement(2)
        callback = EvalCallback(
            MarketEnv(flat=True), callback_after_eval=stop, eval_freq=20, metric="total_return"
        )
        model = small_model("a2c").learn(60, callback)
        assert stop.no_improvement_evals == 2
        assert "number 4, at timestep 80" in caplog.text
        caplog.clear()
        model.learn(40, callback, reset_num_timesteps=False)
        assert "never fire" not in caplog.text
        assert model.num_timesteps == 80


class TestErrors:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"max_no_improvement_evals": -1}, "max_no_improvement_evals must be a whole number"),
            ({"min_evals": 0.5}, "min_evals must be a whole number >= 0, got 0.5"),
            ({"min_delta": -1.0}, "min_delta must be finite and >= 0, got -1.0"),
            ({"metric": "sharp_ratio"}, "got 'sharp_ratio'. Did you mean 'sharpe_ratio'"),
            ({"metric": "turnover", "mode": "low"}, "mode must be 'max', 'min' or None"),
            ({"mode": "min"}, "mode='min' needs a metric"),
        ],
    )
    def test_bad_arguments_are_refused_at_once(self, options, message) -> None:
        with pytest.raises(ConfigError, match=message):
            StopTrainingOnNoModelImprovement(**{"max_no_improvement_evals": 3, **options})

    def test_it_must_be_inside_an_evaluation(self) -> None:
        with pytest.raises(ConfigError, match="to an EvalCallback as callback_after_eval"):
            small_model("a2c").learn(10, StopTrainingOnNoModelImprovement(3))

    def test_sb3s_evaluation_has_no_trading_measures(self) -> None:
        stop = StopTrainingOnNoModelImprovement(3, metric="sharpe_ratio")
        callback = sb3_callbacks.EvalCallback(small_env(), callback_after_eval=stop)
        with pytest.raises(ConfigError, match="'sharpe_ratio' needs finrl_ray's EvalCallback"):
            small_model("a2c").learn(10, callback)
