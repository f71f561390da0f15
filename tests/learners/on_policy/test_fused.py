"""The fused learners of PPO and A2C differ from SB3 by rounding alone; their models are SB3's."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from bit_equality import assert_equal_bits
from off_policy_cases import largest_error, make_env
from on_policy_cases import make_model, trained
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from torch import nn

from finrl_ray.agents.state.training_state import capture_state, learn_from, restore_state
from finrl_ray.learners.on_policy import updates
from finrl_ray.learners.on_policy.fused import FusedA2C, FusedPPO
from finrl_ray.learners.on_policy.per_ticker import PerTickerPolicy

PAIRS: dict[str, tuple[Any, Any]] = {"ppo": (PPO, FusedPPO), "a2c": (A2C, FusedA2C)}
FOR_BOTH: list[dict[str, Any]] = [
    {},
    {"n_envs": 4, "normalize": True},
    {"policy_kwargs": {"net_arch": {"pi": [8], "vf": [12, 16, 8]}, "activation_fn": nn.ReLU}},
    {"policy_kwargs": {"net_arch": [9], "ortho_init": False, "log_std_init": -1.0}},
    {"policy_kwargs": {"net_arch": [8], "share_features_extractor": False}, "normalize": True},
    {"gae_lambda": 0.8, "vf_coef": 0.9, "max_grad_norm": 0.1, "ent_coef": 0.1, "gamma": 0.9},
    {"policy": PerTickerPolicy},
    {"policy": PerTickerPolicy, "n_envs": 5, "normalize": True, "ent_coef": 0.1},
    {"policy": PerTickerPolicy, "policy_kwargs": {"net_arch": {"pi": [8, 9], "vf": [12]}}},
]
CASES: list[tuple[str, dict[str, Any]]] = [
    *((algorithm, settings) for settings in FOR_BOTH for algorithm in PAIRS),
    ("ppo", {"batch_size": 7, "clip_range_vf": 0.1, "clip_range": lambda rest: 0.1 + 0.2 * rest}),
    ("ppo", {"normalize_advantage": False, "target_kl": 1e-4}),
    ("a2c", {"normalize_advantage": True, "use_rms_prop": False, "n_steps": 8}),
    (
        "a2c",
        {"policy_kwargs": {"net_arch": [8], "optimizer_class": th.optim.Adam}},
    ),
]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    th.set_num_threads(1)


@pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")
@pytest.mark.parametrize(("algorithm", "settings"), CASES)
def test_one_update_is_sb3s_to_rounding(algorithm: str, settings: dict[str, Any]) -> None:
    plain_class, fused_class = PAIRS[algorithm]
    states = []
    for model_class in (plain_class, fused_class):
        # PPO: one minibatch is one update; schedules have no progress to follow
        size = 24 * settings.get("n_envs", 1)
        single = {"batch_size": size, "n_epochs": 1, "clip_range": 0.2}
        changes = {**settings, "learning_rate": 1e-3, **(single if algorithm == "ppo" else {})}
        model = make_model(model_class, **changes)
        assert getattr(model, "learner", "fused") == "fused"
        state = trained(model, 1)
        gradients = {n: parameter.grad for n, parameter in model.policy.named_parameters()}
        states.append({**state, "gradients": gradients})
    plain, fused = states
    assert largest_error(plain["gradients"], fused["gradients"]) < 1e-5
    assert plain["counters"] == fused["counters"]
    assert largest_error(plain["parameters"], fused["parameters"]) < 1e-5
    assert largest_error(plain["rollouts"], fused["rollouts"]) < 1e-5
    assert largest_error(plain["seen"], fused["seen"]) < 1e-4  # log densities cross 0
    assert_equal_bits(plain["random"], fused["random"])
    for name, value in plain["logged"].items():
        assert fused["logged"][name] == pytest.approx(value, rel=1e-3, abs=1e-4), name


@pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")
@pytest.mark.parametrize("n_steps", [1, 7])
@pytest.mark.parametrize(("algorithm", "settings"), CASES)
def test_a_minibatch_in_pieces_is_one_minibatch(
    algorithm: str, settings: dict[str, Any], n_steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = []
    for piece in (10_000, n_steps):
        monkeypatch.setattr(updates, "steps_in_cache", lambda networks, found=piece: found)
        size = {"batch_size": 16} if algorithm == "ppo" else {}
        model = make_model(PAIRS[algorithm][1], **{**size, **settings})
        states.append(trained(model, 24))
    whole, pieces = states
    assert whole["counters"] == pieces["counters"]
    assert largest_error(whole["parameters"], pieces["parameters"]) < 1e-4
    for name, value in whole["logged"].items():
        assert pieces["logged"][name] == pytest.approx(value, rel=1e-3, abs=1e-4), name


@pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")
@pytest.mark.parametrize(("algorithm", "settings"), CASES)
def test_many_updates_stay_close_to_sb3s(algorithm: str, settings: dict[str, Any]) -> None:
    plain_class, fused_class = PAIRS[algorithm]
    plain, fused = (
        trained(make_model(kind, **settings), 96) for kind in (plain_class, fused_class)
    )
    assert plain["counters"] == fused["counters"]
    assert largest_error(plain["parameters"], fused["parameters"]) < 2e-3
    assert_equal_bits(plain["random"], fused["random"])
    assert plain["logged"].keys() == fused["logged"].keys()


def test_schedules_past_their_end_do_what_they_do_in_sb3() -> None:
    # the last rollout ends after the last timestep, where such a range is below 0
    ranges = {"clip_range": lambda rest: 0.3 * rest, "clip_range_vf": lambda rest: 0.1 * rest}
    plain, fused = (trained(make_model(kind, **ranges), 100) for kind in PAIRS["ppo"])
    assert plain["logged"]["train/clip_range"] < 0
    assert largest_error(plain["parameters"], fused["parameters"]) < 2e-3
    for name in ("train/clip_fraction", "train/policy_gradient_loss", "train/value_loss"):
        assert fused["logged"][name] == pytest.approx(plain["logged"][name], rel=1e-3), name


@pytest.mark.parametrize("n_envs", [1, 5])
def test_advantages_are_sb3s_bit_for_bit(n_envs: int) -> None:
    model = make_model(FusedPPO, n_envs, n_steps=40, gae_lambda=0.93, gamma=0.97)
    rng = np.random.default_rng(0)
    buffer = model.rollout_buffer
    for name in ("rewards", "values"):
        getattr(buffer, name)[:] = rng.normal(0, 10, (40, n_envs))
    buffer.episode_starts[:] = rng.random((40, n_envs)) < 0.2
    seen, dones = rng.normal(0, 1, (n_envs, 7)).astype(np.float32), rng.random(n_envs) < 0.5
    expected = copy.deepcopy(buffer)
    last = model._finish_rollout(buffer, seen, dones)
    assert_equal_bits(last, model._values_of(th.from_numpy(seen)))
    RolloutBuffer.compute_returns_and_advantage(expected, last, dones)
    assert_equal_bits(expected.advantages, buffer.advantages)
    assert_equal_bits(expected.returns, buffer.returns)


@pytest.mark.parametrize("algorithm", PAIRS)
def test_sb3_loads_a_saved_model_and_trains_on(algorithm: str, tmp_path: Path) -> None:
    plain_class, fused_class = PAIRS[algorithm]
    model = make_model(fused_class)
    model.learn(60)
    model.save(tmp_path / "model")
    loaded = plain_class.load(tmp_path / "model", env=make_env(), device="cpu")
    assert not {"learner", "_fused", "_networks"} & set(vars(loaded))
    seen = np.random.default_rng(0).normal(0, 1, (50, 7)).astype(np.float32)
    own, theirs = (m.predict(seen, deterministic=True)[0] for m in (model, loaded))
    np.testing.assert_allclose(own, theirs, rtol=0, atol=1e-6)
    own_optimizer = model.policy.optimizer.state_dict()
    assert_equal_bits(own_optimizer, loaded.policy.optimizer.state_dict())
    first = trained(loaded, 48)
    again = fused_class.load(tmp_path / "model", env=make_env(), device="cpu")
    assert again.learner == "fused"
    assert largest_error(first["parameters"], trained(again, 48)["parameters"]) < 2e-3


@pytest.mark.parametrize("algorithm", PAIRS)
def test_a_restored_model_goes_on_bit_for_bit(algorithm: str) -> None:
    fused_class = PAIRS[algorithm][1]
    straight = make_model(fused_class, normalize=True)
    learn_from(straight, 100)
    expected = capture_state(straight)
    first = make_model(fused_class, normalize=True)
    learn_from(first, 100, at_safe_point=lambda model: model.num_timesteps < 48)
    state = capture_state(first)
    second = make_model(fused_class, normalize=True)
    restore_state(second, state)
    learn_from(second, 100)
    assert second.learner == "fused"
    assert_equal_bits(expected, capture_state(second))


@pytest.mark.parametrize("algorithm", PAIRS)
def test_what_users_change_in_between_is_followed(algorithm: str) -> None:
    states = []
    for model_class in PAIRS[algorithm]:
        model = make_model(model_class)
        model.learn(48)
        for parameter in model.policy.parameters():
            parameter.data = parameter.data.clone() * 0.5
        model.learning_rate = 1e-4
        model._setup_lr_schedule()
        model.max_grad_norm = 0.05
        model.policy.optimizer.param_groups[0]["eps"] = 1e-3
        states.append(trained(model, 24))
    assert largest_error(states[0]["parameters"], states[1]["parameters"]) < 1e-4
    rates = {state["parameters"]["policy.optimizer"]["param_groups"][0]["lr"] for state in states}
    assert rates == {1e-4}


class ChangedParameters(BaseCallback):
    """Loads parameters in the middle of a rollout, and changes them in place after that."""

    def _on_step(self) -> bool:
        if self.n_calls == 26:
            self.model.set_parameters(copy.deepcopy(self.model.get_parameters()))
        if self.n_calls == 27:
            with th.no_grad():
                for parameter in self.model.policy.parameters():
                    parameter.mul_(0.5)
        return True


@pytest.mark.parametrize("algorithm", PAIRS)
def test_what_callbacks_change_within_a_rollout_is_followed(algorithm: str) -> None:
    states = []
    for model_class in PAIRS[algorithm]:
        model = make_model(model_class, policy_kwargs={"net_arch": [16], "log_std_init": -1.0})
        model.learn(48, callback=ChangedParameters())
        states.append(capture_state(model)["parameters"])
    assert largest_error(*states) < 1e-4


@pytest.mark.parametrize(
    ("algorithm", "settings", "learner", "reason"),
    [
        ("ppo", {"policy_kwargs": {"activation_fn": nn.ELU}}, "exact", "activation is ELU"),
        ("a2c", {"policy_kwargs": {"net_arch": []}}, "exact", "policy_net has no hidden layer"),
        ("ppo", {"env": {"dtype": np.float64}}, "exact", "float64"),
        ("a2c", {"use_sde": True}, "sb3", "StateDependentNoise"),
    ],
)
def test_what_cannot_be_fused_is_said_and_learns_as_in_sb3(
    algorithm: str,
    settings: dict[str, Any],
    learner: str,
    reason: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("finrl_ray.learners.base._logged", set())
    plain_class, fused_class = PAIRS[algorithm]
    expected = trained(make_model(plain_class, **settings))
    fused = make_model(fused_class, **settings)
    assert fused.learner == learner
    assert reason in caplog.text
    assert_equal_bits(expected, trained(fused))


@pytest.mark.parametrize("algorithm", PAIRS)
@pytest.mark.parametrize("name", ["loc", "scale"])
def test_what_is_nan_ends_training_as_in_sb3(algorithm: str, name: str) -> None:
    model = make_model(PAIRS[algorithm][1])
    model.learn(30)
    with th.no_grad():
        changed = model.policy.action_net.bias if name == "loc" else model.policy.log_std
        changed.fill_(np.nan)
    with pytest.raises(ValueError, match=f"Expected parameter {name} "):
        model.learn(1, reset_num_timesteps=False)
