"""A restored run goes on with the keywords that it is given, as population based training needs."""

from typing import Any

import numpy as np
import pytest
import torch as th
from small_models import small_model
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.save_util import recursive_getattr

from finrl_ray.agents.state.training_state import capture_state, learn_from, restore_state

TOTAL = 160
ON_POLICY = {"gamma": 0.9, "ent_coef": 0.02, "vf_coef": 0.3, "max_grad_norm": 0.7}
OFF_POLICY = {"gamma": 0.9, "tau": 0.02, "batch_size": 8, "train_freq": 8, "gradient_steps": 2}
CHANGES: dict[str, dict[str, Any]] = {
    "a2c": {**ON_POLICY, "n_steps": 8, "gae_lambda": 0.8, "normalize_advantage": True},
    "ppo": {
        **ON_POLICY,
        "n_steps": 16,
        "gae_lambda": 0.8,
        "n_epochs": 3,
        "batch_size": 8,
        "clip_range": 0.3,
        "clip_range_vf": 0.4,
        "target_kl": 0.5,
        "normalize_advantage": False,
    },
    "ddpg": OFF_POLICY,
    "td3": {**OFF_POLICY, "policy_delay": 3, "target_policy_noise": 0.1, "target_noise_clip": 0.4},
    "sac": {**OFF_POLICY, "target_update_interval": 2, "ent_coef": 0.05},
}


def learning_rates(model: BaseAlgorithm) -> dict[str, float]:
    names = [n for n in model._get_torch_save_params()[0] if n.endswith("optimizer")]
    return {name: recursive_getattr(model, name).param_groups[0]["lr"] for name in names}


def trained(algorithm: str, until: int = 96, **changes: Any) -> dict[str, Any]:
    model = small_model(algorithm, **changes)
    learn_from(model, TOTAL, at_safe_point=lambda m: m.num_timesteps < until)
    return capture_state(model)


def one_rollout_later(model: BaseAlgorithm) -> None:
    start, updates = model.num_timesteps, model._n_updates
    learn_from(model, TOTAL, at_safe_point=lambda m: m.num_timesteps == start, resumed=True)
    assert model.num_timesteps > start
    assert model._n_updates > updates


@pytest.mark.slow
@pytest.mark.parametrize("until", [16, 96])
@pytest.mark.parametrize("algorithm", sorted(CHANGES))
def test_the_learning_rate_of_every_optimizer_is_the_new_one(algorithm: str, until: int) -> None:
    state = trained(algorithm, until, learning_rate=1e-3)
    model = small_model(algorithm, learning_rate=3.3e-4)
    restore_state(model, state)
    expected = {"a2c": 1, "ppo": 1, "ddpg": 2, "td3": 2, "sac": 3}[algorithm]
    assert list(learning_rates(model).values()) == [3.3e-4] * expected
    learn_from(model, TOTAL, at_safe_point=lambda m: m.num_timesteps < until + 40, resumed=True)
    assert list(learning_rates(model).values()) == [3.3e-4] * expected


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", sorted(CHANGES))
def test_a_new_schedule_goes_on_at_the_progress_of_the_run(algorithm: str) -> None:
    state = trained(algorithm, learning_rate=1e-3)
    model = small_model(algorithm, learning_rate="lin_1e-2")
    restore_state(model, state)
    progress = 1 - state["counters"]["num_timesteps"] / TOTAL
    for rate in learning_rates(model).values():
        assert rate == pytest.approx(1e-2 * progress)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", sorted(CHANGES))
def test_every_other_keyword_is_the_new_one(algorithm: str) -> None:
    state, changes = trained(algorithm), CHANGES[algorithm]
    model: Any = small_model(algorithm, **changes)
    restore_state(model, state)
    one_rollout_later(model)
    for name, value in changes.items():
        found = getattr(model, name)
        if name.startswith("clip_range"):
            assert found(0.4) == value
        elif name == "train_freq":
            assert found.frequency == value
        else:
            assert found == value, name
    if algorithm in ("a2c", "ppo"):
        buffer = model.rollout_buffer
        assert (buffer.gamma, buffer.gae_lambda) == (0.9, 0.8)
        assert buffer.rewards.shape[0] == changes["n_steps"]
        assert_advantages_are_of(buffer, 0.9, 0.8)
    if algorithm == "sac":
        assert float(model.ent_coef_tensor) == pytest.approx(0.05)


def assert_advantages_are_of(buffer: Any, gamma: float, gae_lambda: float) -> None:
    # by hand, within the rollout; the last step's next value is not in the buffer any more
    values, rewards, starts = (
        getattr(buffer, name).reshape(buffer.buffer_size, -1)[:, 0]
        for name in ("values", "rewards", "episode_starts")
    )
    advantages = buffer.advantages.reshape(buffer.buffer_size, -1)[:, 0]
    for t in range(buffer.buffer_size - 1):
        goes_on = 1.0 - starts[t + 1]
        delta = rewards[t] + gamma * values[t + 1] * goes_on - values[t]
        later = gamma * gae_lambda * goes_on * advantages[t + 1]
        np.testing.assert_allclose(advantages[t], delta + later, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (0.2, 0.05, 0.05),
        ("auto", 0.05, 0.05),
        (0.2, "auto_0.5", 0.5),
        ("auto", "auto_0.5", None),  # goes on with what has been learned
    ],
)
def test_sacs_entropy_coefficient_is_the_new_keywords(
    before: Any, after: Any, expected: float | None
) -> None:
    state = trained("sac", ent_coef=before)
    model: Any = small_model("sac", ent_coef=after)
    restore_state(model, state)
    learned = model.ent_coef_optimizer is not None
    value = th.exp(model.log_ent_coef.detach()) if learned else model.ent_coef_tensor
    if expected is None:
        assert float(th.exp(state["variables"]["log_ent_coef"])) == float(value) != 0.5
    else:
        assert float(value) == pytest.approx(expected)
    one_rollout_later(model)
    if not learned:
        assert float(model.ent_coef_tensor) == pytest.approx(expected)


@pytest.mark.slow
def test_the_batches_of_an_update_are_as_large_and_as_many_as_the_new_keywords_say() -> None:
    model: Any = small_model("ppo", n_steps=16, batch_size=4, n_epochs=3)
    restore_state(model, trained("ppo"))
    before = model.policy.optimizer.n_steps
    one_rollout_later(model)
    assert model.policy.optimizer.n_steps - before == 3 * 16 // 4
