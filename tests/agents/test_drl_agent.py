"""FinRL's names for building, training and running models."""

import importlib.util
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from market_env import MarketEnv
from small_models import SMALL_KWARGS, small_env, small_model
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.callbacks import BaseCallback, CallbackList, EveryNTimesteps
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from torch import nn

from finrl_ray.agents.callbacks.tensorboard import TensorboardCallback
from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.errors import ConfigError, DataError

ENV_OPTIONS = {"hmax": 10, "initial_amount": 1e5, "reward_scaling": 1e-4}


def quick_model(env, **options):
    return DRLAgent(env).get_model("a2c", verbose=0, seed=1, **options)


class Counter(BaseCallback):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def _on_step(self) -> bool:
        self.count += 1
        return True


class TestGetModel:
    def test_defaults_are_finrls(self) -> None:
        model = DRLAgent(MarketEnv()).get_model("ppo", verbose=0)
        assert isinstance(model, PPO)
        assert (model.n_steps, model.ent_coef, model.batch_size) == (2048, 0.01, 64)
        assert model.learning_rate == 2.5e-4

    def test_model_kwargs_win_over_defaults_and_arguments(self) -> None:
        kwargs = {
            "n_steps": 7,
            "verbose": 0,
            "seed": 3,
            "policy_kwargs": {"activation_fn": "relu"},
        }
        model = DRLAgent(MarketEnv()).get_model(
            "a2c", model_kwargs=kwargs, policy_kwargs={"net_arch": [4]}, verbose=2, seed=1
        )
        assert isinstance(model, A2C)
        assert (model.n_steps, model.ent_coef, model.verbose, model.seed) == (7, 0.01, 0, 3)
        assert model.policy_kwargs["net_arch"] == [4]
        assert model.policy_kwargs["activation_fn"] is nn.ReLU

    def test_the_callers_dict_serves_twice(self) -> None:
        kwargs = {"action_noise": "normal", "buffer_size": 10, "policy_kwargs": {"net_arch": [4]}}
        agent = DRLAgent(MarketEnv())
        first, second = (
            agent.get_model("td3", model_kwargs=kwargs, verbose=0, policy_kwargs={"n_critics": 1})
            for _ in range(2)
        )
        assert kwargs["action_noise"] == "normal"
        assert kwargs["policy_kwargs"] == {"net_arch": [4]}
        assert isinstance(second.action_noise, NormalActionNoise)
        assert first.action_noise is not second.action_noise

    @pytest.mark.slow
    @pytest.mark.parametrize("name", SMALL_KWARGS)
    def test_the_same_seed_gives_the_same_result(self, name) -> None:
        weights = []
        for _ in range(2):
            model = small_model(name).learn(64)
            weights.append([p.detach().numpy().copy() for p in model.policy.parameters()])
        for one, other in zip(*weights, strict=True):
            np.testing.assert_array_equal(one, other)

    def test_nothing_is_printed(self, capsys) -> None:
        DRLAgent(DummyVecEnv([MarketEnv])).get_model("a2c", verbose=0)
        assert capsys.readouterr().out == ""

    def test_an_unknown_name_is_refused(self) -> None:
        with pytest.raises(ConfigError, match=r"must be one of .* got 'sarsa'"):
            DRLAgent(MarketEnv()).get_model("sarsa")

    def test_missing_tensorboard_is_told(self, monkeypatch) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(ConfigError, match=r"pip install 'finrl-ray\[tensorboard\]'"):
            DRLAgent(MarketEnv()).get_model("a2c", tensorboard_log="logs")


