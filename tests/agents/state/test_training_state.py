"""A run that is captured and restored takes the same next step as one never interrupted."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bit_equality import assert_equal_bits
from market_env import MarketEnv
from repository import REPOSITORY, TESTS
from small_models import SMALL_KWARGS, SMALL_NET, small_env, small_model
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecMonitor,
    VecNormalize,
)
from stable_baselines3.common.vec_env.base_vec_env import VecEnvWrapper

from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.agents.frame_stack import normalizing, stacked
from finrl_ray.agents.state.training_state import (
    capture_state,
    learn_from,
    load_state,
    restore_state,
    save_state,
)
from finrl_ray.config.env import EnvConfig
from finrl_ray.env.make import make_vec_env
from finrl_ray.errors import ConfigError, SearchError

HALF, TOTAL = 96, 192


def state_at(model, timesteps: int, total: int = TOTAL):
    """Train to the end, and return the state at the first safe point at or past `timesteps`."""
    kept = []

    def keep(model) -> bool:
        if not kept and model.num_timesteps >= timesteps:
            kept.append(capture_state(model))
        return True

    assert learn_from(model, total, at_safe_point=keep)
    return kept[0]


def assert_exact(build, path: Path, total: int = TOTAL) -> None:
    straight = build()
    save_state(state_at(straight, total // 2, total), path)
    end = capture_state(straight)
    resumed = build()
    np.random.seed(99)  # noqa: NPY002  # whatever the process drew before must not matter
    restore_state(resumed, load_state(path))
    assert learn_from(resumed, total, resumed=True)
    assert_equal_bits(end, capture_state(resumed))


def test_a_resumed_run_equals_a_straight_one(tmp_path) -> None:
    assert_exact(lambda: small_model("sac"), tmp_path / "state.pt")


@pytest.mark.slow
@pytest.mark.parametrize("n_envs", [1, 2])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("algorithm", SMALL_KWARGS)
def test_every_algorithm_resumes_exactly(algorithm, n_envs, normalize, tmp_path) -> None:
    assert_exact(lambda: small_model(algorithm, n_envs, normalize=normalize), tmp_path / "state.pt")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algorithm", "changes"),
    [
        ("ppo", {"use_sde": True}),
        ("a2c", {"use_sde": True, "sde_sample_freq": 2}),
        ("sac", {"use_sde": True}),
        ("sac", {"ent_coef": 0.1, "learning_rate": "lin_1e-3"}),
        ("td3", {"train_freq": (1, "episode"), "gradient_steps": -1}),
        ("td3", {"learning_starts": 120}),
        ("td3", {"action_noise": "normal"}),
        ("ddpg", {"optimize_memory_usage": True,
                  "replay_buffer_kwargs": {"handle_timeout_termination": False}}),
        ("td3", {"n_steps": 3}),
        ("tqc", {"ent_coef": 0.1, "top_quantiles_to_drop_per_net": 4}),
        ("crossq", {"use_sde": True, "policy_delay": 2}),
        ("recurrent_ppo", {"use_sde": True, "policy_kwargs": {"enable_critic_lstm": False}}),
        ("recurrent_ppo", {"policy_kwargs": {"shared_lstm": True, "enable_critic_lstm": False}}),
        ("trpo", {"sub_sampling_factor": 2}),
        ("dqn", {"exploration_fraction": 1.0, "train_freq": 3, "n_steps": 2}),
    ],
)  # fmt: skip
def test_options_resume_exactly(algorithm, changes, tmp_path) -> None:
    assert_exact(lambda: small_model(algorithm, **changes), tmp_path / "state.pt")


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["ppo", "sac"])
def test_a_new_process_resumes_exactly(algorithm, tmp_path) -> None:
    straight = small_model(algorithm, 2)
    save_state(state_at(straight, HALF), tmp_path / "half.pt")
    end = capture_state(straight)
    code = f"""
