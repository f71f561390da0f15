"""Names, defaults and keywords of the algorithms."""

import pytest
from stable_baselines3 import A2C, DDPG, PPO, SAC, TD3
from stable_baselines3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise
from torch import nn

from finrl_ray.agents.algorithm_registry import ALGORITHMS
from finrl_ray.agents.algorithms import (
    check_model_kwargs,
    find_algorithm,
    model_keywords,
    resolve_model_kwargs,
)
from finrl_ray.agents.schedules import LinearSchedule
from finrl_ray.errors import ConfigError

CLASSES = {"a2c": A2C, "ppo": PPO, "ddpg": DDPG, "td3": TD3, "sac": SAC}


def test_names_are_finrls() -> None:
    assert {name: a.model_class for name, a in ALGORITHMS.items()} == CLASSES


def test_defaults_cannot_be_changed() -> None:
    with pytest.raises(TypeError, match="does not support item assignment"):
        ALGORITHMS["ppo"].defaults["n_steps"] = 1
    with pytest.raises(TypeError, match="does not support item assignment"):
        ALGORITHMS["dqn"] = ALGORITHMS["ppo"]


@pytest.mark.parametrize("name", ALGORITHMS)
def test_defaults_are_keywords_of_the_class(name: str) -> None:
    check_model_kwargs(name, ALGORITHMS[name].defaults)
    assert {"learning_rate", "gamma", "seed", "verbose", "policy_kwargs"} <= model_keywords(name)
    assert not {"self", "policy", "env", "_init_setup_model"} & model_keywords(name)


def test_an_unknown_algorithm_gets_a_suggestion() -> None:
    with pytest.raises(ConfigError, match=r"one of 'a2c', .*got 'PPO'. Did you mean 'ppo'\?"):
        find_algorithm("PPO")


def test_a_misspelt_keyword_gets_a_suggestion() -> None:
    with pytest.raises(ConfigError, match=r"ppo has no keyword 'lerning_rate'.*'learning_rate'\?"):
        check_model_kwargs("ppo", {"lerning_rate": 1e-3})


def test_a_keyword_of_other_algorithms_names_them() -> None:
    with pytest.raises(
        ConfigError, match=r"ppo has no .*ddpg, td3, sac would accept 'buffer_size'"
    ):
        check_model_kwargs("ppo", {"buffer_size": 1000})


def test_the_callers_keywords_win_and_stay_as_they_are() -> None:
    given = {"learning_rate": "lin_1e-3", "policy_kwargs": {"activation_fn": "relu"}}
    resolved = resolve_model_kwargs("ppo", given, n_actions=2)
    assert resolved == {
        "n_steps": 2048,
        "ent_coef": 0.01,
        "batch_size": 64,
        "learning_rate": LinearSchedule(1e-3),
        "policy_kwargs": {"activation_fn": nn.ReLU},
    }
    assert given == {"learning_rate": "lin_1e-3", "policy_kwargs": {"activation_fn": "relu"}}


@pytest.mark.parametrize(
    ("name", "noise_class"),
    [("normal", NormalActionNoise), ("ornstein_uhlenbeck", OrnsteinUhlenbeckActionNoise)],
)
def test_noise_by_name(name: str, noise_class: type) -> None:
    noise = resolve_model_kwargs("td3", {"action_noise": name}, n_actions=3)["action_noise"]
    assert isinstance(noise, noise_class)
    assert noise._sigma.tolist() == [0.1, 0.1, 0.1]


def test_a_noise_object_is_copied() -> None:
    noise = resolve_model_kwargs("td3", {"action_noise": "normal"}, n_actions=1)["action_noise"]
    resolved = resolve_model_kwargs("td3", {"action_noise": noise}, n_actions=1)
    assert isinstance(resolved["action_noise"], NormalActionNoise)
    assert resolved["action_noise"] is not noise


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"action_noise": "norml"}, r"action_noise must be one of .* Did you mean 'normal'\?"),
        ({"policy_kwargs": {"activation_fn": "rleu"}}, r"activation_fn must be .*'relu'\?"),
        ({"learning_rate": "lin-3"}, "a schedule must be"),
    ],
)
def test_bad_texts_are_refused(kwargs, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve_model_kwargs("td3", kwargs, n_actions=1)


def test_a_train_freq_from_yaml_becomes_a_tuple() -> None:
    resolved = resolve_model_kwargs("sac", {"train_freq": [1, "episode"]}, n_actions=1)
    assert resolved["train_freq"] == (1, "episode")
