"""What the compiled updates of SAC, TD3 and DDPG share: transitions, optimizers, and critics.

All arrays are of float32 and C-contiguous. Shapes, with B rows of a batch, K critics, G updates:

    values, following, errors   (K, B)
    rewards, dones, discounts   (B, 1)
    rows, accounts              (G, B)
"""

from typing import NamedTuple

import numpy as np

from finrl_ray._typing import Float32Array, IntArray
from finrl_ray.learners.off_policy.kernels import (
    gather,
    spread_errors,
    value_errors,
    weigh,
)
from finrl_ray.learners.off_policy.layers import (
    Descent,
    back_to_inputs,
    back_to_sums,
    descend,
    forward,
    move,
    rates_of,
    take_live_units,
)
from finrl_ray.learners.off_policy.live_units import Spare
from finrl_ray.learners.off_policy.plans import Inputs, PlannedCritics
from finrl_ray.learners.products.network import compiled, product
from finrl_ray.learners.products.tiles import address_of
from finrl_ray.learners.products.vectors import BLOCK


class Drawn(NamedTuple):
    """Transitions that were drawn for G updates; G is 0 where one batch has been taken already."""

    rows: IntArray
    accounts: IntArray
    held: tuple[Float32Array, ...]
    """The arrays of the replay buffer; see `gather`."""
    discounts: Float32Array


class Memory(NamedTuple):
    """What an update is computed in."""

    work: Float32Array
    packed: Float32Array
    rewards: Float32Array
    dones: Float32Array
    bonus: Float32Array
    """(B,): added to the targets' lowest value."""
    values: Float32Array
    following: Float32Array
    errors: Float32Array
    spare: Spare


@compiled
def take_batch(drawn: Drawn, step: int, inputs: Inputs, memory: Memory) -> None:
    """Copy the transitions of an update, unless they have been taken."""
    if drawn.rows.shape[0] == 0:
        return
    n_rows, row = memory.rewards.shape[0], inputs.row
    both = memory.work[inputs.here : inputs.here + 2 * n_rows * row].reshape((2 * n_rows, row))
    gather(drawn.rows[step], drawn.accounts[step], drawn.held, both, memory.rewards, memory.dones)


@compiled
def put_actions(actions: Float32Array, inputs: Inputs, first_row: int, work: Float32Array) -> None:
    """Copy actions (B, A) beside the observations of rows that begin at a place."""
    n_rows, n_actions = actions.shape
    for b in range(n_rows):
        begin = first_row + b * inputs.row + inputs.n_observed
        for j in range(n_actions):
            work[begin + j] = actions[b, j]


@compiled
def judge(
    plan: IntArray,
    critics: PlannedCritics,
    parameters: Float32Array,
    hidden: int,
    memory: Memory,
    values: Float32Array,
) -> None:
    """Fill the values of the first critics, as many as `values` has rows, without their biases.

    Parameters
    ----------
    plan : of those critics
    hidden : where their last hidden layers lie
    """
    n_critics, n_rows = values.shape
    work = memory.work
    forward(plan, parameters, work, memory.packed, n_rows)
    rows = work[hidden : hidden + n_rows * critics.hidden_row]
    head = parameters[critics.head_weight : critics.head_weight + n_critics * critics.width]
    weigh(
        rows.reshape((n_rows, critics.hidden_row)),
        head.reshape((n_critics, critics.width)),
        values,
    )


@compiled
def back_through_heads(
    critics: PlannedCritics, descent: Descent, work: Float32Array, errors: Float32Array
) -> None:
    """Bring errors of values (K, B) back through the last layers."""
    n_critics, n_rows = errors.shape
    size, row = n_critics * critics.width, critics.hidden_row
    weight, bias = critics.head_weight, critics.head_bias
    shape = (n_critics, critics.width)
    spread_errors(
        errors,
        descent.values[weight : weight + size].reshape(shape),
        work[critics.hidden : critics.hidden + n_rows * row].reshape((n_rows, row)),
        work[critics.slopes : critics.slopes + n_rows * row].reshape((n_rows, row)),
        descent.gradients[weight : weight + size].reshape(shape),
        descent.gradients[bias : bias + n_critics],
    )


@compiled
def learn_values(
    critics: PlannedCritics,
    descent: Descent,
    n_steps: int,
    tau: np.float32,
    scale: np.float32,
    discounts: Float32Array,
    memory: Memory,
) -> float:
    """Update the critics, and their targets if `tau` is above 0; return the loss.

    Parameters
    ----------
    n_steps : the number of this step of the optimizer
    scale : the loss is this times the sum of the critics' mean squared errors
    """
    work, bias, n_critics = memory.work, critics.head_bias, critics.n_critics
    n_rows = memory.rewards.shape[0]
    judge(critics.targets, critics, descent.targets, critics.following, memory, memory.following)
    judge(critics.plan, critics, descent.values, critics.hidden, memory, memory.values)
    loss: float = value_errors(
        memory.values,
        descent.values[bias : bias + n_critics],
        memory.following,
        descent.targets[bias : bias + n_critics],
        memory.bonus,
        (memory.rewards, memory.dones, discounts),
        scale,
        memory.errors,
    )
    back_through_heads(critics, descent, work, memory.errors)
    rates = rates_of(descent, n_steps)
    weight = critics.head_weight
    move(descent, rates, tau, weight, weight + n_critics * critics.width)
    move(descent, rates, tau, bias, bias + n_critics)
    descend(critics.plan, descent, rates, tau, work, n_rows, memory.spare)
    return loss


@compiled
def back_to_actions(
    plan: IntArray,
    critics: PlannedCritics,
    descent: Descent,
    inputs: Inputs,
    work: Float32Array,
    errors: Float32Array,
    spare: Spare,
) -> None:
    """Fill `action_slopes` from errors of values (K, B) of the first K critics.

    Gradients of the critics' parameters are overwritten with numbers that mean nothing.

    Parameters
    ----------
    plan : of those critics
    """
    n_rows = errors.shape[1]
    back_through_heads(critics, descent, work, errors)
    for back in range(plan.shape[0]):
        k = plan.shape[0] - 1 - back
        back_to_sums(plan, k, descent.gradients, work, n_rows)
        if plan[k, 9] >= 0:
            n_live = take_live_units(plan, k, work, n_rows, spare)
            back_to_inputs(plan, k, descent.values, work, n_rows, n_live, spare)
    there, n_inputs, n_actions = address_of(work), plan[0, 3], inputs.n_actions
    weights = address_of(descent.values) + 4 * (plan[0, 0] + inputs.n_observed)
    product(
        n_rows, n_actions, plan[0, 2], there + 4 * plan[0, 8], plan[0, 7], 1,
        weights, n_inputs, BLOCK, there + 4 * critics.action_slopes, n_actions,
    )  # fmt: skip
