"""Evaluation during training as SB3's `EvalCallback` does it, counted in timesteps."""

import errno
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from kept_logger import KeptLogger
from market_env import MarketEnv
from small_models import small_env, small_model
from stable_baselines3 import PPO
from stable_baselines3.common import callbacks as sb3_callbacks
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from finrl_ray.agents.callbacks.checkpoint import CheckpointCallback
from finrl_ray.agents.callbacks.early_stopping import StopTrainingOnNoModelImprovement
from finrl_ray.agents.callbacks.evaluation import EvalCallback, TradingEvalCallback
from finrl_ray.env.make import create_env
from finrl_ray.errors import ConfigError, DataError


class PlainEnv(gym.Env):
    """Five steps of reward 1, without an account."""

    observation_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.step_count = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.step_count += 1
        return np.zeros(1, np.float32), 1.0, self.step_count == 5, False, {}


class RandomStartEnv(MarketEnv):
    """Starts at a random day; the account of an agent that holds cash does not show it."""

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.prices = self.prices * (1 + self.np_random.random())
        return self._observation(), {}


def still(n_envs: int = 1):
    """A model that never trades."""
    model = small_model("a2c", n_envs, normalize=False)
    for parameter in model.policy.action_net.parameters():
        parameter.data.zero_()
    model.learning_rate = 0.0
    model._setup_lr_schedule()
    return model


class TestEpisodes:
    def test_it_is_sb3s_and_takes_its_arguments(self) -> None:
        callback = EvalCallback(
            eval_env=small_env(),
            best_model_save_path=None,
            log_path=None,
            eval_freq=40,
            n_eval_episodes=5,
            deterministic=True,
            render=False,
            verbose=1,
        )
        assert isinstance(callback, sb3_callbacks.EvalCallback)
        model = small_model("a2c").learn(80, callback)
        assert callback.evaluations_timesteps == [40, 80]
        assert [len(rewards) for rewards in callback.evaluations_results] == [1, 1]
        assert callback.evaluations_length == [[29], [29]]
        assert callback.best_mean_reward == max(callback.log.history("mean_reward"))
        assert model.num_timesteps == 80

    @pytest.mark.parametrize(("n_envs", "expected"), [(1, [40, 80]), (4, [40, 80]), (3, [42, 81])])
    def test_frequency_is_in_timesteps_where_sb3_counts_calls(self, n_envs, expected) -> None:
        callback = EvalCallback(small_env(), eval_freq=40, n_eval_episodes=1)
        small_model("a2c", n_envs, n_steps=1).learn(90, callback)
        assert callback.evaluation_timesteps == expected

    def test_each_window_is_evaluated_though_one_episode_is_asked_for(self) -> None:
        windows = DummyVecEnv([lambda s=s: MarketEnv(market_seed=s, days=20 + s) for s in range(3)])
        callback = EvalCallback(windows, eval_freq=40, n_eval_episodes=1)
        small_model("a2c").learn(40, callback)
        assert sorted(callback.evaluations_length[0]) == [19, 20, 21]

    def test_of_several_windows_each_is_run_once_where_it_repeats(self) -> None:
        windows = DummyVecEnv([lambda s=s: MarketEnv(market_seed=s, days=20 + s) for s in range(2)])
        callback = EvalCallback(windows, eval_freq=40, n_eval_episodes=10)
        small_model("a2c").learn(80, callback)
        assert [sorted(lengths) for lengths in callback.evaluations_length] == [[19, 20], [19, 20]]
        assert callback.n_eval_episodes == 10

    def test_random_starts_are_seen_although_the_account_does_not_change(self) -> None:
        env = DummyVecEnv([RandomStartEnv])
        callback = EvalCallback(env, eval_freq=40, n_eval_episodes=3)
        still().learn(40, callback)
        assert callback.account_histories[0].n_trades == 0
        assert [len(rewards) for rewards in callback.evaluations_results] == [3]

    def test_a_stochastic_policy_plays_every_episode(self) -> None:
        callback = EvalCallback(small_env(), eval_freq=40, n_eval_episodes=3, deterministic=False)
        small_model("a2c").learn(40, callback)
        assert len(set(callback.evaluations_results[0])) == 3

    def test_one_callback_serves_several_trainings(self) -> None:
        callback = EvalCallback(small_env(), eval_freq=40)
        small_model("a2c").learn(40, callback)
        other = small_model("a2c")  # with the same timesteps and updates at its evaluation
        other.learn(40, callback)
        warming_up = small_model("sac", learning_starts=1000)
        warming_up.learn(40, callback)
        warming_up.learn(40, callback)
        assert callback.evaluation_timesteps == [40] * 4

    def test_an_env_of_another_shape_is_refused_when_training_starts(self, market) -> None:
        callback = EvalCallback(create_env(market), eval_freq=1000)
        with pytest.raises(ConfigError, match=r"observation_space of shape \(5,\), got \(13,\)"):
            small_model("a2c").learn(10, callback)

    @pytest.mark.parametrize("number", [0, 2.5, "3"])
    def test_a_number_of_episodes_that_is_none_is_refused(self, number) -> None:
        with pytest.raises(ConfigError, match="n_eval_episodes must be a whole number >= 1"):
            EvalCallback(small_env(), n_eval_episodes=number)


