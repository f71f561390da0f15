"""A small env with both kinds of episode ends, models on it, and comparisons of what they hold."""

import copy
from typing import Any

import gymnasium as gym
import numpy as np
from bit_equality import leaves
from gymnasium.wrappers import TimeLimit
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize

from finrl_ray.agents.state.training_state import capture_state
from finrl_ray.learners.base import sb3_class

N_STEPS = 60
N_OBSERVED, N_ACTIONS = 7, 3


class PointEnv(gym.Env):
    """A point that is pushed about; an episode ends when it is far off, or by the time limit."""

    metadata = {"render_modes": []}  # noqa: RUF012  # as Gymnasium declares it

    def __init__(self, dtype: Any = np.float32) -> None:
        low, high = np.array([-1.0, -2.0, 0.0]), np.array([1.0, 3.0, 0.5])
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (N_OBSERVED,), dtype)
        self.action_space = gym.spaces.Box(low.astype(np.float32), high.astype(np.float32))
        self.place = np.zeros(N_OBSERVED)

    def _seen(self) -> Any:
        return self.place.astype(self.observation_space.dtype)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.place = self.np_random.standard_normal(N_OBSERVED)
        return self._seen(), {}

    def step(self, action: Any) -> Any:
        self.place[:N_ACTIONS] += 0.3 * action
        self.place += 0.2 * self.np_random.standard_normal(N_OBSERVED)
        size = float(np.abs(self.place).max())
        return self._seen(), -size, size > 3.5, False, {"is_success": size < 2}

    def get_state(self) -> Any:
        return {"place": self.place.copy(), "rng": self.np_random.bit_generator.state}

    def set_state(self, state: Any) -> None:
        self.place = state["place"].copy()
        self.np_random.bit_generator.state = state["rng"]


class LimitedEnv(TimeLimit):
    """`PointEnv` with a time limit, whose count belongs to its state."""

    def __init__(self, **options: Any) -> None:
        super().__init__(PointEnv(**options), max_episode_steps=17)

    def get_state(self) -> Any:
        return {**self.unwrapped.get_state(), "elapsed": self._elapsed_steps}

    def set_state(self, state: Any) -> None:
        self.unwrapped.set_state(state)
        self._elapsed_steps = state["elapsed"]


def make_env(n_envs: int = 1, *, normalize: bool = False, **options: Any) -> VecEnv:
    env: VecEnv = DummyVecEnv([lambda: Monitor(LimitedEnv(**options)) for _ in range(n_envs)])
    return VecNormalize(env) if normalize else env


def make_model(
    model_class: type[OffPolicyAlgorithm],
    n_envs: int = 1,
    *,
    normalize: bool = False,
    env: dict[str, Any] | None = None,
    **changes: Any,
) -> Any:
    settings: dict[str, Any] = {
        "learning_rate": lambda progress: 1e-3 * progress,
        "batch_size": 16,
        "buffer_size": 100,
        "learning_starts": 20,
        "policy_kwargs": {"net_arch": [16, 24]},
        "seed": 3,
        "device": "cpu",
    }
    settings.update(copy.deepcopy(changes))  # SB3 writes into policy_kwargs
    return model_class("MlpPolicy", make_env(n_envs, normalize=normalize, **env or {}), **settings)


class Watch(BaseCallback):
    """Keeps what a callback sees at each step, and the last value of everything logged."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []
        self.logged: list[dict[str, Any]] = []

    def _on_step(self) -> bool:
        names = ("actions", "buffer_actions", "rewards", "dones", "new_obs", "num_collected_steps")
        self.seen.append({name: np.copy(self.locals[name]) for name in names})
        return True

    def _on_rollout_start(self) -> None:
        known = self.logger.name_to_value
        self.logged.append({name: v for name, v in known.items() if name.startswith("train")})


def trained(model: Any, n_steps: int = N_STEPS) -> dict[str, Any]:
    """Return everything about a model after some training, and about what it did."""
    watch = Watch()
    model.learn(n_steps, callback=watch)
    seen = {"algorithm": sb3_class(model).__name__, "seen": watch.seen, "logged": watch.logged}
    return {**capture_state(model), **seen}


def largest_error(first: Any, second: Any) -> float:
    """Return the largest relative difference of two states' arrays, each by its norm."""
    one, other = leaves(first), leaves(second)
    assert one.keys() == other.keys()
    worst = 0.0
    for name, value in one.items():
        expected, got = (np.asarray(v, dtype=np.float64) for v in (value, other[name]))
        scale = float(np.linalg.norm(expected)) or 1.0
        worst = max(worst, float(np.linalg.norm(got - expected)) / scale)
    return worst
