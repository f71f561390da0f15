"""Values that a keyword can be trained with, and those that it cannot."""

from typing import Any

import gymnasium as gym
import pytest

from finrl_ray.agents.algorithm_registry import ALGORITHMS
from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.agents.hyperparameters import resolve_sample
from finrl_ray.agents.keyword_checks import check_values
from finrl_ray.config.agent import AgentConfig
from finrl_ray.errors import ConfigError


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_the_defaults_pass(algorithm: Any) -> None:
    check_values(algorithm, ALGORITHMS[algorithm].defaults)


@pytest.mark.parametrize(
    ("algorithm", "name", "value"),
    [
        ("ppo", "learning_rate", "lin_3e-4"),
        ("ppo", "clip_range_vf", None),
        ("ppo", "gamma", 1),
        ("sac", "ent_coef", "auto"),
        ("sac", "ent_coef", "auto_0.5"),
        ("sac", "train_freq", [2, "episode"]),
        ("sac", "gradient_steps", -1),
        ("td3", "action_noise", "normal"),
        ("a2c", "policy_kwargs", {"net_arch": {"pi": [8], "vf": [16, 16]}}),
    ],
)
def test_what_sb3_accepts_passes(algorithm: str, name: str, value: Any) -> None:
    check_values(algorithm, {name: value})


