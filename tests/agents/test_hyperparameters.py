"""Samples turned into what a trial trains with."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finrl_ray.agents.hyperparameters import repair, resolve_sample
from finrl_ray.config.agent import AgentConfig


def test_derived_names_reach_sb3_under_its_own() -> None:
    sample = {
        "one_minus_gamma": 0.01,
        "one_minus_gae_lambda": 0.05,
        "net_arch": "small",
        "activation_fn": "relu",
        "n_envs": 4,
        "learning_rate": np.float64(1e-4),
    }
    settings = resolve_sample(sample, AgentConfig())
    assert settings.n_envs == 4
    assert settings.model_kwargs["gamma"] == 0.99
    assert settings.model_kwargs["gae_lambda"] == 0.95
    assert settings.model_kwargs["policy_kwargs"] == {"net_arch": [64, 64], "activation_fn": "relu"}
    assert type(settings.model_kwargs["learning_rate"]) is float


def test_a_sampled_value_wins_over_the_agents() -> None:
    agent = AgentConfig(model_kwargs={"learning_rate": 1e-3, "policy_kwargs": {"net_arch": [8]}})
    settings = resolve_sample({"learning_rate": 1e-4}, agent)
    assert settings.model_kwargs["learning_rate"] == 1e-4
    assert settings.model_kwargs["policy_kwargs"] == {"net_arch": [8]}
    assert agent.model_kwargs["learning_rate"] == 1e-3


@pytest.mark.parametrize(
    ("kwargs", "algorithm", "n_envs", "total", "expected"),
    [
        ({"n_steps": 64, "batch_size": 512}, "ppo", 1, 20_000, {"n_steps": 64, "batch_size": 64}),
        ({"n_steps": 64, "batch_size": 512}, "ppo", 8, 20_000, {"n_steps": 64, "batch_size": 512}),
        ({"n_steps": 2048, "batch_size": 64}, "ppo", 1, 1000, {"n_steps": 1000, "batch_size": 64}),
        ({}, "ppo", 1, 20_000, {}),
        ({}, "ppo", 1, 1000, {"n_steps": 1000}),
        ({"n_steps": 128}, "a2c", 4, 100, {"n_steps": 25}),
        ({"batch_size": 512, "buffer_size": 100}, "sac", 1, 20_000,
         {"batch_size": 100, "buffer_size": 100}),
        ({"learning_starts": 5000}, "td3", 1, 2000, {"learning_starts": 200}),
        ({"learning_starts": 100}, "ddpg", 1, 2000, {"learning_starts": 100}),
        # three quantiles: at most two can be dropped, and the two of the default are
        ({"policy_kwargs": {"n_quantiles": 3}, "top_quantiles_to_drop_per_net": 5}, "tqc", 1, 2000,
         {"policy_kwargs": {"n_quantiles": 3}, "top_quantiles_to_drop_per_net": 2}),
        ({"policy_kwargs": {"n_quantiles": 3}}, "tqc", 1, 2000,
         {"policy_kwargs": {"n_quantiles": 3}}),
        ({"policy_kwargs": {"n_quantiles": 1}}, "tqc", 1, 2000,
         {"policy_kwargs": {"n_quantiles": 1}, "top_quantiles_to_drop_per_net": 0}),
        ({"top_quantiles_to_drop_per_net": 30}, "tqc", 1, 2000,
         {"top_quantiles_to_drop_per_net": 24}),
        # 65 = 4 x 16 + 1: a last batch of one, and 65 = 4 x 15 + 5
        ({"n_steps": 65, "batch_size": 16}, "recurrent_ppo", 1, 2000,
         {"n_steps": 65, "batch_size": 15}),
        ({"n_steps": 65, "batch_size": 16}, "ppo", 1, 2000, {"n_steps": 65, "batch_size": 16}),
        # neither 2 nor 1 divides 3 without a rest of one, or has a deviation
        ({"n_steps": 3, "batch_size": 2}, "recurrent_ppo", 1, 2000,
         {"n_steps": 3, "batch_size": 3}),
        ({"n_steps": 32, "policy_kwargs": {"shared_lstm": True}}, "recurrent_ppo", 4, 2000,
         {"n_steps": 32, "policy_kwargs": {"shared_lstm": True, "enable_critic_lstm": False}}),
        ({"n_steps": 16, "batch_size": 16, "sub_sampling_factor": 40}, "trpo", 2, 2000,
         {"n_steps": 16, "batch_size": 16, "sub_sampling_factor": 16}),
        ({"batch_size": 512, "buffer_size": 100}, "dqn", 1, 20_000,
         {"batch_size": 100, "buffer_size": 100}),
    ],
)  # fmt: skip
def test_impossible_combinations_are_repaired(kwargs, algorithm, n_envs, total, expected) -> None:
    before = dict(kwargs)
    assert repair(kwargs, algorithm, n_envs, total) == expected
    assert kwargs == before


@given(
    n_steps=st.integers(1, 4096),
    batch_size=st.integers(1, 4096),
    n_envs=st.integers(1, 64),
    total=st.integers(64, 10_000),
)
def test_a_repaired_batch_fits_its_rollout(n_steps, batch_size, n_envs, total) -> None:
    fixed = repair({"n_steps": n_steps, "batch_size": batch_size}, "ppo", n_envs, total)
    assert 1 <= fixed["batch_size"] <= fixed["n_steps"] * n_envs
    assert fixed["n_steps"] * n_envs > 1
    assert repair(fixed, "ppo", n_envs, total) == fixed


def test_keywords_of_the_policy_are_searched_by_their_own_names() -> None:
    agent = AgentConfig(algorithm="tqc", model_kwargs={"n_critics": 3, "net_arch": "tiny"})
    settings = resolve_sample({"n_quantiles": 7.0, "top_quantiles_to_drop_per_net": 9}, agent)
    assert settings.model_kwargs == {
        "policy_kwargs": {"net_arch": [32], "n_critics": 3, "n_quantiles": 7},
        "top_quantiles_to_drop_per_net": 6,
    }
    assert settings.flat()["n_quantiles"] == 7
    recurrent = AgentConfig(algorithm="recurrent_ppo")
    sample = {"lstm_hidden_size": 16, "n_lstm_layers": 2, "enable_critic_lstm": False}
    assert resolve_sample(sample, recurrent).model_kwargs == {"policy_kwargs": sample}