class TestTrainModel:
    @pytest.mark.parametrize("form", ["one", "list", "tuple", "CallbackList"])
    def test_callbacks_in_every_form(self, form) -> None:
        counter = Counter()
        callbacks = {
            "one": counter,
            "list": [counter],
            "tuple": (counter,),
            "CallbackList": CallbackList([counter]),
        }[form]
        model = DRLAgent.train_model(quick_model(MarketEnv()), "a2c", 10, callbacks)
        assert model.num_timesteps == 10
        assert counter.count == 10

    def test_no_callbacks_and_counting_on(self) -> None:
        model = quick_model(MarketEnv())
        DRLAgent.train_model(model, tb_log_name="a2c", total_timesteps=10)
        DRLAgent.train_model(model, "a2c", total_timesteps=10, reset_num_timesteps=False)
        assert model.num_timesteps == 20

    @pytest.mark.parametrize("given", [None, [], [Counter()], CallbackList([Counter()])])
    @pytest.mark.parametrize("folder", [None, "tensorboard"])
    def test_rewards_go_to_tensorboard_where_there_is_one(self, tmp_path, given, folder) -> None:
        log = None if folder is None else str(tmp_path / folder)
        model = DRLAgent(MarketEnv()).get_model("sac", verbose=0, tensorboard_log=log)
        DRLAgent.train_model(model, "sac", 10, given)
        assert ("train/reward_mean" in model.logger.name_to_value) == (folder is not None)

    def test_the_users_own_tensorboard_callback_is_the_only_one(self, tmp_path) -> None:
        own = TensorboardCallback()
        model = DRLAgent(MarketEnv()).get_model("a2c", verbose=0, tensorboard_log=str(tmp_path))
        nested = EveryNTimesteps(100, CallbackList([own]))  # it never acts
        DRLAgent.train_model(model, "a2c", 10, [nested])
        assert "train/reward" not in model.logger.name_to_value

    def test_a_function_is_refused_by_name(self) -> None:
        with pytest.raises(TypeError, match=r"callbacks must be SB3 callbacks.* got a function"):
            DRLAgent.train_model(small_model("a2c"), "run", 10, callbacks=lambda *_: True)

    def test_something_else_is_refused(self) -> None:
        with pytest.raises(
            TypeError, match="must be SB3 callbacks, one or a list of them, got a s"
        ):
            DRLAgent.train_model(quick_model(MarketEnv()), "a2c", 10, ["eval"])


class TestPrediction:
    @pytest.mark.parametrize("parity", [False, True])
    def test_frames_are_finrls(self, market, parity) -> None:
        env = StockTradingEnv(market, **ENV_OPTIONS, parity=parity)
        model = DRLAgent.train_model(quick_model(env), "a2c", 100)
        account, actions = DRLAgent.DRL_prediction(model=model, environment=env)
        assert list(account.columns) == ["date", "account_value"]
        assert len(account) == 60
        assert account["account_value"].iloc[0] == 1e5
        assert actions.shape == (59, 3)
        assert list(actions.columns) == ["AAA", "BBB", "CCC"]
        assert actions.index.name == "date"
        assert set(actions.dtypes) == {np.dtype(np.int64)}

    def test_frames_are_what_the_env_itself_remembers(self, market) -> None:
        env = StockTradingEnv(market, **ENV_OPTIONS)
        model = quick_model(env)
        account, actions = DRLAgent.DRL_prediction(model, env)
        alone, done = StockTradingEnv(market, **ENV_OPTIONS), False
        observation, _ = alone.reset()
        while not done:
            action, _ = model.predict(observation, deterministic=True)
            observation, _, terminated, truncated, _ = alone.step(action)
            done = terminated or truncated
        pd.testing.assert_frame_equal(account, alone.save_asset_memory())
        pd.testing.assert_frame_equal(actions, alone.save_action_memory())

    def test_a_single_ticker_has_finrls_columns(self, market) -> None:
        frame = StockTradingEnv(market).df
        env = StockTradingEnv(frame[frame["tic"] == "AAA"], **ENV_OPTIONS, tech_indicator_list=[])
        _, actions = DRLAgent.DRL_prediction(quick_model(env), env)
        assert list(actions.columns) == ["date", "actions"]

    def test_a_vec_env_gives_its_first_account(self, market) -> None:
        single = StockTradingEnv(market, **ENV_OPTIONS)
        model = quick_model(single)
        several = StockTradingVecEnv(market, 3, **ENV_OPTIONS)
        for one, other in zip(
            DRLAgent.DRL_prediction(model, several),
            DRLAgent.DRL_prediction(model, single),
            strict=True,
        ):
            pd.testing.assert_frame_equal(one, other)

    def test_an_episode_that_ends_early_gives_what_there_is(self) -> None:
        model = quick_model(MarketEnv())
        account, actions = DRLAgent.DRL_prediction(model, MarketEnv(end_on=4))
        assert (len(account), len(actions)) == (5, 4)

    def test_training_can_go_on_after_a_prediction_in_the_same_env(self) -> None:
        env = MarketEnv()
        model = quick_model(env)
        DRLAgent.train_model(model, "a2c", 12)
        DRLAgent.DRL_prediction(model, env)
        DRLAgent.train_model(model, "a2c", 40, reset_num_timesteps=False)

    def test_an_env_without_trades_is_told(self, market) -> None:
        env = StockTradingVecEnv(market, record_trades=False, **ENV_OPTIONS)
        with pytest.raises(DataError, match="holds no trades per ticker"):
            DRLAgent.DRL_prediction(quick_model(StockTradingEnv(market)), env)


