"""Evaluation during training, by trading measures."""

import dataclasses
import logging
import math

import numpy as np
import pytest
from bit_equality import assert_equal_bits
from kept_logger import KeptLogger
from market_env import MarketEnv
from small_models import small_env, small_model
from stable_baselines3 import A2C
from stable_baselines3.common.callbacks import (
    BaseCallback,
    CallbackList,
    StopTrainingOnNoModelImprovement,
)
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecNormalize

from finrl_ray.agents.callbacks.evaluation import TradingEvalCallback
from finrl_ray.agents.callbacks.measures import MODES, UNDEFINED_OBJECTIVE, Judge
from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.agents.rollout import Episode, evaluate_account
from finrl_ray.agents.state.plain_file import load_plain, save_plain
from finrl_ray.agents.state.training_state import capture_state, learn_from, restore_state
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.errors import ConfigError, DataError
from finrl_ray.metrics.registry import MEASURES, performance_summary


class Stop(BaseCallback):
    def _on_step(self) -> bool:
        return False


def evaluator(env=None, **options) -> TradingEvalCallback:
    options = {"eval_freq": 40, "n_eval_episodes": 1, **options}
    return TradingEvalCallback(env or small_env(market_seed=3), **options)


def trained(callback, n_envs: int = 1, total: int = 100, **options):
    return small_model("a2c", n_envs, **options).learn(total, callback)


class TestWhen:
    @pytest.mark.parametrize(
        ("n_envs", "expected"), [(1, [40, 80]), (3, [42, 81]), (7, [42, 84]), (50, [50, 100])]
    )
    def test_frequency_is_in_timesteps_whatever_n_envs(self, n_envs, expected) -> None:
        callback = evaluator()
        trained(callback, n_envs, normalize=False, n_steps=1)
        assert callback.evaluation_timesteps == expected

    def test_no_point_is_evaluated_twice(self) -> None:
        callback = evaluator()
        model = trained(callback, total=80)
        # the last update came after the last step
        first = callback.evaluate_now()
        assert callback.evaluate_now() == first
        assert callback.evaluation_timesteps == [40, 80, 80]
        assert model.num_timesteps == 80

    def test_a_second_training_goes_on_counting(self) -> None:
        callback = evaluator()
        model = trained(callback, total=60)
        model.learn(60, callback, reset_num_timesteps=False)
        assert callback.evaluation_timesteps == [40, 80, 120]
        model.learn(60, callback)
        assert callback.evaluation_timesteps == [40, 80, 120, 40]

    def test_it_can_be_called_at_safe_points(self) -> None:
        callback = evaluator(eval_freq=64)
        model = small_model("ppo")
        callback.init_callback(model)
        results = []

        def at_safe_point(model) -> bool:
            if callback.is_due():
                results.append(callback.evaluate_now())
            return True

        learn_from(model, 160, at_safe_point=at_safe_point)
        assert callback.evaluation_timesteps == [64, 128]
        assert results[-1]["sharpe_ratio"] == callback.sharpe_history[-1]


