"""LeanVecNormalize gives SB3's numbers, bit for bit, and writes SB3's files."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bit_equality import assert_equal_bits
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from finrl_ray.learners.vec_normalize import LeanVecNormalize


class Numbers(VecEnv):
    """Observations and rewards of very different sizes, with ends of episodes."""

    def __init__(self, n_envs: int, size: int, seed: int = 0) -> None:
        super().__init__(
            n_envs, spaces.Box(-np.inf, np.inf, (size,), np.float32), spaces.Box(-1, 1, (1,))
        )
        self.rng = np.random.default_rng(seed)
        self.scale = 10.0 ** self.rng.integers(-3, 7, size)

    def _observe(self) -> Any:
        drawn = self.rng.normal(3, 1, (self.num_envs, *self.observation_space.shape))
        return (drawn * self.scale).astype(np.float32)

    def reset(self) -> Any:
        return self._observe()

    def step_async(self, actions: Any) -> None:
        pass

    def step_wait(self) -> Any:
        observations = self._observe()
        rewards = self.rng.normal(0, 100, self.num_envs).astype(np.float32)
        dones = self.rng.random(self.num_envs) < 0.2
        infos: list[dict[str, Any]] = [
            {"terminal_observation": row.copy()} if done else {}
            for row, done in zip(self._observe(), dones, strict=True)
        ]
        return observations, rewards, dones, infos

    def close(self) -> None:
        pass

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [None] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        pass

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kw: Any) -> list[Any]:
        return [None] * self.num_envs

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * self.num_envs


def assert_same(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        for first, second in zip(one, other, strict=True):
            assert_same(first, second)
    else:
        assert np.asarray(one).dtype == np.asarray(other).dtype
        assert_equal_bits(one, other)


def statistics(env: VecNormalize) -> list[Any]:
    moments = [
        (rms.mean, rms.var, float(rms.count))
        for rms in (env.obs_rms, env.ret_rms)
        if rms is not None
    ]
    return [*moments, env.returns]


@pytest.mark.parametrize("n_envs", [1, 2, 7, 8, 33])
@pytest.mark.parametrize("size", [1, 2, 3, 8, 31, 291])
def test_everything_is_equal_to_sb3(n_envs: int, size: int) -> None:
    plain, lean = (kind(Numbers(n_envs, size)) for kind in (VecNormalize, LeanVecNormalize))
    assert_same(lean.reset(), plain.reset())
    for step in range(60):
        plain.training = lean.training = step % 7 != 6
        actions = np.zeros((n_envs, 1))
        assert_same(lean.step(actions), plain.step(actions))
        assert_same(statistics(lean), statistics(plain))
    assert_same(lean.get_original_obs(), plain.get_original_obs())
    assert_same(lean.get_original_reward(), plain.get_original_reward())


@pytest.mark.parametrize("options", [{"norm_obs": False}, {"norm_reward": False}, {"clip_obs": 1}])
def test_options_mean_what_they_mean_to_sb3(options: dict[str, Any]) -> None:
    plain, lean = (kind(Numbers(3, 5), **options) for kind in (VecNormalize, LeanVecNormalize))
    assert_same(lean.reset(), plain.reset())
    for _ in range(20):
        actions = np.zeros((3, 1))
        assert_same(lean.step(actions), plain.step(actions))


def test_a_nan_stays_one() -> None:
    plain, lean = (kind(Numbers(1, 4)) for kind in (VecNormalize, LeanVecNormalize))
    seen = np.array([[np.nan, np.inf, -np.inf, 1.0]], dtype=np.float32)
    assert_same(lean.normalize_obs(seen), plain.normalize_obs(seen))
    assert_same(lean.normalize_obs(seen[0]), plain.normalize_obs(seen[0]))


def test_the_file_is_of_sb3s_class(tmp_path: Path) -> None:
    lean = LeanVecNormalize(Numbers(2, 4))
    lean.reset()
    lean.step(np.zeros((2, 1)))
    lean.save(str(tmp_path / "statistics.pkl"))
    with (tmp_path / "statistics.pkl").open("rb") as file:
        assert type(pickle.load(file)) is VecNormalize
    loaded = VecNormalize.load(str(tmp_path / "statistics.pkl"), Numbers(2, 4))
    assert_same(loaded.obs_rms.mean, lean.obs_rms.mean)
    assert lean.venv is not None


def test_statistics_that_are_held_elsewhere_stay_as_they_are() -> None:
    lean = LeanVecNormalize(Numbers(2, 4))
    lean.reset()
    held = lean.obs_rms.mean
    before = held.copy()
    lean.step(np.zeros((2, 1)))
    assert_equal_bits(before, held)
