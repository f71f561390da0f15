"""Names, defaults and keywords of the algorithms."""

import pytest
from gymnasium import spaces
from sb3_contrib import TQC, TRPO, CrossQ, RecurrentPPO
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise
from torch import nn

from finrl_ray.agents.algorithm_registry import ALGORITHMS
from finrl_ray.agents.algorithms import (
    check_actions,
    check_model_kwargs,
    find_algorithm,
    find_learner,
    find_policy,
    model_keywords,
    resolve_model_kwargs,
)
from finrl_ray.agents.schedules import LinearSchedule
from finrl_ray.errors import ConfigError
from finrl_ray.learners.on_policy.per_ticker import PerTickerPolicy

CLASSES = {
    **{"a2c": A2C, "ppo": PPO, "ddpg": DDPG, "td3": TD3, "sac": SAC, "dqn": DQN},
    **{"tqc": TQC, "crossq": CrossQ, "recurrent_ppo": RecurrentPPO, "trpo": TRPO},
}


def test_names_are_finrls() -> None:
    assert {name: a.model_class for name, a in ALGORITHMS.items()} == CLASSES


def test_defaults_cannot_be_changed() -> None:
    with pytest.raises(TypeError, match="does not support item assignment"):
        ALGORITHMS["ppo"].defaults["n_steps"] = 1
    with pytest.raises(TypeError, match="does not support item assignment"):
        ALGORITHMS["mine"] = ALGORITHMS["ppo"]


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
        ConfigError,
        match=r"ppo has no .*ddpg, td3, sac, tqc, crossq, dqn would accept 'buffer_size'",
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


def test_the_names_of_policies() -> None:
    assert find_policy("ppo", "MlpPolicy") == "MlpPolicy"
    assert find_policy("recurrent_ppo", "MlpPolicy") == "MlpLstmPolicy"
    assert find_policy("recurrent_ppo", "MultiInputPolicy") == "MultiInputLstmPolicy"
    assert find_policy("recurrent_ppo", "MlpLstmPolicy") == "MlpLstmPolicy"
    assert find_policy("trpo", "PerTickerPolicy") is PerTickerPolicy
    assert (
        find_policy("tqc", PerTickerPolicy) is PerTickerPolicy
    )  # a class is the user's own choice
    with pytest.raises(ConfigError, match="MlpLstmPolicy is a policy of recurrent_ppo, got ppo"):
        find_policy("ppo", "MlpLstmPolicy")
    with pytest.raises(ConfigError, match="policy of a2c, ppo and trpo, got recurrent_ppo; use Ml"):
        find_policy("recurrent_ppo", "PerTickerPolicy")


NUMBERS = spaces.Box(-1.0, 1.0, (2,))
ONE_CHOICE = spaces.Discrete(3)
A_CHOICE_EACH = spaces.MultiDiscrete([3, 3])


@pytest.mark.parametrize("algorithm", ["a2c", "ppo", "trpo", "recurrent_ppo"])
@pytest.mark.parametrize("space", [NUMBERS, ONE_CHOICE, A_CHOICE_EACH])
def test_on_policy_algorithms_act_in_every_space(algorithm: str, space) -> None:
    check_actions(algorithm, space)


@pytest.mark.parametrize("algorithm", ["ddpg", "td3", "sac", "tqc", "crossq"])
def test_some_algorithms_need_numbers(algorithm: str) -> None:
    check_actions(algorithm, NUMBERS)
    for space in (ONE_CHOICE, A_CHOICE_EACH):
        with pytest.raises(
            ConfigError,
            match=rf"{algorithm} needs continuous actions.*one of a2c, .*env\.discrete_ac",
        ):
            check_actions(algorithm, space)


def test_dqn_needs_one_choice() -> None:
    check_actions("dqn", ONE_CHOICE)
    for space in (NUMBERS, A_CHOICE_EACH):
        with pytest.raises(ConfigError, match=r"dqn needs one discrete action.*and the env has"):
            check_actions("dqn", space)


def test_a_keyword_of_the_policy_is_sent_there() -> None:
    with pytest.raises(ConfigError, match="a keyword of the policy and stands in policy_kwargs"):
        check_model_kwargs("tqc", {"n_quantiles": 5})


def test_the_log_says_that_an_algorithm_has_no_faster_learner(caplog) -> None:
    with caplog.at_level("INFO", logger="finrl_ray"):
        assert find_learner(TQC, "fused") is TQC
        assert find_learner(TQC, "sb3") is TQC
    told = [text for text in caplog.messages if "there is no fused learner of it" in text]
    assert len(told) <= 1  # once in a process, by whichever test comes first
