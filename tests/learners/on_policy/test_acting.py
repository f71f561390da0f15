"""Steps that Python takes, in envs of others: what these are given, and what callbacks count."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.callbacks import BaseCallback, EveryNTimesteps

from finrl_ray.learners.on_policy.fused import FusedA2C, FusedPPO

PAIRS: list[tuple[Any, Any]] = [(PPO, FusedPPO), (A2C, FusedA2C)]
SMALL: dict[str, Any] = {"n_steps": 20, "seed": 0, "device": "cpu"}


class Told(gym.Env[Any, Any]):
    """Remembers the actions that it is given, and can be interrupted in a step."""

    observation_space = gym.spaces.Box(-1, 1, (3,), np.float32)

    def __init__(self, dtype: Any = np.float32, interrupted_at: int = -1) -> None:
        self.action_space = gym.spaces.Box(-0.1, 0.1, (2,), dtype)
        self.given: list[Any] = []
        self.interrupted_at = interrupted_at

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return np.full(3, 0.5, np.float32), {}

    def step(self, action: Any) -> Any:
        if len(self.given) == self.interrupted_at:
            self.interrupted_at = -1
            raise KeyboardInterrupt
        self.given.append(np.array(action))
        seen = np.cos(np.arange(3, dtype=np.float32) + len(self.given))
        return seen, float(action[0]), False, False, {}


class Nothing(BaseCallback):
    def _on_step(self) -> bool:
        return True


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("plain", "fused"), PAIRS)
def test_actions_are_within_the_bounds_of_their_space(plain: Any, fused: Any, dtype: Any) -> None:
    given = []
    for kind in (plain, fused):
        env = Told(dtype)
        model = kind("MlpPolicy", env, policy_kwargs={"log_std_init": 0.0}, **SMALL)
        model.learn(40)
        assert getattr(model, "learner", "fused") == "fused"
        assert all(env.action_space.contains(action) for action in env.given)
        given.append(np.array(env.given))
    expected, got = given
    assert got.dtype == expected.dtype
    at_a_bound = np.isin(expected[:20], [env.action_space.low[0], env.action_space.high[0]])
    assert at_a_bound.sum() > 0
    np.testing.assert_array_equal(got[:20][at_a_bound], expected[:20][at_a_bound])
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("plain", "fused"), PAIRS)
def test_an_interrupted_rollout_has_been_counted(plain: Any, fused: Any) -> None:
    counted = []
    for kind in (plain, fused):
        model = kind("MlpPolicy", Told(interrupted_at=33), **SMALL)
        callback = EveryNTimesteps(1000, Nothing())
        with pytest.raises(KeyboardInterrupt):
            model.learn(100, callback=callback)
        counted.append((model.num_timesteps, callback.n_calls, callback.num_timesteps))
        model.learn(100, callback=callback, reset_num_timesteps=False)
        counted[-1] += (model.num_timesteps, callback.n_calls, callback.num_timesteps)
    assert counted[0] == counted[1]


def test_arrays_that_a_callback_puts_into_the_buffer_are_read_as_they_lie() -> None:
    class Wider(BaseCallback):
        """Puts rewards into the buffer that do not lie side by side, with the same numbers."""

        def _on_step(self) -> bool:
            buffer = self.model.rollout_buffer
            wide = np.zeros((20, 2), dtype=np.float32)
            wide[:, :1] = buffer.rewards
            buffer.rewards = wide[:, :1]
            return True

    found = []
    for callback in (Nothing(), Wider()):
        model = FusedA2C("MlpPolicy", Told(), **SMALL)
        model.learn(60)
        model.learn(40, callback=callback, reset_num_timesteps=False)
        found.append(np.copy(model.rollout_buffer.advantages))
    np.testing.assert_array_equal(*found)
