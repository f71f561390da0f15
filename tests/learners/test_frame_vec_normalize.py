"""VecNormalize inside a stack: what is seen is SB3's, and off-policy models get stacks of it."""

import numpy as np
import pytest
from gymnasium import spaces
from small_models import small_env
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack, VecNormalize

from finrl_ray.learners.frame_vec_normalize import FrameVecNormalize


class CountingEnv(VecEnv):
    """Shows (2 * day, 100) of two accounts; episodes have 3 steps."""

    def __init__(self) -> None:
        super().__init__(2, spaces.Box(-1e9, 1e9, (2,)), spaces.Box(-1.0, 1.0, (1,)))
        self.day = 0

    def seen(self):
        return np.array([[2.0 * self.day, 100.0]] * 2, dtype=np.float32)

    def reset(self):
        self.day = 0
        return self.seen()

    def step_async(self, actions) -> None:
        pass

    def step_wait(self):
        self.day += 1
        done, last = self.day == 3, self.seen()
        if done:
            self.day = 0
        infos = [{"terminal_observation": row} if done else {} for row in last]
        return self.seen(), np.zeros(2, np.float32), np.array([done] * 2), infos

    def close(self) -> None: ...
    def get_attr(self, attr_name, indices=None):
        return [None, None]

    def set_attr(self, attr_name, value, indices=None) -> None: ...
    def env_method(self, method_name, *args, indices=None, **kwargs): ...
    def env_is_wrapped(self, wrapper_class, indices=None):
        return [False, False]


def moments(normalizer: VecNormalize) -> None:
    """A mean of 2 and 100, and deviations of 2 and 1."""
    normalizer.training, normalizer.epsilon = False, 0.0
    normalizer.obs_rms.mean = np.array([2.0, 100.0])
    normalizer.obs_rms.var = np.array([4.0, 1.0])


def test_by_hand() -> None:
    inner = FrameVecNormalize(CountingEnv(), 3)
    moments(inner)
    env, nan = VecFrameStack(inner, 3), np.nan
    assert env.reset().tolist()[0] == [0.0, 0.0, 0.0, 0.0, -1.0, 0.0]
    np.testing.assert_array_equal(inner.get_original_obs()[0], [nan, nan, nan, nan, 0.0, 100.0])
    nothing = np.zeros((2, 1))
    for _ in range(2):
        seen, *_ = env.step(nothing)
    assert seen.tolist()[0] == [-1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    original = inner.get_original_obs()
    assert original.tolist()[0] == [0.0, 100.0, 2.0, 100.0, 4.0, 100.0]
    np.testing.assert_array_equal(inner.normalize_obs(original), seen)
    # the episode ends: a stack begins anew, and what ended it is whole
    seen, _, _, infos = env.step(nothing)
    assert seen.tolist()[0] == [0.0, 0.0, 0.0, 0.0, -1.0, 0.0]
    last = infos[0]["terminal_observation"]
    assert last.tolist() == [0.0, 0.0, 1.0, 0.0, 2.0, 0.0]
    assert inner.unnormalize_obs(last[[2, 3, 4, 5]]).tolist() == [4.0, 100.0, 6.0, 100.0]
    again = inner.get_original_obs()
    np.testing.assert_array_equal(again[0], [nan, nan, nan, nan, 0.0, 100.0])
    np.testing.assert_array_equal(inner.normalize_obs(again), seen)
    # what is missing stays so through both directions
    padded = np.array([0.0, 0.0, 0.0, 0.0, 1.0, 0.5], dtype=np.float32)
    back = inner.unnormalize_obs(padded)
    np.testing.assert_array_equal(back, [nan, nan, nan, nan, 4.0, 100.5])
    np.testing.assert_array_equal(inner.normalize_obs(back), padded)


@pytest.mark.parametrize("options", [{}, {"norm_obs": False}, {"norm_reward": False}])
def test_what_is_seen_is_that_of_sb3_bit_for_bit(options) -> None:
    envs = [
        VecFrameStack(make(small_env(2, noise=0.1)), 4)
        for make in (
            lambda env: FrameVecNormalize(env, 4, **options),
            lambda env: VecNormalize(env, **options),
        )
    ]
    for env in envs:
        env.seed(3)
    np.testing.assert_array_equal(*[env.reset() for env in envs])
    rng = np.random.default_rng(0)
    ended = 0
    for _ in range(80):
        actions = rng.uniform(-1, 1, (2, *envs[0].action_space.shape)).astype(np.float32)
        mine, others = (env.step(actions) for env in envs)
        for one, other in zip(mine[:3], others[:3], strict=True):
            np.testing.assert_array_equal(one, other)
        for one, other in zip(mine[3], others[3], strict=True):
            assert ("terminal_observation" in one) == ("terminal_observation" in other)
            if "terminal_observation" in one:
                ended += 1
                np.testing.assert_array_equal(
                    one["terminal_observation"], other["terminal_observation"]
                )
        # what a replay buffer keeps is what is seen, by the statistics of now
        stack = envs[0].venv.normalize_obs(envs[0].venv.get_original_obs())
        np.testing.assert_array_equal(stack[:, -5:], mine[0][:, -5:])
        assert np.isfinite(stack).all()
    assert ended


def test_the_file_is_one_of_sb3(tmp_path) -> None:
    inner = FrameVecNormalize(small_env(1, noise=0.1), 4)
    inner.reset()
    inner.save(str(tmp_path / "vecnormalize.pkl"))
    loaded = VecNormalize.load(str(tmp_path / "vecnormalize.pkl"), small_env(1))
    assert type(loaded) is VecNormalize
    assert loaded.obs_rms.mean.tolist() == inner.obs_rms.mean.tolist()
    assert not hasattr(loaded, "original_stack")