import torch; torch.set_num_threads(1)
from small_models import small_model
from finrl_ray.agents.state.training_state import *
model = small_model({algorithm!r}, 2)
restore_state(model, load_state({str(tmp_path / "half.pt")!r}))
learn_from(model, {TOTAL}, resumed=True)
save_state(capture_state(model), {str(tmp_path / "end.pt")!r})
"""
    paths = os.pathsep.join([str(TESTS / "helpers"), str(REPOSITORY)])
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": paths}
    )
    assert_equal_bits(end, load_state(tmp_path / "end.pt"))


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["a2c", "ppo", "td3"])
@pytest.mark.parametrize(
    ("normalize", "options"),
    [
        (False, {}),
        (True, {}),
        (True, {"action": "target_weights"}),
        (True, {"short": True, "volume_slippage": 0.01, "reward": "active"}),
        (True, {"action": "target_weights", "short": True, "volume_slippage": 0.01}),
    ],
)
def test_the_trading_env_resumes_exactly(algorithm, normalize, options, market, tmp_path) -> None:
    def build():
        config = EnvConfig(hmax=10, initial_amount=1e5, random_start=True, **options)
        env = make_vec_env(market, config, n_envs=2, seed=5)
        kwargs = SMALL_KWARGS[algorithm]
        return DRLAgent(VecNormalize(env) if normalize else env).get_model(
            algorithm, model_kwargs=kwargs, verbose=0, seed=5
        )

    assert_exact(build, tmp_path / "state.pt", 384)


@pytest.mark.slow
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("algorithm", ["a2c", "ppo", "td3", "sac"])
def test_stacks_of_observations_resume_exactly(algorithm, normalize, market, tmp_path) -> None:
    def build():
        config = EnvConfig(hmax=10, initial_amount=1e5, random_start=True)
        env = make_vec_env(market, config, n_envs=2, seed=5)
        inside = normalizing(env, 4) if normalize else env
        kwargs = SMALL_KWARGS[algorithm]
        return DRLAgent(stacked(inside, 4)).get_model(
            algorithm, model_kwargs=kwargs, verbose=0, seed=5
        )

    assert_exact(build, tmp_path / "state.pt", 384)


@pytest.mark.slow
@pytest.mark.parametrize(("algorithm", "kind"), [("a2c", "per_ticker"), ("ppo", "product")])
def test_choices_resume_exactly(algorithm, kind, market, tmp_path) -> None:
    def build():
        options = {"action": "target_weights", "random_start": True, "discrete_actions": kind}
        env = make_vec_env(market, EnvConfig(initial_amount=1e5, **options), n_envs=2, seed=5)
        kwargs = SMALL_KWARGS[algorithm]
        return DRLAgent(env).get_model(algorithm, model_kwargs=kwargs, verbose=0, seed=5)

    assert_exact(build, tmp_path / "state.pt", 384)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["tqc", "crossq", "recurrent_ppo", "dqn"])
def test_algorithms_of_contrib_and_dqn_resume_exactly_in_the_trading_env(
    algorithm, market, tmp_path
) -> None:
    choices = "product" if algorithm == "dqn" else "none"

    def build():
        config = EnvConfig(hmax=10, initial_amount=1e5, random_start=True, discrete_actions=choices)
        env = VecNormalize(make_vec_env(market, config, n_envs=2, seed=5))
        return DRLAgent(env).get_model(
            algorithm, model_kwargs=SMALL_KWARGS[algorithm], verbose=0, seed=5
        )

    assert_exact(build, tmp_path / "state.pt", 256)


@pytest.mark.slow
def test_envs_in_subprocesses_resume_exactly(tmp_path) -> None:
    envs = []

    def build():
        env = VecMonitor(SubprocVecEnv([make_noisy_env]))
        envs.append(env)
        return DRLAgent(env).get_model("a2c", verbose=0, seed=3)

    try:
        assert_exact(build, tmp_path / "state.pt", 60)
    finally:
        for env in envs:
            env.close()


def make_noisy_env() -> MarketEnv:
    return MarketEnv(noise=0.1)


@pytest.mark.parametrize("algorithm", ["ppo", "ddpg"])
def test_learn_from_does_what_learn_does(algorithm) -> None:
    model = small_model(algorithm)
    assert learn_from(model, 96)
    ours = capture_state(model)
    theirs = capture_state(small_model(algorithm).learn(96))
    assert_equal_bits(ours, theirs)


def test_training_can_be_left_and_gone_on_with() -> None:
    straight = small_model("ppo")
    learn_from(straight, 128)
    end = capture_state(straight)
    pieces = small_model("ppo")
    assert not learn_from(pieces, 128, at_safe_point=lambda model: model.num_timesteps < 64)
    assert pieces.num_timesteps == 64
    assert learn_from(pieces, 128, resumed=True)
    assert_equal_bits(end, capture_state(pieces))


def test_safe_points_are_before_each_rollout_and_after_the_last_update() -> None:
    seen = []

    def look(model) -> bool:
        seen.append((model.num_timesteps, model._n_updates))
        return True

    learn_from(small_model("ppo"), 96, at_safe_point=look)
    assert seen == [(0, 0), (32, 2), (64, 4), (96, 6)]


def test_the_learning_rate_follows_the_true_total() -> None:
    model = small_model("ppo", learning_rate="lin_1e-3")
    rates = []

    def look(model) -> bool:
        rates.append(model.policy.optimizer.param_groups[0]["lr"])
        return model.num_timesteps != 64

    learn_from(model, 128, at_safe_point=look)
    learn_from(model, 128, at_safe_point=lambda m: look(m) or m.num_timesteps == 64)
    np.testing.assert_allclose(rates, [1e-3, 7.5e-4, 5e-4, 5e-4, 2.5e-4, 0.0], atol=1e-12)


def test_capturing_changes_nothing_and_shares_nothing() -> None:
    model = small_model("sac")
    state = state_at(model, HALF)
    before = copy.deepcopy(state)
    ends = []
    for _ in range(2):
        other = small_model("sac")
        restore_state(other, state)
        learn_from(other, HALF + 8)
        ends.append(capture_state(other))
    assert_equal_bits(*ends)
    assert_equal_bits(before, state)


class StopAt(BaseCallback):
    def __init__(self, timesteps: int) -> None:
        super().__init__()
        self.timesteps = timesteps

    def _on_step(self) -> bool:
        return self.num_timesteps < self.timesteps


def test_a_model_stopped_inside_a_rollout_is_no_safe_point() -> None:
    model = small_model("ppo")
    assert not learn_from(model, 96, StopAt(40))
    with pytest.raises(ConfigError, match="was stopped inside a rollout"):
        capture_state(model)
    assert learn_from(model, 96)
    assert model.num_timesteps >= 96


def test_resumed_must_be_true_of_the_model() -> None:
    with pytest.raises(ConfigError, match="resumed=True, but the model has no state to go on from"):
        learn_from(small_model("a2c"), 10, resumed=True)
    model = small_model("a2c")
    learn_from(model, 10)
    with pytest.raises(ConfigError, match="resumed=False, but the model is in the middle"):
        learn_from(model, 20, resumed=False)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (("a2c", 1, {}), "belongs to a PPO model, got a A2C"),
        (("ppo", 2, {}), "captured from 1 envs .* has 2"),
        (("ppo", 1, {"normalize": False}), r"wrappers \['VecNormalize'\], but .* in \[\]"),
        (("ppo", 1, {"policy_kwargs": SMALL_NET}), "does not fit this model's networks"),
    ],
)
def test_a_state_of_another_model_is_refused(other, message) -> None:
    algorithm, n_envs, changes = other
    model = small_model("ppo")
    learn_from(model, 32)
    with pytest.raises(ConfigError, match=message):
        restore_state(small_model(algorithm, n_envs, **changes), capture_state(model))


def test_a_state_of_another_buffer_is_refused() -> None:
    model = small_model("td3", buffer_size=50)
    learn_from(model, 60)
    with pytest.raises(ConfigError, match="buffer of 50 rows, the model's has 60"):
        restore_state(small_model("td3", buffer_size=60), capture_state(model))


def test_a_state_of_another_format_is_refused() -> None:
    with pytest.raises(SearchError, match="format 0, this version of finrl_ray reads 1"):
        restore_state(small_model("a2c"), {"format": 0})


def test_an_env_without_get_state_is_told() -> None:
    bare = DRLAgent(DummyVecEnv([BareEnv])).get_model("a2c", verbose=0)
    learn_from(bare, 10)
    with pytest.raises(ConfigError, match="those in the DummyVecEnv have none"):
        capture_state(bare)


class BareEnv(MarketEnv):
    get_state = property()


class OwnWrapper(VecEnvWrapper):
    def reset(self):
        return self.venv.reset()

    def step_wait(self):
        return self.venv.step_wait()


def test_a_wrapper_with_unknown_state_is_told() -> None:
    model = DRLAgent(OwnWrapper(small_env())).get_model("a2c", verbose=0)
    learn_from(model, 10)
    with pytest.raises(ConfigError, match="cannot capture the wrapper OwnWrapper"):
        capture_state(model)


def test_the_replay_buffer_can_be_left_out() -> None:
    model = small_model("td3")
    learn_from(model, 40)
    assert "replay" not in capture_state(model, replay_buffer=False)
