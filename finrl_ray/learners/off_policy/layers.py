"""Layers forward and back, where all parameters together are more than a cache holds.

Weights are packed a block at a time, right before the product that reads them, and moved some rows
at a time, right after the product that has filled their gradients. An array is an address here, and
`work` and `packed` are arrays of the planner's.
"""

from typing import NamedTuple

import numpy as np

from finrl_ray._typing import Float32Array, IntArray
from finrl_ray.learners.off_policy.live_units import (
    ALL,
    LIVE_ROWS,
    Spare,
    live_back_to_inputs,
    live_gradients,
    take_live,
)
from finrl_ray.learners.products.activations import RELU, outputs_of_sums, slopes_of_sums
from finrl_ray.learners.products.network import compiled, product
from finrl_ray.learners.products.prefetch import prefetch_later
from finrl_ray.learners.products.steps import followed_adam_pass, unclipped_adam_pass
from finrl_ray.learners.products.tiles import address_of, packed_transpose
from finrl_ray.learners.products.vectors import BLOCK, SHAPE

_ROWS_AT_ONCE = 4 * SHAPE.rows
"""Of a batch, multiplied between two requests for weights."""
_ROWS = 6 * SHAPE.rows
"""Of weights, moved at a time."""


class Descent(NamedTuple):
    """Adam on flat parameters, and the targets that follow them, each of shape (P,)."""

    values: Float32Array
    gradients: Float32Array
    average: Float32Array
    square: Float32Array
    targets: Float32Array
    """Empty: nothing follows."""
    n_steps: int
    """Before the first update."""
    rate: float
    beta1: float
    beta2: float
    eps: float