class TestPredictionFromFile:
    def test_values_are_those_of_the_prediction(self, tmp_path) -> None:
        model = DRLAgent.train_model(quick_model(MarketEnv()), "a2c", 50)
        model.save(tmp_path / "agent_a2c.zip")
        account, _ = DRLAgent.DRL_prediction(model, MarketEnv())
        values = DRLAgent.DRL_prediction_load_from_file(
            "a2c", MarketEnv(), str(tmp_path / "agent_a2c")
        )
        assert values == account["account_value"].tolist()

    def test_statistics_beside_the_model_are_applied(self, tmp_path) -> None:
        model = small_model("a2c").learn(100)
        model.save(tmp_path / "model")
        model.env.save(str(tmp_path / "vecnormalize.pkl"))
        account, _ = DRLAgent.DRL_prediction(model, MarketEnv())
        for env in (MarketEnv(), small_env()):
            values = DRLAgent.DRL_prediction_load_from_file("a2c", env, tmp_path / "model")
            assert values == account["account_value"].tolist()
        plain = VecNormalize.load(str(tmp_path / "vecnormalize.pkl"), small_env())
        wrapped = DRLAgent.DRL_prediction_load_from_file("a2c", plain, tmp_path / "model")
        assert wrapped == account["account_value"].tolist()

    def test_a_missing_or_damaged_file_is_told(self, tmp_path) -> None:
        with pytest.raises(ConfigError, match="cannot be loaded as an a2c model"):
            DRLAgent.DRL_prediction_load_from_file("a2c", MarketEnv(), tmp_path / "nothing.zip")
        (tmp_path / "bad.zip").write_text("not a zip")
        with pytest.raises(ConfigError, match="cannot be loaded as an a2c model"):
            DRLAgent.DRL_prediction_load_from_file("a2c", MarketEnv(), tmp_path / "bad.zip")

    def test_a_model_of_another_algorithm_is_told(self, tmp_path) -> None:
        quick_model(MarketEnv()).save(tmp_path / "model")
        with pytest.raises(ConfigError, match="cannot be loaded as a sac model"):
            DRLAgent.DRL_prediction_load_from_file("sac", MarketEnv(), tmp_path / "model")


@pytest.mark.slow
def test_the_import_does_not_load_ray_or_plots() -> None:
    code = (
        "import sys, finrl_ray.agents.drl_agent; "
        "print([m for m in ('ray', 'plotly', 'finrl') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_monitored_envs_are_not_wrapped_again() -> None:
    model = quick_model(Monitor(MarketEnv()))
    assert isinstance(model.env.envs[0], Monitor)
    assert isinstance(model.env.envs[0].env, MarketEnv)


def test_training_goes_on_from_a_reset_env_after_a_callback_has_stopped_it() -> None:
    class Stop(BaseCallback):
        def _on_step(self) -> bool:
            return self.num_timesteps < 7

    env = DummyVecEnv([MarketEnv])
    model = quick_model(env, model_kwargs={"n_steps": 5})
    first = env.reset()
    DRLAgent.train_model(model, "a2c", 20, callbacks=Stop())
    assert model.num_timesteps == 7
    DRLAgent.train_model(model, "a2c", 5, reset_num_timesteps=False)
    np.testing.assert_array_equal(model.rollout_buffer.observations[0], first[0])
