"""What the policy orders in training, and what comes of it."""

import logging

import gymnasium as gym
import numpy as np
import pytest
from kept_logger import KeptLogger
from market_env import MarketEnv
from small_models import SMALL_KWARGS, small_env, small_model
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv, VecNormalize

from finrl_ray.agents.callbacks.action_analysis import ActionAnalysisCallback
from finrl_ray.agents.callbacks.callback_state import (
    capture_callback_state,
    restore_callback_state,
)
from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.agents.state.plain_file import load_plain, save_plain
from finrl_ray.agents.state.training_state import capture_state, learn_from, restore_state
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.errors import ConfigError

pytestmark = pytest.mark.slow  # they train, or start a server

EPISODE = 59  # steps of the market fixture's 60 days
COSTS = {"buy_cost_pct": 0.01, "sell_cost_pct": 0.01}


class SentActions(BaseCallback):
    """What the env itself got, as it says."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[np.ndarray] = []

    def _on_step(self) -> bool:
        self.seen.append(np.array(self.training_env.get_attr("received")))
        return True


class EchoEnv(MarketEnv):
    def step(self, action):
        self.received = np.array(action, copy=True)
        return super().step(action)


class Histories(BaseCallback):
    def __init__(self) -> None:
        super().__init__()
        self.ended: list = []

    def _on_step(self) -> bool:
        infos = self.locals["infos"]
        self.ended += [i["account_history"] for i in infos if "account_history" in i]
        return True


def stock_env(kind: str, market, n_envs: int = 2, **options) -> VecEnv:
    options = {**COSTS, **options}
    if kind == "vec":
        return StockTradingVecEnv(market, n_envs, **options)
    if kind == "dummy":
        return DummyVecEnv([lambda: StockTradingEnv(market, **options)] * n_envs)
    if kind == "monitor":
        return DummyVecEnv([lambda: Monitor(StockTradingEnv(market, **options))] * n_envs)
    if kind == "normalize":
        return VecNormalize(StockTradingVecEnv(market, n_envs, **options))
    return SubprocVecEnv([lambda: Monitor(StockTradingEnv(market, **options))] * n_envs)


def analysis(**options) -> ActionAnalysisCallback:
    return ActionAnalysisCallback(**{"log_freq": 50, "verbose": 0, **options})


class TestActions:
    @pytest.mark.parametrize("algorithm", ["a2c", "ppo", "ddpg", "td3", "sac"])
    def test_they_are_those_that_the_env_got(self, algorithm) -> None:
        env = DummyVecEnv([lambda: Monitor(EchoEnv()), lambda: Monitor(EchoEnv(market_seed=1))])
        model = DRLAgent(env).get_model(
            algorithm, model_kwargs=SMALL_KWARGS[algorithm], verbose=0, seed=7
        )
        callback, sent = analysis(), SentActions()
        model.learn(100, [callback, sent])
        history = callback.actions_history
        assert history.shape == (len(sent.seen), 2, 2)
        np.testing.assert_array_equal(history, np.array(sent.seen))
        assert np.abs(history).max() <= 1.0
        np.testing.assert_allclose(callback.latest["asset_mean"].shape, (2,))

    def test_unbounded_samples_are_clipped(self) -> None:
        callback = analysis()
        model = PPO(
            "MlpPolicy", small_env(), n_steps=64, policy_kwargs={"log_std_init": 1.5}, seed=0
        )
        model.learn(64, callback)
        assert np.abs(callback.actions_history).max() == 1.0
        assert callback.latest["mean_magnitude"] <= 1.0
        assert callback.latest["saturation_percentage"] > 50

    def test_envs_are_not_mixed_with_assets_and_the_past_is_bounded(self, market) -> None:
        callback = analysis(window=20)
        A2C("MlpPolicy", StockTradingVecEnv(market, 4), seed=0).learn(400, callback)
        assert callback.actions_history.shape == (20, 4, 3)
        assert callback.latest["asset_mean"].shape == (3,)

    def test_a_discrete_space(self) -> None:
        callback = analysis()
        DQN("MlpPolicy", "CartPole-v1", learning_starts=500).learn(60, callback)
        assert callback.actions_history.shape == (60, 1, 1)
        assert "saturation_percentage" not in callback.latest
        assert callback.latest["zero_source"] == "actions"
        assert "turnover" not in callback.latest


class TestExecuted:
    @pytest.mark.parametrize("kind", ["vec", "dummy", "monitor", "normalize"])
    @pytest.mark.parametrize("record_trades", [True, False])
    def test_zero_means_zero_executed_shares(self, kind, record_trades, market) -> None:
        oracle = StockTradingVecEnv(market, 2, **COSTS)
        env = stock_env(kind, market, record_trades=record_trades)
        callback = analysis(log_freq=2 * EPISODE)
        A2C("MlpPolicy", env, seed=0, n_steps=1).learn(2 * EPISODE, callback)
        # the same actions in an env that records what becomes of them
        oracle.reset()
        for actions in callback.actions_history:
            _, _, dones, infos = oracle.step(actions)
        assert dones.all()
        trades = np.stack([info["account_history"].trades for info in infos])
        executed = callback.executed_history
        np.testing.assert_array_equal(np.stack(executed), trades)
        latest = callback.latest
        assert latest["zero_source"] == "executed"
        assert latest["zero_percentage"] == pytest.approx(100 * np.mean(trades == 0))
        assert latest["zero_percentage"] > 100 * np.mean(callback.actions_history == 0)
        assert latest["tickers"] == market.tickers

    @pytest.mark.slow
    def test_envs_in_subprocesses(self, market) -> None:
        env = stock_env("subproc", market, n_envs=1)
        callback, expected = analysis(log_freq=75), analysis(log_freq=75)
        try:
            A2C("MlpPolicy", env, seed=0).learn(150, callback)
        finally:
            env.close()
        A2C("MlpPolicy", stock_env("vec", market, n_envs=1), seed=0).learn(150, expected)
        assert callback.latest["zero_source"] == "executed"
        for name in ("turnover", "cost", "zero_percentage"):
            assert callback.latest[name] == pytest.approx(expected.latest[name]), name

    def test_cost_and_turnover_are_those_of_the_accounts(self, market) -> None:
        callback, histories = analysis(log_freq=4 * EPISODE), Histories()
        env = stock_env("vec", market, record_trades=False)
        A2C("MlpPolicy", env, seed=0).learn(4 * EPISODE, [callback, histories])
        cost = np.concatenate([h.cost for h in histories.ended])
        traded = np.concatenate([h.traded_amount / h.account_value[:-1] for h in histories.ended])
        assert len(cost) == 4 * EPISODE
        assert callback.latest["cost"] == pytest.approx(cost.mean())
        assert callback.latest["turnover"] == pytest.approx(traded.mean())
        assert callback.latest["cost"] > 0

    def test_steps_of_an_episode_under_way_count_once(self, market) -> None:
        callback = analysis(log_freq=10, window=1000)
        env = stock_env("vec", market, n_envs=1, record_trades=False)
        model = A2C("MlpPolicy", env, seed=0)
        model.learn(100, callback)
        model.learn(20, callback, reset_num_timesteps=False)
        model.learn(30, callback)
        assert len(callback._watch._ledger[0]) == 150
        assert len(callback.executed_history[0]) == 150

    def test_a_callback_that_joins_later_counts_from_there(self, market) -> None:
        model = A2C("MlpPolicy", stock_env("vec", market, n_envs=1), seed=0)
        model.learn(30)
        callback = analysis(log_freq=10)
        model.learn(20, callback, reset_num_timesteps=False)
        assert len(callback._watch._ledger[0]) == 20

    def test_finrls_last_step_trades_nothing(self, market) -> None:
        callback = analysis(log_freq=60)
        env = stock_env("vec", market, n_envs=1, parity=True, record_trades=False)
        A2C("MlpPolicy", env, seed=0, n_steps=1).learn(60, callback)
        executed = callback.executed_history[0]
        assert len(executed) == 60
        assert executed[-2].any()
        assert not executed[-1].any()

    def test_histories_alone_are_enough(self) -> None:
        callback = analysis(log_freq=58)
        A2C("MlpPolicy", DummyVecEnv([MarketEnv, MarketEnv]), seed=0).learn(58, callback)
        assert callback.latest["zero_source"] == "executed"
        assert callback.latest["tickers"] == ("AAA", "BBB")


class TestLog:
    def test_keys_and_timesteps(self, market) -> None:
        model = A2C("MlpPolicy", StockTradingVecEnv(market, 3), seed=0)
        kept = KeptLogger()
        model.set_logger(kept)
        callback = analysis(log_freq=100)
        model.learn(300, callback)
        found = {step: v for step, v in kept.dumps if "actions/mean_magnitude" in v}
        assert sorted(found) == [102, 201, 300]
        last = found[300]
        for name in ("zero_percentage", "saturation_percentage", "turnover", "cost"):
            assert last[f"actions/{name}"] == callback.latest[name]
        for index, ticker in enumerate(market.tickers):
            mean = callback.latest["asset_mean"][index]
            assert last[f"actions/asset_{index}_mean"] == last[f"actions/{ticker}/mean"] == mean
            assert last[f"actions/asset_{index}_std"] == last[f"actions/{ticker}/std"]

    def test_a_message_at_verbose_1(self, caplog) -> None:
        with caplog.at_level(logging.INFO):
            small_model("a2c").learn(60, ActionAnalysisCallback(log_freq=50))
        assert "action analysis at 50 timesteps" in caplog.text

    def test_the_policys_table_on_standard_output_takes_the_keys(self, market) -> None:
        model = A2C("MlpPolicy", StockTradingVecEnv(market, 2), verbose=1)
        model.learn(60, analysis())


class TestState:
    @pytest.mark.parametrize("kind", ["vec", "dummy"])
    def test_a_resumed_run_logs_the_same(self, kind, market, tmp_path) -> None:
        def built():
            env = stock_env(kind, market, record_trades=kind == "dummy")
            return PPO("MlpPolicy", env, n_steps=16, batch_size=16, n_epochs=1, seed=3)

        straight, first, resumed = (analysis(log_freq=90, window=70) for _ in range(3))
        learn_from(built(), 288, straight)

        def save_at_160(model) -> bool:
            if model.num_timesteps < 160:
                return True
            state = {"model": capture_state(model), "callback": capture_callback_state(first)}
            save_plain(state, tmp_path / "state.pt")
            return False

        learn_from(built(), 288, first, save_at_160)
        state, model = load_plain(tmp_path / "state.pt"), built()
        restore_state(model, state["model"])
        restore_callback_state(resumed, state["callback"])
        assert resumed.latest["turnover"] == first.latest["turnover"]
        learn_from(model, 288, resumed, resumed=True)
        assert resumed.latest.keys() == straight.latest.keys()
        for name, value in straight.latest.items():
            np.testing.assert_array_equal(resumed.latest[name], value, err_msg=name)
        np.testing.assert_array_equal(resumed.actions_history, straight.actions_history)


@pytest.mark.parametrize("options", [{"log_freq": 0}, {"window": 0}, {"window": 1.5}])
def test_bad_arguments(options) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        ActionAnalysisCallback(**options)


def test_another_range_of_actions() -> None:
    callback = analysis()
    env = gym.make("Pendulum-v1")  # torques within -2..2
    A2C("MlpPolicy", env, seed=0, policy_kwargs={"log_std_init": 2.0}).learn(50, callback)
    share = np.mean(np.abs(callback.actions_history) >= 2 * 0.99)
    assert callback.latest["saturation_percentage"] == pytest.approx(100 * share)
    assert share > 0.5


@pytest.mark.parametrize("kind", ["per_ticker", "product"])
def test_of_choices_what_they_stand_for(kind, market) -> None:
    callback = analysis(log_freq=40)
    env = StockTradingVecEnv(market, 2, discrete_actions=kind)
    A2C("MlpPolicy", env, seed=0).learn(40, callback)
    assert callback.actions_history.shape == (20, 2, market.n_assets)
    assert set(np.unique(callback.actions_history)) == {-1.0, 0.0, 1.0}
    assert "saturation_percentage" not in callback.latest
    assert callback.latest["zero_source"] == "executed"
