"""The policy in which all tickers share one network."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from bit_equality import assert_equal_bits
from off_policy_cases import N_ACTIONS, N_OBSERVED, make_env
from on_policy_cases import make_model
from stable_baselines3 import PPO

from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.agents.models import load_model, save_model
from finrl_ray.agents.state.training_state import capture_state, learn_from, restore_state
from finrl_ray.errors import ConfigError
from finrl_ray.learners.on_policy.fused import FusedA2C, FusedPPO
from finrl_ray.learners.on_policy.per_ticker import (
    PerTickerPolicy,
    by_ticker,
    n_ticker_inputs,
)
from finrl_ray.learners.on_policy.per_ticker_rows import fill_ticker_rows

ORDER = [2, 0, 1]


def seen_in_order(observations: np.ndarray, order: list[int]) -> np.ndarray:
    """Return observations (B, 1 + 2*3) with the tickers in another order."""
    own = observations[:, 1:].reshape(len(observations), 2, N_ACTIONS)[:, :, order]
    return np.concatenate([observations[:, :1], own.reshape(len(observations), -1)], axis=1)


def observations(n_rows: int = 20) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1, (n_rows, N_OBSERVED)).astype(np.float32)


def test_what_a_ticker_sees() -> None:
    # cash 0.5; returns 1 and 3 of two tickers, then weights 0.2 and 0.3
    seen = th.tensor([[0.5, 1.0, 3.0, 0.2, 0.3]])
    expected = th.tensor([[[0.5, 1.0, 0.2, 2.0, 0.25], [0.5, 3.0, 0.3, 2.0, 0.25]]])
    assert th.equal(by_ticker(seen, 2), expected)
    rows = np.zeros((2, 5), dtype=np.float32)
    fill_ticker_rows(seen.numpy(), 2, rows)
    np.testing.assert_allclose(rows, expected.numpy()[0], rtol=1e-6)


def test_rows_are_those_of_the_policy_for_any_size() -> None:
    rng = np.random.default_rng(1)
    for n_tickers, kinds, batch in ((1, 1, 3), (6, 5, 4), (30, 12, 2)):
        seen = rng.normal(0, 1, (batch, 1 + kinds * n_tickers)).astype(np.float32)
        rows = np.zeros((batch * n_tickers, 1 + 2 * kinds), dtype=np.float32)
        fill_ticker_rows(seen, n_tickers, rows)
        expected = by_ticker(th.from_numpy(seen), n_tickers).reshape(rows.shape)
        np.testing.assert_allclose(rows, expected.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [FusedPPO, FusedA2C])
def test_the_order_of_tickers_means_nothing(kind: Any) -> None:
    model = make_model(kind, policy=PerTickerPolicy)
    model.learn(60)
    seen = observations()
    moved = seen_in_order(seen, ORDER)
    with th.no_grad():
        mean = model.policy.get_distribution(th.from_numpy(seen)).distribution.mean
        mean_moved = model.policy.get_distribution(th.from_numpy(moved)).distribution.mean
        values = model.policy.predict_values(th.from_numpy(seen))
        values_moved = model.policy.predict_values(th.from_numpy(moved))
    assert float(mean.std(1).min()) > 1e-4  # tickers do differ
    np.testing.assert_allclose(mean_moved, mean[:, ORDER], atol=1e-6)
    np.testing.assert_allclose(values_moved, values, atol=1e-5)


def test_networks_have_as_many_weights_whatever_the_tickers() -> None:
    model = make_model(FusedPPO, policy=PerTickerPolicy, policy_kwargs={"net_arch": [8]})
    shapes = {name: tuple(value.shape) for name, value in model.policy.named_parameters()}
    assert shapes["mlp_extractor.policy_net.0.weight"] == (8, 1 + 2 * 2)
    assert shapes["action_net.weight"] == (1, 8)
    assert shapes["value_net.weight"] == (1, 8)
    assert shapes["log_std"] == (N_ACTIONS,)


def test_saved_models_load_without_trust_and_act_alike(tmp_path: Path) -> None:
    model = DRLAgent(make_env()).get_model(
        "ppo",
        policy="PerTickerPolicy",
        model_kwargs={"n_steps": 24, "batch_size": 16, "policy_kwargs": {"net_arch": [8]}},
        verbose=0,
        seed=1,
    )
    assert model.learner == "fused"
    model.learn(48)
    path = tmp_path / "model.zip"
    save_model(model, path)
    loaded = load_model("ppo", path)
    assert type(loaded.policy) is PerTickerPolicy
    own, theirs = (m.predict(observations(), deterministic=True)[0] for m in (model, loaded))
    assert_equal_bits(own, theirs)
    plain = PPO.load(path, env=make_env(), device="cpu")
    assert_equal_bits(own, plain.predict(observations(), deterministic=True)[0])


@pytest.mark.parametrize("kind", [FusedPPO, FusedA2C])
def test_a_restored_model_goes_on_bit_for_bit(kind: Any) -> None:
    straight = make_model(kind, normalize=True, policy=PerTickerPolicy)
    learn_from(straight, 100)
    expected = capture_state(straight)
    first = make_model(kind, normalize=True, policy=PerTickerPolicy)
    learn_from(first, 100, at_safe_point=lambda model: model.num_timesteps < 48)
    state = capture_state(first)
    second = make_model(kind, normalize=True, policy=PerTickerPolicy)
    restore_state(second, state)
    learn_from(second, 100)
    assert second.learner == "fused"
    assert_equal_bits(expected, capture_state(second))


def test_nan_is_said_as_in_sb3() -> None:
    model = make_model(FusedPPO, policy=PerTickerPolicy)
    model.learn(30)
    with th.no_grad():
        model.policy.action_net.bias.fill_(np.nan)
    with pytest.raises(ValueError, match="Expected parameter loc "):
        model.learn(1, reset_num_timesteps=False)


def test_other_observations_and_noises_are_refused() -> None:
    assert n_ticker_inputs(7, 3) == 5
    words = re.escape("observations of 1 + K * N entries for N actions")
    with pytest.raises(ValueError, match=f"{words}.*got 8 entries and 3 actions"):
        n_ticker_inputs(8, 3)
    with pytest.raises(ValueError, match="leave use_sde false, got a StateDependent"):
        make_model(FusedPPO, policy=PerTickerPolicy, use_sde=True)
    with pytest.raises(
        ConfigError, match="is a policy of a2c, ppo and trpo, got sac; use MlpPolicy"
    ):
        DRLAgent(make_env()).get_model("sac", policy="PerTickerPolicy", verbose=0)