@compiled
def forward(
    plan: IntArray, values: Float32Array, work: Float32Array, packed: Float32Array, n_rows: int
) -> None:
    """Fill the outputs of all layers for the first `n_rows` rows of their inputs."""
    here, there, block = address_of(values), address_of(work), address_of(packed)
    for k in range(plan.shape[0]):
        weight, n_outputs, n_inputs = here + 4 * plan[k, 0], plan[k, 2], plan[k, 3]
        output, output_row = there + 4 * plan[k, 6], plan[k, 7]
        seen, seen_row = there + 4 * plan[k, 4], plan[k, 5]
        bias, activation = here + 4 * plan[k, 1], plan[k, 12]
        for first in range(0, n_outputs, BLOCK):
            n = min(BLOCK, n_outputs - first)
            begin = weight + 4 * first * n_inputs
            packed_transpose(n, n_inputs, begin, n_inputs, block, 0)
            # the next block's weights are asked for meanwhile, some at a time
            begin += 4 * n * n_inputs
            sums, left = output + 4 * first, min(BLOCK, n_outputs - first - n) * n_inputs
            for row in range(0, n_rows, _ROWS_AT_ONCE):
                taken = min(_ROWS_AT_ONCE, n_rows - row)
                share = min(left, -(-BLOCK * n_inputs * taken // n_rows))
                prefetch_later(begin, share)
                begin += 4 * share
                left -= share
                product(
                    taken, n, n_inputs, seen + 4 * row * seen_row, seen_row, 1,
                    block, BLOCK, 0, sums + 4 * row * output_row, output_row,
                )  # fmt: skip
            outputs_of_sums((n_rows, n, sums, output_row, bias + 4 * first, activation))


@compiled
def back_to_sums(
    plan: IntArray, k: int, gradients: Float32Array, work: Float32Array, n_rows: int
) -> None:
    """Turn the slopes of layer k's outputs into those of its sums, and fill those of its bias."""
    there, bias_slope = address_of(work), address_of(gradients) + 4 * plan[k, 1]
    slopes_of_sums(
        (n_rows, plan[k, 2], there + 4 * plan[k, 6], there + 4 * plan[k, 8], plan[k, 7],
         bias_slope, plan[k, 12], 0)
    )  # fmt: skip


@compiled
def take_live_units(plan: IntArray, k: int, work: Float32Array, n_rows: int, spare: Spare) -> int:
    """Do what `take_live` does, for layer k; only a ReLU switches units off."""
    if plan[k, 12] != RELU:
        return ALL
    return int(take_live(plan[k, 8], plan[k, 7], plan[k, 2], work, n_rows, spare))


@compiled
def back_to_inputs(
    plan: IntArray, k: int, values: Float32Array, work: Float32Array, n_rows: int, n_live: int,
    spare: Spare,
) -> None:  # fmt: skip
    """Fill the slopes of layer k's inputs from those of its sums.

    Parameters
    ----------
    n_live : from `take_live_units`
    """
    there, n_inputs = address_of(work), plan[k, 3]
    if n_live != ALL:
        weights = values[plan[k, 0] : plan[k, 0] + plan[k, 2] * n_inputs]
        target = there + 4 * plan[k, 9]
        live_back_to_inputs(weights, n_inputs, n_rows, target, plan[k, 5], n_live, spare)
        return
    product(
        n_rows, n_inputs, plan[k, 2], there + 4 * plan[k, 8], plan[k, 7], 1,
        address_of(values) + 4 * plan[k, 0], n_inputs, BLOCK,
        there + 4 * plan[k, 9], plan[k, 5],
    )  # fmt: skip


@compiled
def rates_of(descent: Descent, n_steps: int) -> tuple[np.float32, ...]:
    """Return the settings of `unclipped_adam_pass` for the step of this number."""
    beta1, beta2 = descent.beta1, descent.beta2
    return (
        np.float32(descent.rate / (1.0 - beta1**n_steps)),
        np.float32(1.0 - beta1),
        np.float32(beta2),
        np.float32(1.0 - beta2),
        np.float32((1.0 - beta2**n_steps) ** -0.5),
        np.float32(descent.eps),
    )


@compiled
def move(
    descent: Descent, rates: tuple[np.float32, ...], tau: np.float32, begin: int, end: int
) -> None:
    """Take Adam's step for some parameters; with `tau` above 0 targets follow them."""
    n, first = end - begin, 4 * begin
    value, gradient = address_of(descent.values) + first, address_of(descent.gradients) + first
    average, square = address_of(descent.average) + first, address_of(descent.square) + first
    if tau > np.float32(0):
        target = address_of(descent.targets) + first
        settings = (np.float32(1) - tau, tau, *rates)
        followed_adam_pass(n, (value, gradient, average, square, target), settings)
    else:
        unclipped_adam_pass(n, (value, gradient, average, square), rates)


@compiled
def _descend_live(
    plan: IntArray, k: int, descent: Descent, rates: tuple[np.float32, ...], tau: np.float32,
    work: Float32Array, n_rows: int, n_live: int, spare: Spare,
) -> None:  # fmt: skip
    """Move layer k's weights, whose gradients are zero where a unit is not live."""
    weight, n_outputs, n_inputs = plan[k, 0], plan[k, 2], plan[k, 3]
    gradients = descent.gradients[weight : weight + n_outputs * n_inputs]
    seen = address_of(work) + 4 * plan[k, 4]
    first, begin = 0, 0
    while begin < n_outputs:
        end = live_gradients(
            first, begin, n_live, n_outputs, gradients, n_inputs, n_rows, seen, plan[k, 5], spare
        )
        move(descent, rates, tau, weight + begin * n_inputs, weight + end * n_inputs)
        first, begin = first + LIVE_ROWS, end


@compiled
def descend(
    plan: IntArray,
    descent: Descent,
    rates: tuple[np.float32, ...],
    tau: np.float32,
    work: Float32Array,
    n_rows: int,
    spare: Spare,
) -> None:
    """Bring the slopes of the last layers' outputs back, and move each layer's parameters."""
    there, slopes_there = address_of(work), address_of(descent.gradients)
    for back in range(plan.shape[0]):
        k = plan.shape[0] - 1 - back
        weight, bias, n_outputs, n_inputs = plan[k, 0], plan[k, 1], plan[k, 2], plan[k, 3]
        back_to_sums(plan, k, descent.gradients, work, n_rows)
        n_live = take_live_units(plan, k, work, n_rows, spare)
        if plan[k, 9] >= 0:
            back_to_inputs(plan, k, descent.values, work, n_rows, n_live, spare)
        move(descent, rates, tau, bias, bias + n_outputs)
        if n_live != ALL:
            _descend_live(plan, k, descent, rates, tau, work, n_rows, n_live, spare)
            continue
        for first in range(0, n_outputs, _ROWS):
            n, begin = min(_ROWS, n_outputs - first), weight + first * n_inputs
            product(
                n, n_inputs, n_rows, there + 4 * (plan[k, 8] + first), 1, plan[k, 7],
                there + 4 * plan[k, 4], plan[k, 5], BLOCK, slopes_there + 4 * begin, n_inputs,
            )  # fmt: skip
            move(descent, rates, tau, begin, begin + n * n_inputs)