class TestWhat:
    def test_measures_are_those_of_the_true_account(self) -> None:
        callback = evaluator(periods_per_year=365.0, risk_free_rate=0.01)
        model = trained(callback)
        measures = callback.evaluate_now()
        history = evaluate_account(model, small_env(market_seed=3))[0]
        expected = performance_summary(
            history.account_value,
            periods_per_year=365.0,
            risk_free_rate=0.01,
            traded_amount=history.traded_amount,
            benchmark_value=history.benchmark_value,
        )
        assert {name: measures[name] for name in expected} == expected
        # the env does not say what is cash, so that how much was invested is not known
        assert "exposure" not in measures
        beside = {"appraisal_ratio", "information_ratio", "beta", "turnover"}
        assert beside < set(expected)
        assert all(np.isfinite(measures[name]) for name in beside)
        assert measures["objective"] == expected["sharpe_ratio"]
        assert measures["n_trades"] == history.n_trades
        np.testing.assert_array_equal(
            callback.account_histories[0].account_value, history.account_value
        )

    @pytest.mark.parametrize("metric", ["appraisal_ratio", "information_ratio"])
    def test_agents_can_be_judged_beside_buy_and_hold(self, metric: str) -> None:
        callback = evaluator(metric=metric)
        trained(callback)
        assert callback.best_mean_reward == max(callback.log.history(metric))
        assert callback.last_measures["objective"] == callback.last_measures[metric]

    def test_an_env_without_a_benchmark_is_said_to_have_none(self) -> None:
        judge = Judge(metric="appraisal_ratio", periods_per_year=252.0)
        env = small_env(market_seed=3)
        history = evaluate_account(trained(evaluator()), env)[0]
        alone = dataclasses.replace(history, benchmark_value=None)
        measures, reason = judge.measure([Episode(history=alone, reward=0.0, length=9)])
        assert measures["objective"] == -10.0
        assert reason.endswith("the env gives no buy & hold to compare the account with")
        still = dataclasses.replace(history, benchmark_value=np.full(len(history.dates), 7.0))
        _, reason = judge.measure([Episode(history=still, reward=0.0, length=9)])
        assert reason.endswith("the returns of buy & hold are constant")

    def test_everything_is_logged_at_its_timestep(self) -> None:
        callback, kept = evaluator(), KeptLogger()
        model = small_model("a2c")
        model.set_logger(kept)
        model.learn(80, callback, log_interval=None)
        assert [step for step, _ in kept.dumps] == [40, 80]
        for (_, values), sharpe in zip(kept.dumps, callback.sharpe_history, strict=True):
            assert values["eval/sharpe_ratio"] == sharpe
            assert {f"eval/{name}" for name in MEASURES} <= values.keys()
            assert {"eval/mean_reward", "eval/mean_ep_length", "eval/objective"} <= values.keys()

    def test_identical_episodes_are_run_once_and_said_so(self, caplog) -> None:
        callback = evaluator(n_eval_episodes=10)
        with caplog.at_level(logging.INFO):
            trained(callback)
        said = [record for record in caplog.records if "running 1 instead of 10" in record.message]
        assert len(said) == 1
        assert [len(row) for row in callback.log.rewards] == [1, 1]

    def test_different_episodes_are_all_run(self) -> None:
        callback = evaluator(small_env(noise=2.0), n_eval_episodes=3)
        trained(callback)
        assert [len(row) for row in callback.log.rewards] == [3, 3]
        assert len(callback.account_histories) == 3

    @pytest.mark.parametrize("kind", ["env", "monitor", "dummy", "normalize", "trading"])
    def test_every_kind_of_env_is_read(self, kind, market) -> None:
        callback = evaluator(
            {
                "env": lambda: MarketEnv(),
                "monitor": lambda: Monitor(MarketEnv()),
                "dummy": lambda: DummyVecEnv([MarketEnv] * 2),
                "normalize": lambda: VecNormalize(DummyVecEnv([MarketEnv])),
                "trading": lambda: StockTradingVecEnv(market, initial_amount=1e5, hmax=10),
            }[kind]()
        )
        if kind == "trading":
            env = VecNormalize(StockTradingVecEnv(market, 2, initial_amount=1e5, hmax=10))
            A2C("MlpPolicy", env, seed=1).learn(80, callback)
        else:
            trained(callback)
        assert len(callback.max_drawdown_history) == 2
        assert all(-1 <= value <= 0 for value in callback.max_drawdown_history)

    @pytest.mark.slow
    def test_envs_in_subprocesses_are_read(self) -> None:
        env = SubprocVecEnv([MarketEnv])
        try:
            callback = evaluator(env)
            trained(callback)
        finally:
            env.close()
        assert len(callback.sharpe_history) == 2

    def test_training_is_not_disturbed(self) -> None:
        model = small_model("ppo", 2)
        learn_from(model, 192)
        end = capture_state(model)
        watched = small_model("ppo", 2)
        learn_from(watched, 192, evaluator(n_eval_episodes=3, deterministic=False))
        assert_equal_bits(end, capture_state(watched))


