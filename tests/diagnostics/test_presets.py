"""Every key is one that its algorithm has, and the bytes are those of the arrays that SB3 makes."""

import json
import logging
from typing import Any

import numpy as np
import pytest
from env_markets import random_market
from stable_baselines3.common.buffers import ReplayBuffer

from finrl_ray.agents.algorithm_registry import ALGORITHMS
from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.diagnostics.memory_estimate import buffer_bytes, memory_estimate, network_bytes
from finrl_ray.diagnostics.presets import (
    create_memory_efficient_config,
    create_stable_config,
    memory_efficient_policy,
)
from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.errors import ConfigError


def actions(algorithm: str) -> dict[str, Any]:
    """Return the options of an env that an algorithm can act in."""
    return {"discrete_actions": "product"} if algorithm == "dqn" else {}


def train(algorithm: str, kwargs: dict[str, Any], steps: int) -> Any:
    env = StockTradingVecEnv(random_market(40, 3), 2, **actions(algorithm))
    model = DRLAgent(env).get_model(
        algorithm, policy_kwargs=memory_efficient_policy, model_kwargs=kwargs, verbose=0
    )
    return model.learn(steps)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", list(ALGORITHMS))
@pytest.mark.parametrize("make", [create_memory_efficient_config, create_stable_config])
def test_every_config_trains(make: Any, algorithm: str) -> None:
    config = make(algorithm)
    # PPO's rollouts of the stable config are 2048 steps: too long for a fast test
    short: dict[str, Any] = {}
    if ALGORITHMS[algorithm].minibatches:
        short = {"n_steps": 32, "batch_size": 32}
    if algorithm == "recurrent_ppo":  # 256 units take seconds
        short |= {"n_epochs": 1, "policy_kwargs": {"lstm_hidden_size": 16}}
    learned = train(algorithm, {**config, **short}, 150)
    assert learned.num_timesteps >= 150
    # and again after a round trip through a config file
    assert train(algorithm, {**json.loads(json.dumps(config)), **short}, 20).num_timesteps >= 20


def test_the_values_of_the_guide() -> None:
    assert create_memory_efficient_config() == {"n_steps": 512, "batch_size": 32}
    assert create_memory_efficient_config("sac") == {
        "buffer_size": 10_000,
        "batch_size": 32,
        "learning_starts": 100,
        "train_freq": (4, "step"),
    }
    assert create_stable_config() == {
        "learning_rate": 3e-5,
        "clip_range": 0.1,
        "ent_coef": 0.001,
        "max_grad_norm": 0.5,
        "vf_coef": 0.25,
    }
    assert "clip_range" not in create_stable_config("a2c")
    assert all(create_stable_config(name)["learning_rate"] == 3e-5 for name in ALGORITHMS)


def test_a_caller_may_change_what_was_returned() -> None:
    create_stable_config("td3")["tau"] = 0.5
    assert create_stable_config("td3")["tau"] == create_stable_config("ddpg")["tau"] == 0.001


@pytest.mark.parametrize("make", [create_memory_efficient_config, create_stable_config])
def test_an_unknown_algorithm_is_refused(make: Any) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'ppo'"):
        make("pppo")


@pytest.mark.parametrize("algorithm", list(ALGORITHMS))
@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("shares_market", [True, False])
def test_buffers_are_counted_to_the_byte(algorithm: str, n_envs: int, shares_market: bool) -> None:
    env = StockTradingVecEnv(random_market(40, 3, 2), n_envs, **actions(algorithm))
    kwargs: dict[str, Any] = {} if ALGORITHMS[algorithm].on_policy else {"buffer_size": 1000}
    if kwargs and not shares_market:
        kwargs["replay_buffer_class"] = ReplayBuffer
    model: Any = DRLAgent(env).get_model(algorithm, model_kwargs=kwargs, verbose=0)
    buffer = model.replay_buffer if kwargs else model.rollout_buffer
    arrays = [value for value in vars(buffer).values() if isinstance(value, np.ndarray)]
    options = {**ALGORITHMS[algorithm].defaults, **kwargs}
    sizes = (13, 3, n_envs)
    counted = buffer_bytes(algorithm, options, *sizes, shares_market=shares_market)
    assert counted == sum(array.nbytes for array in arrays)
    assert memory_estimate(algorithm, kwargs, *sizes, shares_market=shares_market) > counted


@pytest.mark.parametrize("algorithm", list(ALGORITHMS))
@pytest.mark.parametrize("net_arch", [None, [16, 8], "branches"])
def test_networks_are_counted(algorithm: str, net_arch: Any) -> None:
    if net_arch == "branches":
        net_arch = (
            {"pi": [8], "vf": [16]} if ALGORITHMS[algorithm].on_policy else {"pi": [8], "qf": [9]}
        )
        if algorithm == "dqn":
            pytest.skip("it has one network, without branches")
    kwargs: dict[str, Any] = {} if net_arch is None else {"policy_kwargs": {"net_arch": net_arch}}
    one_optimizer = ALGORITHMS[algorithm].on_policy or algorithm == "dqn"
    if not ALGORITHMS[algorithm].on_policy:
        kwargs["buffer_size"] = 10
    env = StockTradingVecEnv(random_market(40, 3, 2), **actions(algorithm))
    model: Any = DRLAgent(env).get_model(algorithm, model_kwargs=kwargs, verbose=0)
    trained = [model.policy.optimizer] if one_optimizer else []
    trained = trained or [model.actor.optimizer, model.critic.optimizer]
    learned = sum(p.numel() for o in trained for group in o.param_groups for p in group["params"])
    total = sum(p.numel() for p in model.policy.parameters())
    # value, gradient and two moments of what is trained; the value alone of targets
    expected = 4 * (total + 3 * learned)
    assert network_bytes(algorithm, kwargs, 13, 3) == pytest.approx(expected, rel=0.01)


def test_the_bytes_are_logged(caplog: Any) -> None:
    with caplog.at_level(logging.INFO, logger="finrl_ray"):
        create_memory_efficient_config("td3", observation_size=301)
        create_memory_efficient_config("td3")
    # 2 x 301 observation entries of 4 bytes, 10,000 times, and some for actions and networks
    assert "td3: buffer and networks take at most" in caplog.messages[0]
    assert "80 kB per entry of the observation" in caplog.messages[1]