class TestMetric:
    def test_an_env_without_accounts_gives_sb3s_measures(self, tmp_path) -> None:
        kept = KeptLogger()
        callback = EvalCallback(PlainEnv(), eval_freq=64, log_path=str(tmp_path), verbose=0)
        model = PPO("MlpPolicy", PlainEnv(), n_steps=32, batch_size=16, n_epochs=1)
        model.set_logger(kept)
        model.learn(64, callback)
        assert callback.last_measures == {
            "mean_reward": 5.0,
            "mean_ep_length": 5.0,
            "objective": 5.0,
        }
        evaluated = [values for step, values in kept.dumps if "eval/mean_reward" in values]
        assert evaluated[0]["eval/mean_reward"] == 5.0
        with np.load(tmp_path / "evaluations.npz") as file:
            assert file["results"].tolist() == [[5.0]]
            assert "account_value" not in file

    @pytest.mark.parametrize(
        "build",
        [
            lambda: EvalCallback(PlainEnv(), eval_freq=32, metric="sharpe_ratio"),
            lambda: TradingEvalCallback(PlainEnv(), eval_freq=32, metric="mean_reward"),
        ],
    )
    def test_an_account_is_asked_for_where_it_is_needed(self, build) -> None:
        model = PPO("MlpPolicy", PlainEnv(), n_steps=32, batch_size=16, n_epochs=1)
        with pytest.raises(DataError, match=r"must put info\['account_history'\]"):
            model.learn(32, build())

    def test_the_defaults_differ(self) -> None:
        assert EvalCallback(small_env()).metric == "mean_reward"
        assert TradingEvalCallback(small_env()).metric == "sharpe_ratio"

    @pytest.mark.parametrize("freq", [0, 10.5, True, "40"])
    def test_an_interval_that_is_no_number_of_timesteps_is_refused(self, freq) -> None:
        with pytest.raises(ConfigError, match="eval_freq must be a whole number of timesteps >= 1"):
            EvalCallback(small_env(), eval_freq=freq)