class TestUndefined:
    def test_a_flat_market_gives_zero(self) -> None:
        callback = evaluator(MarketEnv(flat=True))
        trained(callback)
        assert callback.sharpe_history == [0.0, 0.0]
        assert callback.evaluate_now()["objective"] == 0.0

    def test_nan_is_kept_with_its_reason_and_a_finite_objective(self, caplog) -> None:
        callback = evaluator(MarketEnv(end_on=2))
        trained(callback)
        measures = callback.evaluate_now()
        assert math.isnan(measures["sharpe_ratio"])
        assert measures["objective"] == UNDEFINED_OBJECTIVE["sharpe_ratio"] == -10.0
        assert callback.log.reasons[0].startswith("sharpe_ratio is undefined: 2 returns")
        assert callback.best_mean_reward == -np.inf
        assert "objective -10 stands in" in caplog.text

    def test_less_volatility_is_better(self) -> None:
        callback = evaluator(metric="annual_volatility")
        trained(callback)
        measures = callback.evaluate_now()
        assert callback.mode == "min"
        assert measures["objective"] == -measures["annual_volatility"]

    def test_every_metric_has_a_mode_and_a_stand_in(self) -> None:
        assert MODES.keys() == UNDEFINED_OBJECTIVE.keys() == {*MEASURES, "mean_reward"}


class TestBest:
    def test_the_best_model_is_kept_by_the_metric(self, tmp_path) -> None:
        folder = tmp_path / "best"
        callback = evaluator(eval_freq=10, best_model_save_path=str(folder), metric="total_return")
        trained(callback, total=200)
        returns = callback.log.history("total_return")
        assert callback.best_mean_reward == max(returns)
        assert sorted(p.name for p in folder.iterdir()) == ["best_model.zip", "vecnormalize.pkl"]
        values = DRLAgent.DRL_prediction_load_from_file(
            "a2c", MarketEnv(market_seed=3), folder / "best_model"
        )
        assert values[-1] / values[0] - 1 == pytest.approx(max(returns), abs=1e-12)

    def test_a_child_stops_training(self) -> None:
        for place in ("callback_after_eval", "callback_on_new_best"):
            model = trained(evaluator(**{place: Stop()}))
            assert model.num_timesteps == 40
            model = trained(CallbackList([evaluator(**{place: Stop()})]))
            assert model.num_timesteps == 40

    def test_early_stopping_follows_the_metric(self) -> None:
        stop = StopTrainingOnNoModelImprovement(max_no_improvement_evals=2, min_evals=1)
        callback = evaluator(MarketEnv(flat=True), callback_after_eval=stop)
        # Sharpe ratio 0.0 each time: the first is the best, then 1, 2, 3 without improvement
        assert trained(callback, total=1000).num_timesteps == 160


class TestFiles:
    def test_evaluations_are_written(self, tmp_path) -> None:
        callback = evaluator(log_path=str(tmp_path))
        trained(callback)
        assert [p.name for p in tmp_path.iterdir()] == ["evaluations.npz"]
        with np.load(tmp_path / "evaluations.npz") as file:
            assert file["timesteps"].tolist() == [40, 80]
            assert file["results"].shape == file["ep_lengths"].shape == (2, 1)
            assert file["account_value"].shape == (2, 1, 30)
            assert file["sharpe_ratio"].tolist() == callback.sharpe_history
            assert file["reasons"].tolist() == ["", ""]

    def test_episodes_of_different_lengths_are_filled_up(self, tmp_path) -> None:
        env = DummyVecEnv([lambda: MarketEnv(end_on=5), MarketEnv])
        callback = evaluator(env, n_eval_episodes=2)
        trained(callback)
        callback.save_evaluations(tmp_path / "other.npz")
        with np.load(tmp_path / "other.npz") as file:
            assert file["account_value"].shape == (2, 2, 30)
            assert np.isnan(file["account_value"][0]).sum() == 24
            assert sorted(file["ep_lengths"][0]) == [5, 29]


