"""Small models on MarketEnv, and the comparison of their states."""

from typing import Any

from market_env import MarketEnv
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize

from finrl_ray.agents.algorithm_registry import ALGORITHMS
from finrl_ray.agents.drl_agent import DRLAgent

SMALL_NET = {"net_arch": [16]}
OFF_POLICY = {"learning_starts": 20, "batch_size": 16, "policy_kwargs": SMALL_NET}
SMALL_KWARGS: dict[str, dict[str, Any]] = {
    "a2c": {"learning_rate": "lin_1e-3"},
    "ppo": {"n_steps": 32, "batch_size": 16, "n_epochs": 2, "learning_rate": "lin_1e-3"},
    "ddpg": {**OFF_POLICY, "buffer_size": 100, "action_noise": "ornstein_uhlenbeck"},
    "td3": {**OFF_POLICY, "buffer_size": 999, "train_freq": 4, "gradient_steps": 3},
    "sac": {**OFF_POLICY, "buffer_size": 999},
    "tqc": {
        **OFF_POLICY,
        "buffer_size": 999,
        "policy_kwargs": {**SMALL_NET, "n_quantiles": 5},
    },
    "crossq": {**OFF_POLICY, "buffer_size": 999},
    "recurrent_ppo": {
        **{"n_steps": 32, "batch_size": 16, "n_epochs": 2, "learning_rate": "lin_1e-3"},
        "policy_kwargs": {**SMALL_NET, "lstm_hidden_size": 8},
    },
    "dqn": {**OFF_POLICY, "buffer_size": 999, "target_update_interval": 30},
    "trpo": {"n_steps": 32, "batch_size": 16, "n_critic_updates": 2, "policy_kwargs": SMALL_NET},
}


def small_env(n_envs: int = 1, *, normalize: bool = False, **options: Any) -> VecEnv:
    env: VecEnv = DummyVecEnv([lambda: Monitor(MarketEnv(**options)) for _ in range(n_envs)])
    return VecNormalize(env) if normalize else env


def env_of(algorithm: str, n_envs: int = 1, *, normalize: bool = True, **options: Any) -> VecEnv:
    """Return an env with the actions of an algorithm."""
    discrete = ALGORITHMS[algorithm].actions == ("discrete",)
    return small_env(n_envs, normalize=normalize, discrete=discrete, **options)


def small_model(
    algorithm: str, n_envs: int = 1, *, normalize: bool = True, **changes: Any
) -> BaseAlgorithm:
    env = env_of(algorithm, n_envs, normalize=normalize, noise=0.1)
    kwargs = {**SMALL_KWARGS[algorithm], **changes}
    return DRLAgent(env).get_model(algorithm, model_kwargs=kwargs, verbose=0, seed=7)