class TestSubclass:
    def test_the_subclass_of_the_users_guide_runs(self, market) -> None:
        class GuideEval(EvalCallback):
            """The shape of the subclass that users write."""

            def __init__(self, *args, **kwargs):
                super().__init__(*args, **kwargs)
                self.sharpe_history = []
                self.max_drawdown_history = []

            def _on_step(self) -> bool:
                super()._on_step()
                if self.n_calls % self.eval_freq == 0:
                    if hasattr(self.eval_env.envs[0], "asset_memory"):
                        self.max_drawdown_history.append(len(self.eval_env.envs[0].asset_memory))
                    self.sharpe_history.append(self.last_mean_reward)
                    self.logger.record("eval/sharpe_ratio", self.sharpe_history[-1])
                return True

        def env():
            return create_env(market, initial_amount=1e5, hmax=10)

        callback = GuideEval(
            eval_env=DummyVecEnv([lambda: env()]), eval_freq=40, n_eval_episodes=10
        )
        model = PPO(
            "MlpPolicy", DummyVecEnv([lambda: env()]), n_steps=40, batch_size=20, n_epochs=1
        )
        model.learn(80, callback)
        assert len(callback.sharpe_history) == 2
        assert callback.evaluation_timesteps == [40, 80]

    def test_a_childs_stop_is_passed_on(self) -> None:
        class Stop(BaseCallback):
            def _on_step(self) -> bool:
                return False

        callback = EvalCallback(small_env(), eval_freq=40, callback_after_eval=Stop())
        assert small_model("a2c", 4, n_steps=1).learn(400, callback).num_timesteps == 40

    def test_a_stop_that_a_subclass_forgets_to_return_still_stops(self) -> None:
        class GuideEval(EvalCallback):
            def _on_step(self) -> bool:
                super()._on_step()
                return True

        stop = StopTrainingOnNoModelImprovement(1)
        callback = GuideEval(MarketEnv(flat=True), callback_after_eval=stop, eval_freq=40)
        model = small_model("a2c", 4, n_steps=2)
        assert model.learn(1000, callback).num_timesteps == 120
        # the next training is another one: it runs until its first evaluation
        assert model.learn(1000, callback).num_timesteps == 40

    def test_callbacks_inside_hear_of_start_and_end(self, tmp_path) -> None:
        class Kept(BaseCallback):
            def __init__(self) -> None:
                super().__init__()
                self.heard = []

            def _on_training_start(self) -> None:
                self.heard.append(("start", self.num_timesteps))

            def _on_step(self) -> bool:
                self.heard.append(("step", "rewards" in self.locals))
                return True

            def _on_training_end(self) -> None:
                self.heard.append(("end", None))

        best, after = Kept(), Kept()
        callback = EvalCallback(small_env(), best, after, eval_freq=40)
        small_model("a2c").learn(40, callback)
        assert best.heard == after.heard == [("start", 0), ("step", True), ("end", None)]

    def test_the_best_models_can_be_kept_as_checkpoints(self, tmp_path) -> None:
        saving = CheckpointCallback(1, tmp_path, "best", keep_last=1)
        callback = EvalCallback(small_env(), callback_on_new_best=saving, eval_freq=20)
        small_model("a2c").learn(100, callback)
        rewards = callback.log.history("mean_reward")
        best = 20 * (int(np.argmax(rewards)) + 1)
        assert [path.name for path in tmp_path.glob("*.zip")] == [f"best_{best}_steps.zip"]
        assert saving.elapsed_s > 0


class TestBestModel:
    def test_folders_stay_where_they_were_when_the_process_moves(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        callback = EvalCallback(
            small_env(), eval_freq=20, best_model_save_path="./best", log_path="logs"
        )
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        small_model("a2c").learn(20, callback)
        assert (tmp_path / "best" / "best_model.zip").exists()
        assert (tmp_path / "logs" / "evaluations.npz").exists()

    def test_a_folder_that_cannot_be_made_is_told_at_the_start(self, tmp_path) -> None:
        (tmp_path / "file").write_text("")
        callback = EvalCallback(
            small_env(), eval_freq=20, best_model_save_path=str(tmp_path / "file" / "best")
        )
        with pytest.raises(NotADirectoryError, match="file/best"):
            small_model("a2c").learn(10, callback)

    def test_model_and_statistics_stay_a_pair_on_a_full_disk(self, tmp_path, monkeypatch) -> None:
        def content():
            return {path.name: path.read_bytes() for path in tmp_path.iterdir()}

        callback = EvalCallback(small_env(), eval_freq=20, best_model_save_path=str(tmp_path))
        model = small_model("a2c").learn(20, callback)
        before = content()
        assert sorted(before) == ["best_model.zip", "vecnormalize.pkl"]
        callback.best_mean_reward = -np.inf

        def full(self, path) -> None:
            Path(path).write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(VecNormalize, "save", full)
        model.learn(20, callback, reset_num_timesteps=False)
        assert callback.best_mean_reward > -np.inf
        assert content() == before

    def test_statistics_of_the_model_that_is_replaced_go_with_it(self, tmp_path) -> None:
        for normalize in (True, False):
            callback = EvalCallback(small_env(), eval_freq=20, best_model_save_path=str(tmp_path))
            small_model("a2c", normalize=normalize).learn(20, callback)
            assert (tmp_path / "vecnormalize.pkl").exists() == normalize


def test_a_full_disk_does_not_end_training(tmp_path, monkeypatch, caplog) -> None:
    callback = EvalCallback(
        Monitor(MarketEnv()), eval_freq=40, best_model_save_path=str(tmp_path / "best")
    )
    model = small_model("a2c")

    def full(path, *args, **kwargs) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(model, "save", full)
    model.learn(80, callback)
    assert callback.evaluation_timesteps == [40, 80]
    assert "the best model, of 40 timesteps, could not be written: [Errno 28]" in caplog.text
    assert list((tmp_path / "best").iterdir()) == []