class TestResume:
    def test_a_resumed_callback_goes_on_as_if_never_stopped(self, tmp_path) -> None:
        def build():
            stop = StopTrainingOnNoModelImprovement(max_no_improvement_evals=3, min_evals=1)
            return small_model("ppo"), evaluator(eval_freq=40, callback_after_eval=stop)

        model, callback = build()
        learn_from(model, 192, callback, lambda m: m.num_timesteps < 96)
        state = {"model": capture_state(model), "callback": callback.get_state()}
        save_plain(state, tmp_path / "half.pt")
        learn_from(model, 192, callback, resumed=True)
        state = load_plain(tmp_path / "half.pt")
        other, resumed = build()
        resumed.set_state(state["callback"])
        restore_state(other, state["model"])
        learn_from(other, 192, resumed, resumed=True)
        assert resumed.evaluation_timesteps == [40, 80, 120, 160]
        assert_equal_bits(callback.get_state(), resumed.get_state())

    def test_an_evaluation_that_was_due_at_the_checkpoint_is_not_lost(self) -> None:
        callback = evaluator(eval_freq=64)
        model = small_model("ppo")
        callback.init_callback(model)
        learn_from(model, 160, at_safe_point=lambda m: m.num_timesteps < 64)
        model_state, state = capture_state(model), callback.get_state()
        other, resumed = small_model("ppo"), evaluator(eval_freq=64)
        resumed.set_state(state)
        restore_state(other, model_state)
        due = []
        learn_from(other, 96, resumed, lambda m: due.append(resumed.is_due()) is None)
        assert due[0]

    def test_a_state_is_not_shared(self) -> None:
        callback = evaluator()
        model = trained(callback)
        state = callback.get_state()
        model.learn(60, callback, reset_num_timesteps=False)
        assert state["log"]["timesteps"] == [40, 80]


class TestYear:
    """The market of the fixture has a bar on each day of the week: 365 a year."""

    def _trained(self, market, callback):
        env = StockTradingEnv(market, fractional_shares=True)
        model = DRLAgent(env).get_model("a2c", model_kwargs={"n_steps": 10}, verbose=0, seed=1)
        return model.learn(40, callback)

    @pytest.mark.parametrize("kind", ["env", "vec env", "subprocess"])
    def test_it_is_read_from_the_dates(self, market, kind) -> None:
        def account() -> StockTradingEnv:
            return StockTradingEnv(market, fractional_shares=True)

        env = {
            "env": account,
            "vec env": lambda: StockTradingVecEnv(market, 1, fractional_shares=True),
            "subprocess": lambda: SubprocVecEnv([lambda: Monitor(account())]),
        }[kind]()
        for periods, year in ((None, 365), (252, 252)):
            callback = evaluator(env, deterministic=False, periods_per_year=periods)
            self._trained(market, callback)
            value = callback.account_histories[0].account_value
            returns = value[1:] / value[:-1] - 1
            expected = returns.mean() / returns.std(ddof=1) * math.sqrt(year)
            assert callback.last_measures["sharpe_ratio"] == pytest.approx(expected)
        env.close()

    def test_dates_without_a_pattern_ask_for_it_before_training(self, market, caplog) -> None:
        gaps = np.cumsum(1 + np.arange(60) ** 2 % 40) * np.timedelta64(1, "D")
        uneven = dataclasses.replace(market, dates=market.dates[0] + gaps)
        callback = evaluator(StockTradingEnv(uneven))
        with pytest.raises(DataError, match="set periods_per_year"):
            self._trained(market, callback)
        assert callback.evaluation_timesteps == []
        # one that is judged by rewards goes on, and says what it has assumed
        self._trained(market, evaluator(StockTradingEnv(uneven), metric="mean_reward"))
        assert "annual measures are for 252 periods a year" in caplog.text


class TestErrors:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"metric": "sharp_ratio"}, "metric must be one of sharpe_ratio, .* got 'sharp_ratio'"),
            ({"eval_freq": 0}, "eval_freq must be a whole number of timesteps >= 1, got 0"),
            ({"n_eval_episodes": 0}, "n_eval_episodes must be a whole number >= 1, got 0"),
            ({"periods_per_year": 0}, "periods_per_year must be > 0, got 0"),
            ({"risk_free_rate": float("nan")}, "risk_free_rate must be finite, got nan"),
        ],
    )
    def test_bad_arguments_are_refused_at_once(self, options, message) -> None:
        with pytest.raises(ConfigError, match=message):
            evaluator(**options)

    def test_the_training_env_is_refused_at_the_start(self) -> None:
        env = MarketEnv()
        model = DRLAgent(env).get_model("a2c", verbose=0)
        with pytest.raises(ConfigError, match="must not be the training env"):
            model.learn(10, evaluator(env))

    def test_an_env_without_history_is_told(self) -> None:
        class ForgetfulEnv(MarketEnv):
            def step(self, action):
                *rest, _ = super().step(action)
                return *rest, {}

        with pytest.raises(DataError, match="account_history"):
            trained(evaluator(ForgetfulEnv()))
