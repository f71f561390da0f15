"""The fused learners of SAC, TD3 and DDPG do what SB3 does, to rounding."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from bit_equality import assert_equal_bits
from env_markets import random_market
from off_policy_cases import largest_error, make_env, make_model, trained
from stable_baselines3 import DDPG, SAC, TD3
from stable_baselines3.common.noise import NormalActionNoise
from torch import nn

from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.agents.state.training_state import capture_state, learn_from, restore_state
from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.learners.off_policy import fused as fused_module
from finrl_ray.learners.off_policy.fused import FusedDDPG, FusedSAC, FusedTD3

PAIRS: dict[str, tuple[Any, Any]] = {
    "sac": (SAC, FusedSAC),
    "td3": (TD3, FusedTD3),
    "ddpg": (DDPG, FusedDDPG),
}
ONE_UPDATE, WHOLE = 1e-5, 1e-4
FOR_ALL: list[dict[str, Any]] = [
    {},
    {"n_envs": 4, "normalize": True, "train_freq": 2, "gradient_steps": 3},
    {"policy_kwargs": {"net_arch": [16, 8, 24], "activation_fn": nn.Tanh, "n_critics": 3}},
    {"policy_kwargs": {"net_arch": {"pi": [9], "qf": [8, 5]}, "n_critics": 1}, "n_steps": 3},
]
CASES: list[tuple[str, dict[str, Any]]] = [
    *((algorithm, settings) for settings in FOR_ALL for algorithm in PAIRS),
    ("sac", {"ent_coef": 0.05, "env": {"dtype": np.float64}}),
    ("sac", {"ent_coef": "auto_0.1", "target_entropy": -1.5}),
    ("sac", {"target_update_interval": 2, "gradient_steps": 3, "tau": 0.1}),
    ("td3", {"policy_delay": 3, "target_policy_noise": 0.5, "target_noise_clip": 0.1}),
    ("td3", {"train_freq": (1, "episode"), "gradient_steps": -1}),
    ("ddpg", {"action_noise": NormalActionNoise(np.zeros(3), 0.3 * np.ones(3))}),
]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    th.set_num_threads(1)


def series(logged: list[dict[str, float]]) -> dict[str, Any]:
    """Return what was logged by its name, over time.

    A loss is the mean of values that may cancel: near 0 it has their rounding errors.
    """
    names = {name for one in logged for name in one}
    return {name: np.array([one[name] for one in logged if name in one]) for name in names}


@pytest.mark.parametrize(("algorithm", "settings"), CASES)
def test_updates_are_sb3s_to_rounding(algorithm: str, settings: dict[str, Any]) -> None:
    for n_steps in (22, 60):
        plain_class, fused_class = PAIRS[algorithm]
        plain = make_model(plain_class, **settings)
        expected = trained(plain, n_steps)
        fused = make_model(fused_class, **settings)
        assert fused.learner == "fused"
        state = trained(fused, n_steps)
        few = plain._n_updates <= 3
        for key in ("variables", "replay", "last", "seen"):
            assert largest_error(expected[key], state[key]) < WHOLE, key
        assert largest_error(series(expected["logged"]), series(state["logged"])) < WHOLE
        error = largest_error(expected["parameters"]["policy"], state["parameters"]["policy"])
        assert error < (ONE_UPDATE if few else WHOLE)
        assert largest_error(expected["parameters"], state["parameters"]) < 10 * WHOLE
        assert_equal_bits(expected["random"], state["random"])
        assert expected["counters"] == state["counters"]


def first_gradients(model: Any) -> dict[str, Any]:
    """Return the gradients of a model's first update, by means of Adam's first average of them."""
    model.learn(21)
    state = capture_state(model)["parameters"]
    names = ("actor.optimizer", "critic.optimizer")
    return {
        name: {k: entry["exp_avg"] for k, entry in state[name]["state"].items()} for name in names
    }


@pytest.mark.parametrize("algorithm", PAIRS)
def test_gradients_are_autograds(algorithm: str) -> None:
    settings = {"policy_kwargs": {"net_arch": [64, 48]}, "batch_size": 64}
    if algorithm == "td3":
        settings["policy_delay"] = 1
    plain, fused = (
        first_gradients(make_model(model_class, **settings)) for model_class in PAIRS[algorithm]
    )
    assert len(plain["actor.optimizer"]) >= 6
    assert largest_error(plain, fused) < ONE_UPDATE


@pytest.mark.parametrize("algorithm", PAIRS)
def test_updates_are_the_same_however_many_are_made_at_a_time(
    algorithm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = []
    for most in (32, 2):
        monkeypatch.setattr(fused_module, "MOST_UPDATES", most)
        model = make_model(PAIRS[algorithm][1], train_freq=5, gradient_steps=5)
        states.append(trained(model, 40))
    assert states[0]["counters"]["_n_updates"] >= 15
    for key in ("parameters", "logged", "random"):
        assert_equal_bits(states[0][key], states[1][key])


@pytest.mark.parametrize("algorithm", PAIRS)
def test_a_saved_model_is_sb3s(algorithm: str, tmp_path: Path) -> None:
    plain_class, fused_class = PAIRS[algorithm]
    model = make_model(fused_class)
    model.learn(60)
    model.save(tmp_path / "model")
    model.save_replay_buffer(tmp_path / "buffer")
    loaded = plain_class.load(tmp_path / "model", env=make_env(), device="cpu")
    assert not {"learner", "_updates", "_explorer", "_critic_pair"} & set(vars(loaded))
    seen = np.random.default_rng(0).standard_normal((50, 7)).astype(np.float32)
    ours, theirs = (m.predict(seen, deterministic=True)[0] for m in (model, loaded))
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert_equal_bits(model.get_parameters(), loaded.get_parameters())
    states = []
    for going_on in (plain_class, fused_class):
        loaded = going_on.load(tmp_path / "model", env=make_env(), device="cpu")
        loaded.load_replay_buffer(tmp_path / "buffer")
        states.append(trained(loaded, 40)["parameters"]["policy"])
    assert largest_error(*states) < WHOLE


@pytest.mark.parametrize("algorithm", PAIRS)
def test_a_restored_model_goes_on_bit_for_bit(algorithm: str) -> None:
    fused_class = PAIRS[algorithm][1]
    straight = make_model(fused_class, normalize=True)
    learn_from(straight, 100)
    expected = capture_state(straight)
    first = make_model(fused_class, normalize=True)
    learn_from(first, 100, at_safe_point=lambda model: model.num_timesteps < 60)
    state = capture_state(first)
    second = make_model(fused_class, normalize=True)
    learn_from(second, 30)
    restore_state(second, state)
    learn_from(second, 100)
    assert_equal_bits(expected, capture_state(second))


@pytest.mark.parametrize("algorithm", PAIRS)
def test_what_changes_between_updates_is_followed(algorithm: str) -> None:
    states = []
    for model_class in PAIRS[algorithm]:
        model = make_model(model_class)
        model.learn(30)
        for parameter in model.policy.parameters():
            parameter.data = parameter.data.clone() * 0.5
        model.batch_size, model.gamma, model.tau = 8, 0.9, 0.2
        model.learning_rate = 1e-2
        model._setup_lr_schedule()
        states.append(trained(model, 30)["parameters"]["policy"])
    assert largest_error(*states) < WHOLE


@pytest.mark.parametrize(
    ("algorithm", "policy_kwargs", "reason"),
    [
        ("sac", {"activation_fn": nn.ELU}, "activation_fn is ELU"),
        ("td3", {"net_arch": []}, "without hidden layers"),
    ],
)
def test_other_networks_are_learned_exactly(
    algorithm: str, policy_kwargs: dict[str, Any], reason: str
) -> None:
    plain_class, fused_class = PAIRS[algorithm]
    expected = trained(make_model(plain_class, policy_kwargs=policy_kwargs))
    fused = make_model(fused_class, policy_kwargs=policy_kwargs)
    assert fused.learner == "exact"
    assert reason in fused._reason_against_fused()
    assert_equal_bits(expected, trained(fused))


@pytest.mark.parametrize("in_rollout", [True, False])
def test_a_mean_that_is_nan_ends_training_as_in_sb3(in_rollout: bool) -> None:
    model = make_model(FusedSAC)
    model.learn(30)
    with th.no_grad():
        model.actor.mu.bias.fill_(np.nan)
    settings = {"total_timesteps": 1, "reset_num_timesteps": False}
    with pytest.raises(ValueError, match=r"Expected parameter loc "):
        _ = model.learn(**settings) if in_rollout else model.train(1, 16)


@pytest.mark.parametrize("algorithm", ["td3", "sac"])
def test_nan_spreads_as_in_sb3(algorithm: str) -> None:
    found = []
    for model_class in PAIRS[algorithm]:
        model = make_model(model_class)
        model.learn(30)
        with th.no_grad():
            model.critic.qf1[0].bias[2] = np.nan
        # SB3's SAC refuses NaN at the second update
        model.train(1 if algorithm == "sac" else 2, 16)
        state = model.get_parameters()["policy"]
        found.append({name: bool(value.isnan().any()) for name, value in state.items()})
    assert found[0] == found[1]
    assert sum(found[0].values()) > 10


@pytest.mark.parametrize("algorithm", PAIRS)
def test_a_batch_that_the_markets_buffer_gathers_is_its_sample(algorithm: str) -> None:
    """Episodes of 29 steps end on the way, and the ring is overwritten."""
    states = []
    for gathers in (True, False):
        env = StockTradingVecEnv(random_market(30), 2, random_start=True)
        env.seed(4)
        settings = {"buffer_size": 80, "batch_size": 16, "learning_starts": 10, "gradient_steps": 2}
        networks = {"policy_kwargs": {"net_arch": [16, 24]}, "device": "cpu"}
        model = DRLAgent(env).get_model(
            algorithm, model_kwargs={**settings, **networks}, verbose=0, seed=3, learner="fused"
        )
        assert model.replay_buffer.gathers
        model.replay_buffer.gathers = gathers
        states.append(trained(model, 150))
    assert states[0]["counters"]["_n_updates"] > 100
    assert_equal_bits(*states)
