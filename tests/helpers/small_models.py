"""Small models on MarketEnv, and the comparison of their states."""

from typing import Any

from market_env import MarketEnv
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize

from finrl_ray.agents.drl_agent import DRLAgent

SMALL_NET = {"net_arch": [16]}
OFF_POLICY = {"learning_starts": 20, "batch_size": 16, "policy_kwargs": SMALL_NET}
SMALL_KWARGS: dict[str, dict[str, Any]] = {
    "a2c": {"learning_rate": "lin_1e-3"},
    "ppo": {"n_steps": 32, "batch_size": 16, "n_epochs": 2, "learning_rate": "lin_1e-3"},
    "ddpg": {**OFF_POLICY, "buffer_size": 100, "action_noise": "ornstein_uhlenbeck"},
    "td3": {**OFF_POLICY, "buffer_size": 999, "train_freq": 4, "gradient_steps": 3},
    "sac": {**OFF_POLICY, "buffer_size": 999},
}


def small_env(n_envs: int = 1, *, normalize: bool = False, **options: Any) -> VecEnv:
    env: VecEnv = DummyVecEnv([lambda: Monitor(MarketEnv(**options)) for _ in range(n_envs)])
    return VecNormalize(env) if normalize else env


def small_model(
    algorithm: str, n_envs: int = 1, *, normalize: bool = True, **changes: Any
) -> BaseAlgorithm:
    env = small_env(n_envs, normalize=normalize, noise=0.1)
    kwargs = {**SMALL_KWARGS[algorithm], **changes}
    return DRLAgent(env).get_model(algorithm, model_kwargs=kwargs, verbose=0, seed=7)
