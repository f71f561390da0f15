"""The compiled policy for a few observations does what SB3's does, to rounding."""

import numpy as np
import pytest
import torch as th
from on_policy_cases import make_model
from stable_baselines3.common.buffers import RolloutBuffer
from torch import nn

from finrl_ray.learners.on_policy.acting import CompiledActions
from finrl_ray.learners.on_policy.fused import FusedPPO
from finrl_ray.learners.on_policy.small_batches import MOST_ROWS


@pytest.mark.parametrize("n_rows", [1, MOST_ROWS, MOST_ROWS + 1])
@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU])
@pytest.mark.parametrize("widths", [[9], [24, 7, 16]])
def test_actions_and_values_are_those_of_the_policy(
    n_rows: int, activation: type[nn.Module], widths: list[int]
) -> None:
    kwargs = {"net_arch": {"pi": widths, "vf": [5, *widths]}, "activation_fn": activation}
    model = make_model(FusedPPO, policy_kwargs=kwargs)
    model.learn(24)
    buffer = RolloutBuffer(
        3, model.observation_space, model.action_space, device="cpu", n_envs=n_rows
    )
    acting = model._acting(n_rows)
    steps = CompiledActions(lambda: acting, buffer)
    seen = th.from_numpy(np.random.default_rng(1).normal(0, 2, (n_rows, 7)).astype(np.float32))
    th.manual_seed(4)
    clipped = steps.act(seen.numpy(), np.ones(n_rows))
    shown, *found = steps.shown()
    th.manual_seed(4)
    with th.no_grad():
        actions, values, log_probs = model.policy(seen)
        judged = model.policy.predict_values(seen)
    for result, wanted in zip(found, (actions, values, log_probs), strict=True):
        np.testing.assert_allclose(np.asarray(result), wanted.numpy(), rtol=1e-5, atol=2e-6)
    low, high = model.action_space.low, model.action_space.high
    np.testing.assert_array_equal(clipped, np.clip(found[0], low, high))
    np.testing.assert_array_equal(shown, seen)
    np.testing.assert_allclose(acting.judge(seen), judged, rtol=1e-5, atol=2e-6)
