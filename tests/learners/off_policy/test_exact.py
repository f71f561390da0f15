"""The exact learners of SAC, TD3 and DDPG leave SB3's states, bit for bit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from bit_equality import assert_equal_bits
from off_policy_cases import make_env, make_model, trained
from stable_baselines3 import DDPG, SAC, TD3
from stable_baselines3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import nn

from finrl_ray.agents.state.training_state import capture_state, learn_from, restore_state
from finrl_ray.learners.off_policy.exact import ExactDDPG, ExactSAC, ExactTD3

PAIRS: dict[str, tuple[Any, Any]] = {
    "sac": (SAC, ExactSAC),
    "td3": (TD3, ExactTD3),
    "ddpg": (DDPG, ExactDDPG),
}
FOR_ALL: list[dict[str, Any]] = [
    {"n_envs": 4, "normalize": True, "train_freq": 2, "gradient_steps": 3},
    {"train_freq": (1, "episode"), "gradient_steps": -1, "n_steps": 3},
    {"policy_kwargs": {"net_arch": [16], "activation_fn": nn.ELU, "n_critics": 3}},
    {"policy_kwargs": {"net_arch": [7, 13], "activation_fn": nn.Tanh}, "n_envs": 3},
]
CASES: list[tuple[str, dict[str, Any]]] = [
    *((algorithm, settings) for settings in FOR_ALL for algorithm in PAIRS),
    ("sac", {"ent_coef": 0.05, "env": {"dtype": np.float64}}),
    ("sac", {"ent_coef": "auto_0.1", "target_entropy": -1.5}),
    ("sac", {"target_update_interval": 2, "gradient_steps": 3, "tau": 0.1}),
    ("sac", {"policy_kwargs": {"net_arch": {"pi": [], "qf": [8, 8]}, "n_critics": 1}}),
    ("td3", {"policy_delay": 3, "target_policy_noise": 0.5, "target_noise_clip": 0.1}),
    ("td3", {"policy_kwargs": {"net_arch": [16], "share_features_extractor": True}}),
    (
        "td3",
        {
            "replay_buffer_kwargs": {"handle_timeout_termination": False},
            "optimize_memory_usage": True,
            "action_noise": NormalActionNoise(np.zeros(3), 0.3 * np.ones(3)),
        },
    ),
    ("ddpg", {"action_noise": OrnsteinUhlenbeckActionNoise(np.zeros(3), np.ones(3)), "n_envs": 4}),
]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    th.set_num_threads(1)


@pytest.mark.parametrize(("algorithm", "settings"), CASES)
def test_training_is_sb3s_bit_for_bit(algorithm: str, settings: dict[str, Any]) -> None:
    plain_class, exact_class = PAIRS[algorithm]
    expected = trained(make_model(plain_class, **settings))
    exact = make_model(exact_class, **settings)
    assert exact.learner == "exact"
    assert_equal_bits(expected, trained(exact))


@pytest.mark.parametrize("algorithm", PAIRS)
def test_sb3_goes_on_from_a_saved_model(algorithm: str, tmp_path: Path) -> None:
    plain_class, _ = PAIRS[algorithm]
    states = []
    for model_class in PAIRS[algorithm]:
        model = make_model(model_class)
        model.learn(60)
        model.save(tmp_path / "model")
        model.save_replay_buffer(tmp_path / "buffer")
        loaded = plain_class.load(tmp_path / "model", env=make_env(), device="cpu")
        loaded.load_replay_buffer(tmp_path / "buffer")
        states.append(trained(loaded, 60))
    assert_equal_bits(*states)


@pytest.mark.parametrize("algorithm", PAIRS)
def test_a_restored_model_goes_on_bit_for_bit(algorithm: str) -> None:
    exact_class = PAIRS[algorithm][1]
    straight = make_model(exact_class, normalize=True)
    learn_from(straight, 100)
    expected = capture_state(straight)
    first = make_model(exact_class, normalize=True)
    learn_from(first, 100, at_safe_point=lambda model: model.num_timesteps < 60)
    state = capture_state(first)
    second = make_model(exact_class, normalize=True)
    restore_state(second, state)
    learn_from(second, 100)
    assert_equal_bits(expected, capture_state(second))


@pytest.mark.parametrize("algorithm", PAIRS)
def test_replaced_parameters_are_taken_in_again(algorithm: str) -> None:
    states = []
    for model_class in PAIRS[algorithm]:
        model = make_model(model_class)
        model.learn(40)
        for parameter in model.policy.parameters():
            parameter.data = parameter.data.clone() * 0.5
        states.append(trained(model, 40))
    assert_equal_bits(*states)


class OwnExtractor(FlattenExtractor):
    """Another class than SB3's."""


@pytest.mark.parametrize(
    ("algorithm", "settings", "reason"),
    [
        ("sac", {"use_sde": True}, "use_sde is set"),
        ("td3", {"policy_kwargs": {"features_extractor_class": OwnExtractor}}, "a OwnExtractor"),
        ("ddpg", {"policy_kwargs": {"optimizer_class": th.optim.SGD}}, "optimizer is SGD"),
        ("sac", {"policy_kwargs": {"activation_fn": nn.RReLU}}, "a RReLU in the networks"),
    ],
)
def test_what_needs_sb3s_own_code_gets_it(
    algorithm: str, settings: dict[str, Any], reason: str
) -> None:
    plain_class, exact_class = PAIRS[algorithm]
    exact = make_model(exact_class, **settings)
    assert exact.learner == "sb3"
    assert reason in exact._reason_against_exact()
    exact.learn(40)
    plain = make_model(plain_class, **settings)
    plain.learn(40)
    assert_equal_bits(plain.get_parameters(), exact.get_parameters())


def test_a_mean_that_is_nan_ends_training_as_in_sb3() -> None:
    for model_class in PAIRS["sac"]:
        model = make_model(model_class)
        model.learn(30)
        with th.no_grad():
            model.actor.mu.bias.fill_(np.nan)
        with pytest.raises(ValueError, match=r"Expected parameter loc "):
            model.learn(1, reset_num_timesteps=False)
