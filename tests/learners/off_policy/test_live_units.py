"""Backward passes for live units alone have the bits of those for all units."""

from typing import Any

import numpy as np
import pytest
import torch as th
from torch import nn

from finrl_ray.learners.flat.optimizers import FlatAdam, flatten_optimizer
from finrl_ray.learners.flat.parameters import FlatParameters
from finrl_ray.learners.off_policy.layers import descend, forward, rates_of
from finrl_ray.learners.off_policy.live_units import ALL, spare_for, take_live
from finrl_ray.learners.off_policy.plans import Planner
from finrl_ray.learners.off_policy.updates import Moving, parameter_order
from finrl_ray.learners.products.network import backward_layers

N_ROWS, N_OBSERVED, N_ACTIONS = 21, 37, 5


def make_actor(n_dead: int) -> tuple[list[list[nn.Linear]], FlatAdam]:
    """Return layers of 90, 61 and 5 units and their optimizer; every third unit may be dead."""
    th.manual_seed(1)
    layers = [nn.Linear(N_OBSERVED, 90), nn.Linear(90, 61), nn.Linear(61, N_ACTIONS)]
    with th.no_grad():
        for layer in layers[:2]:
            layer.bias[::3][:n_dead] = -1e3
    optimizer: Any = th.optim.Adam([p for layer in layers for p in layer.parameters()])
    parts = [[layer] for layer in layers]
    flatten_optimizer(optimizer, parameter_order(parts))
    return parts, optimizer


def run_back(n_dead: int) -> tuple[Any, Any]:
    """Return the gradients of both passes, after a check of the parameters' step."""
    parts, optimizer = make_actor(n_dead)
    planner = Planner(N_ROWS, N_OBSERVED, N_ACTIONS, nn.ReLU)
    flat: FlatParameters = optimizer.flat
    planned = planner.actor(flat, parts, planner.inputs.here, n_rows=N_ROWS, squashed=True)
    work, packed = planner.array(), planner.packed()
    rng = np.random.default_rng(2)
    row = planner.inputs.row
    seen = rng.standard_normal((N_ROWS, row)).astype(np.float32)
    work[planner.inputs.here : planner.inputs.here + N_ROWS * row] = seen.ravel()
    descent = Moving(optimizer).descent()
    forward(planned.plan, descent.values, work, packed, N_ROWS)
    slopes = rng.standard_normal(N_ROWS * N_ACTIONS).astype(np.float32)
    work[planned.slopes : planned.slopes + len(slopes)] = slopes
    whole, all_work = np.zeros_like(descent.gradients), work.copy()
    backward_layers(planned.plan, descent.values, whole, all_work, N_ROWS)
    before = descent.values.copy()
    descend(
        planned.plan, descent, rates_of(descent, 1), np.float32(0), work, N_ROWS, planner.spare()
    )
    moved = descent.values != before
    np.testing.assert_array_equal(moved, np.abs(whole) > 0)
    return whole, descent.gradients


@pytest.mark.parametrize("n_dead", [0, 1, 12, 20, 30])
def test_gradients_are_those_of_all_units_bit_for_bit(n_dead: int) -> None:
    whole, live = run_back(n_dead)
    assert 0 < np.count_nonzero(whole) < len(whole)
    np.testing.assert_array_equal(whole, live)


def test_no_unit_is_live() -> None:
    parts, optimizer = make_actor(0)
    planner = Planner(N_ROWS, N_OBSERVED, N_ACTIONS, nn.ReLU)
    planned = planner.actor(
        optimizer.flat, parts, planner.inputs.here, n_rows=N_ROWS, squashed=True
    )
    work = planner.array()
    descent = Moving(optimizer).descent()
    descent.gradients[:] = 7
    # outputs of zero, as of units that are switched off
    work[planned.slopes : planned.slopes + N_ROWS * N_ACTIONS] = 1
    descend(
        planned.plan, descent, rates_of(descent, 1), np.float32(0), work, N_ROWS, planner.spare()
    )
    flat = optimizer.flat
    for (layer,) in parts[:2]:
        assert not descent.gradients[flat.place(layer.weight)].any()
        assert not descent.gradients[flat.place(layer.bias)].any()


def test_a_unit_is_live_if_any_row_has_a_slope_even_of_nan() -> None:
    spare = spare_for(3, 10, 1, 1)
    work = np.zeros(5 + 3 * 12, dtype=np.float32)
    slopes = work[5:].reshape(3, 12)
    slopes[2, 1], slopes[0, 4], slopes[1, 9], slopes[1, 6] = 2, np.nan, -1e-40, -0.0
    slopes[:, 10:] = 3  # of the layer beside it
    assert take_live(5, 12, 10, work, 3, spare) == 3
    assert spare.live[:3].tolist() == [1, 4, 9]
    kept = spare.slopes[: 3 * 16].reshape(3, 16)[:, :3]
    np.testing.assert_array_equal(kept, slopes[:, [1, 4, 9]])
    slopes[0, :9] = 1
    assert take_live(5, 12, 10, work, 3, spare) == ALL