@pytest.mark.parametrize(
    ("algorithm", "name", "value"),
    [
        ("ppo", "learning_rate", 10),
        ("ppo", "learning_rate", 0.0),
        ("ppo", "learning_rate", "lin_5"),
        ("ppo", "learning_rate", "fast"),
        ("ppo", "learning_rate", None),
        ("ppo", "clip_range", 0),
        ("ppo", "target_kl", "abc"),
        ("ppo", "max_grad_norm", -1),
        ("ppo", "n_steps", 0),
        ("ppo", "n_steps", 64.5),
        ("ppo", "n_epochs", 0),
        ("ppo", "batch_size", True),
        ("ppo", "gamma", "abc"),
        ("ppo", "gamma", -1),
        ("ppo", "vf_coef", float("nan")),
        ("ppo", "ent_coef", "auto"),
        ("sac", "ent_coef", "autoo"),
        ("sac", "ent_coef", "auto_x"),
        ("sac", "train_freq", 0),
        ("sac", "train_freq", [1, "day"]),
        ("sac", "gradient_steps", 0),
        ("sac", "tau", 5),
        ("sac", "buffer_size", 0),
        ("sac", "target_update_interval", 0),
        ("td3", "policy_delay", 0),
        ("td3", "action_noise", 5),
        ("ppo", "policy_kwargs", 5),
        ("ppo", "policy_kwargs", {"net_arch": [32, 0]}),
        ("ppo", "n_envs", 0),
        ("ppo", "n_steps", None),
        ("ppo", "use_sde", "maybe"),
        ("ppo", "normalize_advantage", 3),
    ],
)
def test_what_cannot_be_trained_with_is_refused_by_name(algorithm, name, value) -> None:
    with pytest.raises(ConfigError, match="net_arch" if "net_arch" in str(value) else "must be"):
        check_values(algorithm, {name: value})


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        ({"one_minus_gamma": 3}, "gamma must be a number"),
        ({"one_minus_gamma": "abc"}, "one_minus_gamma must be a number"),
        ({"net_arch": 5}, "net_arch must be a list"),
        ({"net_arch": "tinny"}, "net_arch must be one of"),
        ({"n_envs": 0}, "n_envs must be a whole number >= 1"),
        ({"batch_size": 64.5}, "batch_size must be a whole number"),
        ({"n_envs": 100_000}, "n_envs must be <= total_timesteps"),
    ],
)
def test_a_sample_is_checked_after_translation(sample: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        resolve_sample(sample, AgentConfig())


def test_a_whole_float_is_a_whole_number() -> None:
    kwargs = resolve_sample({"batch_size": 32.0}, AgentConfig()).model_kwargs
    assert type(kwargs["batch_size"]) is int


def test_episodes_cannot_be_counted_over_several_envs() -> None:
    agent = AgentConfig(algorithm="sac", n_envs=4)
    with pytest.raises(ConfigError, match="train_freq by episode needs n_envs 1"):
        resolve_sample({"train_freq": [1, "episode"]}, agent)
    resolve_sample({"train_freq": [1, "episode"], "n_envs": 1}, agent)


def _a2c(**kwargs: Any) -> AgentConfig:
    return AgentConfig(algorithm="a2c", model_kwargs=kwargs)


def test_one_advantage_has_no_deviation() -> None:
    single = {"n_steps": 1, "normalize_advantage": True}
    with pytest.raises(ConfigError, match="n_steps 1 x n_envs 1 = 1 sample"):
        resolve_sample({}, _a2c(**single))
    with pytest.raises(ConfigError, match="n_steps 1 x n_envs 1 = 1 sample"):
        resolve_sample(single, AgentConfig(algorithm="a2c"))
    # two samples have one, and what is not normalised needs none
    assert resolve_sample({"n_envs": 2}, _a2c(**single)).n_envs == 2
    resolve_sample({"n_steps": 2}, _a2c(**single))
    resolve_sample({"normalize_advantage": False}, _a2c(**single))
    resolve_sample({}, _a2c(n_steps=1))


def test_a_rollout_cut_to_one_step_is_seen_too() -> None:
    agent = AgentConfig(
        algorithm="a2c", total_timesteps=1, model_kwargs={"normalize_advantage": True}
    )
    with pytest.raises(ConfigError, match="= 1 sample"):
        resolve_sample({}, agent)


def test_a_batch_of_one_is_refused_where_its_advantages_are_normalised() -> None:
    with pytest.raises(ConfigError, match="batch_size must be >= 2"):
        resolve_sample({"batch_size": 1}, AgentConfig())
    kwargs = resolve_sample(
        {"batch_size": 1, "normalize_advantage": False}, AgentConfig()
    ).model_kwargs
    assert kwargs["batch_size"] == 1


@pytest.mark.parametrize(
    ("algorithm", "kwargs", "words"),
    [
        ("a2c", {"n_steps": 1, "normalize_advantage": True}, "= 1 sample"),
        ("ppo", {"n_steps": 1}, "= 1 sample"),
        ("ppo", {"n_steps": 8, "batch_size": 1}, "batch_size must be >= 2"),
        ("trpo", {"n_steps": 1, "batch_size": 1}, "= 1 sample"),
        ("recurrent_ppo", {"n_steps": 8, "batch_size": 1}, "batch_size must be >= 2"),
        ("recurrent_ppo", {"n_steps": 17, "batch_size": 8}, "the last batch .* is one sample"),
        ("crossq", {"batch_size": 1}, "batch_size must be >= 2, got 1: crossq divides"),
    ],
)
@pytest.mark.parametrize("learner", ["fused", "exact", "sb3"])
def test_get_model_says_why_too(
    algorithm: str, kwargs: dict[str, Any], words: str, learner: str
) -> None:
    agent = DRLAgent(gym.make("Pendulum-v1"))
    with pytest.raises(ConfigError, match=words):
        agent.get_model(algorithm, model_kwargs=kwargs, learner=learner)


@pytest.mark.parametrize(
    ("algorithm", "name", "wrong"),
    [
        ("tqc", "n_quantiles", 0),
        ("tqc", "n_critics", 1.5),
        ("tqc", "top_quantiles_to_drop_per_net", -1),
        ("crossq", "n_critics", 0),
        ("crossq", "policy_delay", 0),
        ("recurrent_ppo", "lstm_hidden_size", 0),
        ("recurrent_ppo", "n_lstm_layers", "two"),
        ("recurrent_ppo", "enable_critic_lstm", 1),
        ("recurrent_ppo", "shared_lstm", "yes"),
        ("trpo", "target_kl", None),
        ("trpo", "target_kl", 0.0),
        ("trpo", "cg_max_steps", 0),
        ("trpo", "cg_damping", -0.1),
        ("trpo", "sub_sampling_factor", 0),
        ("trpo", "n_critic_updates", 0),
        ("trpo", "line_search_shrinking_factor", 1.0),
        ("dqn", "exploration_fraction", 1.5),
        ("dqn", "exploration_final_eps", -0.1),
        ("dqn", "target_update_interval", 0),
    ],
)
def test_values_of_other_algorithms_that_cannot_be_trained_with(
    algorithm: Any, name: str, wrong: Any
) -> None:
    for agent, sample in (
        (AgentConfig(algorithm=algorithm), {name: wrong}),
        (AgentConfig(algorithm=algorithm, model_kwargs={name: wrong}), {}),
    ):
        with pytest.raises(ConfigError, match=name):
            resolve_sample(sample, agent)


def test_none_is_no_limit_of_ppo() -> None:
    assert resolve_sample({"target_kl": None}, AgentConfig()).model_kwargs == {"target_kl": None}
