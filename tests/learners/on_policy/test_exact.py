"""The exact learners of PPO and A2C leave SB3's states, bit for bit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from bit_equality import assert_equal_bits
from off_policy_cases import make_env
from on_policy_cases import make_model, trained
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import nn

from finrl_ray.agents.state.training_state import capture_state, learn_from, restore_state
from finrl_ray.learners.on_policy.exact import ExactA2C, ExactPPO
from finrl_ray.learners.on_policy.per_ticker import PerTickerPolicy

PAIRS: dict[str, tuple[Any, Any]] = {"ppo": (PPO, ExactPPO), "a2c": (A2C, ExactA2C)}
FOR_BOTH: list[dict[str, Any]] = [
    {},
    {"n_envs": 4, "normalize": True},
    {"policy_kwargs": {"net_arch": {"pi": [8], "vf": [12, 16, 8]}, "activation_fn": nn.ELU}},
    {"policy_kwargs": {"net_arch": [], "ortho_init": False, "log_std_init": -1.0}},
    {"policy_kwargs": {"net_arch": [8], "share_features_extractor": False}, "normalize": True},
    {"policy_kwargs": {"net_arch": [7, 13], "activation_fn": nn.ReLU}, "n_envs": 3},
    {"env": {"dtype": np.float64}, "gae_lambda": 0.8, "vf_coef": 0.9, "max_grad_norm": 0.1},
    {"policy": PerTickerPolicy, "n_envs": 4, "normalize": True},
    {"policy": PerTickerPolicy, "policy_kwargs": {"net_arch": {"pi": [], "vf": [12]}}},
]
CASES: list[tuple[str, dict[str, Any]]] = [
    *((algorithm, settings) for settings in FOR_BOTH for algorithm in PAIRS),
    ("ppo", {"batch_size": 7, "clip_range_vf": 0.1, "clip_range": lambda progress: 0.3 * progress}),
    ("ppo", {"normalize_advantage": False, "target_kl": 1e-4}),
    ("a2c", {"normalize_advantage": True, "use_rms_prop": False, "n_steps": 8}),
]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    th.set_num_threads(1)


@pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")
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
        loaded = plain_class.load(tmp_path / "model", env=make_env(), device="cpu")
        states.append(trained(loaded, 60))
    assert_equal_bits(*states)


@pytest.mark.parametrize("algorithm", PAIRS)
def test_a_restored_model_goes_on_bit_for_bit(algorithm: str) -> None:
    exact_class = PAIRS[algorithm][1]
    straight = make_model(exact_class, normalize=True)
    learn_from(straight, 100)
    expected = capture_state(straight)
    first = make_model(exact_class, normalize=True)
    learn_from(first, 100, at_safe_point=lambda model: model.num_timesteps < 48)
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
        ("ppo", {"use_sde": True}, "StateDependentNoise"),
        ("a2c", {"policy_kwargs": {"features_extractor_class": OwnExtractor}}, "a OwnExtractor"),
        ("ppo", {"policy_kwargs": {"optimizer_class": th.optim.SGD}}, "optimizer is SGD"),
        ("a2c", {"policy_kwargs": {"activation_fn": nn.RReLU}}, "a RReLU in the networks"),
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


def test_actions_of_a_discrete_env_take_sb3s_own_code() -> None:
    exact = ExactPPO("MlpPolicy", "CartPole-v1", n_steps=16, batch_size=16, device="cpu")
    assert exact.learner == "sb3"
    exact.learn(16)


@pytest.mark.parametrize("algorithm", PAIRS)
@pytest.mark.parametrize("name", ["loc", "scale"])
def test_what_is_nan_ends_training_as_in_sb3(algorithm: str, name: str) -> None:
    for model_class in PAIRS[algorithm]:
        model = make_model(model_class)
        model.learn(30)
        with th.no_grad():
            changed = model.policy.action_net.bias if name == "loc" else model.policy.log_std
            changed.fill_(np.nan)
        with pytest.raises(ValueError, match=f"Expected parameter {name} "):
            model.learn(1, reset_num_timesteps=False)
