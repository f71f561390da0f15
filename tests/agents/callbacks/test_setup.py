"""The usual callbacks together: their numbers, and that they run everywhere."""

import numpy as np
import pytest
from covering import pairwise
from market_env import MarketEnv
from small_models import SMALL_KWARGS, small_env
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecNormalize

from finrl_ray.agents.algorithm_registry import ALGORITHMS
from finrl_ray.agents.callbacks.action_analysis import ActionAnalysisCallback
from finrl_ray.agents.callbacks.checkpoint import CheckpointCallback, load_checkpoint
from finrl_ray.agents.callbacks.evaluation import TradingEvalCallback
from finrl_ray.agents.callbacks.learning_rate import LearningRateSchedulerCallback
from finrl_ray.agents.callbacks.performance_monitor import PerformanceMonitorCallback
from finrl_ray.agents.callbacks.setup import setup_callbacks
from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.errors import ConfigError

USUAL = [
    CheckpointCallback,
    TradingEvalCallback,
    PerformanceMonitorCallback,
    ActionAnalysisCallback,
]


class TestNumbers:
    def test_ppo_gets_them_all(self, tmp_path, monkeypatch) -> None:
        monkeypatch.chdir(tmp_path)
        callbacks = setup_callbacks("run", small_env())
        assert [type(c) for c in callbacks] == [*USUAL, LearningRateSchedulerCallback]
        checkpoint, evaluation, performance, actions, rate = callbacks
        assert (checkpoint.save_freq, checkpoint.name_prefix) == (10_000, "ppo_model")
        assert checkpoint.save_path == str(tmp_path / "run" / "checkpoints")
        assert checkpoint.save_replay_buffer
        assert checkpoint.save_vecnormalize
        assert (evaluation.eval_freq, evaluation.n_eval_episodes) == (5_000, 10)
        assert evaluation.deterministic
        assert evaluation.metric == "sharpe_ratio"
        assert evaluation.best_model_save_path == str(tmp_path / "run" / "best_model")
        assert evaluation.log_path == str(tmp_path / "run" / "eval_logs" / "evaluations")
        stop = evaluation.callback
        assert (stop.max_no_improvement_evals, stop.min_evals) == (15, 5)
        assert (performance.check_freq, actions.log_freq) == (5_000, 5_000)
        assert (rate.initial_lr, rate.decay_rate, rate.decay_freq) == (3e-4, 0.98, 25_000)

    @pytest.mark.parametrize(
        ("algorithm", "initial_lr", "decays"),
        [("a2c", 3e-4, True), ("sac", 3e-4, False), ("ppo", None, False), ("td3", 3e-4, False)],
    )
    def test_the_rate_decays_on_policy_only(self, tmp_path, algorithm, initial_lr, decays) -> None:
        callbacks = setup_callbacks(tmp_path, small_env(), algorithm, initial_lr=initial_lr)
        assert callbacks[0].name_prefix == f"{algorithm}_model"
        last = isinstance(callbacks[-1], LearningRateSchedulerCallback)
        assert last == decays

    def test_a_short_run_is_evaluated_and_saved_at_its_end(self, tmp_path) -> None:
        callbacks = setup_callbacks(tmp_path, small_env(), total_timesteps=2_000)
        assert (callbacks[0].save_freq, callbacks[1].eval_freq) == (2_000, 2_000)
        callbacks = setup_callbacks(tmp_path, small_env(), total_timesteps=7_000)
        assert (callbacks[0].save_freq, callbacks[1].eval_freq) == (7_000, 5_000)

    def test_what_cannot_be_run_is_refused(self, tmp_path) -> None:
        with pytest.raises(ConfigError, match="Did you mean 'ppo'"):
            setup_callbacks(tmp_path, small_env(), "ppoo")
        with pytest.raises(ConfigError, match="metric must be one of"):
            setup_callbacks(tmp_path, small_env(), metric="sharp")
        with pytest.raises(ConfigError, match="total_timesteps must be None or >= 1, got 0"):
            setup_callbacks(tmp_path, small_env(), total_timesteps=0)


def vec_env(kind: str, n_envs: int, market, discrete: bool = False):
    if kind == "dummy":
        return DummyVecEnv([lambda: Monitor(MarketEnv(discrete=discrete)) for _ in range(n_envs)])
    if kind == "subproc":
        return SubprocVecEnv([MarketEnv] * n_envs)
    choices = "product" if discrete else "none"
    return StockTradingVecEnv(market, n_envs, initial_amount=1e5, hmax=10, discrete_actions=choices)


def run_all(folder, kind, algorithm, n_envs, market) -> None:
    """Train under the whole list, and check each callback's output."""
    discrete = algorithm == "dqn"
    env = VecNormalize(vec_env(kind, n_envs, market, discrete))
    eval_env = vec_env(kind, 1, market, discrete)
    try:
        model = DRLAgent(env).get_model(
            algorithm,
            model_kwargs=SMALL_KWARGS[algorithm],
            verbose=0,
            seed=1,
            tensorboard_log=str(folder / "tensorboard"),
        )
        callbacks = setup_callbacks(folder, eval_env, algorithm, total_timesteps=128, verbose=0)
        DRLAgent.train_model(model, f"{algorithm}_run", 256, callbacks)
        evaluation = callbacks[1]
        assert evaluation.evaluation_timesteps == [128, 256]
        assert all(np.isfinite(evaluation.log.history("max_drawdown")))
        assert (folder / "best_model" / "best_model.zip").exists()
        assert (folder / "best_model" / "vecnormalize.pkl").exists()
        assert (folder / "eval_logs" / "evaluations.npz").exists()
        assert any((folder / "plots").iterdir())
        assert any((folder / "tensorboard").glob("*/events*"))
        loaded = load_checkpoint(folder / "checkpoints", env)
        assert loaded.num_timesteps == 256
        assert getattr(loaded, "replay_buffer", None) is not None or ALGORITHMS[algorithm].on_policy
    finally:
        env.close()
        eval_env.close()


def test_the_whole_list_runs(tmp_path, market) -> None:
    run_all(tmp_path, "dummy", "ppo", 4, market)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "n_envs", "algorithm"), pairwise(["dummy", "trading"], [1, 4], ALGORITHMS)
)
def test_the_whole_list_runs_everywhere(tmp_path, kind, n_envs, algorithm, market) -> None:
    run_all(tmp_path, kind, algorithm, n_envs, market)


@pytest.mark.slow
def test_the_whole_list_runs_over_subprocesses(tmp_path, market) -> None:
    run_all(tmp_path, "subproc", "sac", 2, market)
