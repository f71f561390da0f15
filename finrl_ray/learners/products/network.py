"""Linear layers on flat parameters, forward and backward, as compiled loops over a plan.

A plan says for each layer where everything lies: its weights among the parameters, as torch has
them, and its inputs, outputs and slopes in an array of work. A slope is the gradient of the loss
with respect to the array in its name. Forward, weights are read transposed, and packed for that
whenever they have changed; backward nothing has to be packed.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from finrl_ray._typing import Float32Array, IntArray
from finrl_ray.learners.flat.parameters import ALIGNMENT, aligned_zeros
from finrl_ray.learners.products.activations import outputs_of_sums, slopes_of_sums
from finrl_ray.learners.products.tiles import address_of, packed_transpose, tiled_product
from finrl_ray.learners.products.vectors import BLOCK, SHAPE
from finrl_ray.machine.compiled_cache import cached_njit

compiled = cached_njit(nogil=True, error_model="numpy", fastmath={"contract"})

_STEP = ALIGNMENT // 4


class LayerPlan(NamedTuple):
    """Where one layer finds its numbers; a plan is an array (L, 13) of such rows.

    `weight` (O, I) and `bias` (O,) are places among the parameters, the others in the work: inputs
    (B, I) and outputs (B, O), whose rows lie `input_row` and `output_row` numbers apart, and their
    slopes, whose rows lie as far apart. `input_slope` is -1 where it is not wanted.
    """

    weight: int
    bias: int
    n_outputs: int
    n_inputs: int
    input: int
    input_row: int
    output: int
    output_row: int
    output_slope: int
    input_slope: int
    packed: int
    packed_block: int
    activation: int


class Work:
    """Places of arrays in one array that is made once.

    Parameters
    ----------
    n_rows : the most rows of its matrices, where none are given
    """

    def __init__(self, n_rows: int) -> None:
        self.n_rows, self.size = n_rows, 0

    def numbers(self, n_numbers: int) -> int:
        """Return the place of this many numbers."""
        place = self.size
        self.size += _rounded_up(n_numbers, _STEP)
        return place

    def matrix(self, n_columns: int, n_rows: int | None = None) -> tuple[int, int]:
        """Return the place and the distance of rows, which start at multiples of 64 bytes."""
        distance = _rounded_up(n_columns, _STEP)
        return self.numbers((n_rows or self.n_rows) * distance), distance

    def dense(self, n_columns: int, n_rows: int | None = None) -> tuple[int, int]:
        """Return the place and the distance of rows that follow one another without a gap."""
        return self.numbers((n_rows or self.n_rows) * n_columns), n_columns

    def packed(self, n_outputs: int, n_inputs: int) -> tuple[int, int]:
        """Return the place of a layer's packed weights and the distance of their blocks."""
        block = _rounded_up(n_inputs, SHAPE.lanes) * BLOCK
        return self.numbers(-(-n_outputs // BLOCK) * block), block

    def array(self) -> Float32Array:
        """Return the array, of zeros."""
        zeros: Float32Array = aligned_zeros(self.size).numpy()
        return zeros


def _rounded_up(number: int, step: int) -> int:
    return -(-number // step) * step


def plan_array(layers: Sequence[LayerPlan]) -> IntArray:
    """Return a plan for compiled code, of shape (L, 13)."""
    return np.array(layers, dtype=np.int64)


@compiled
def product(
    n_rows: int, n_columns: int, depth: int, a: int, a_row: int, a_step: int,
    b: int, b_row: int, b_block: int, c: int, c_row: int, onto: int = 0,
) -> None:  # fmt: skip
    """Do what `tiled_product` does, compiled once for all who call it."""
    tiled_product(n_rows, n_columns, depth, a, a_row, a_step, b, b_row, b_block, c, c_row, onto)


@compiled
def pack_weights(plan: IntArray, values: Float32Array, work: Float32Array) -> None:
    """Bring the weights of all layers into the order in which `forward_layers` reads them.

    Parameters
    ----------
    values : array of shape (P,)
        All parameters.
    work : array of the plan's `Work`
    """
    first, there = address_of(values), address_of(work)
    for k in range(plan.shape[0]):
        n_outputs, n_inputs = plan[k, 2], plan[k, 3]
        packed_transpose(
            n_outputs, n_inputs, first + 4 * plan[k, 0], n_inputs,
            there + 4 * plan[k, 10], plan[k, 11],
        )  # fmt: skip


@compiled
def forward_layers(plan: IntArray, values: Float32Array, work: Float32Array, n_rows: int) -> None:
    """Fill the outputs of all layers for the first `n_rows` rows of their inputs.

    Parameters
    ----------
    values, work : as in `pack_weights`, which has packed these values
    """
    first, there = address_of(values), address_of(work)
    for k in range(plan.shape[0]):
        bias, n_outputs, n_inputs = plan[k, 1], plan[k, 2], plan[k, 3]
        output, output_row = plan[k, 6], plan[k, 7]
        product(
            n_rows, n_outputs, n_inputs, there + 4 * plan[k, 4], plan[k, 5], 1,
            there + 4 * plan[k, 10], BLOCK, plan[k, 11], there + 4 * output, output_row, 0,
        )  # fmt: skip
        outputs_of_sums(
            (n_rows, n_outputs, there + 4 * output, output_row, first + 4 * bias, plan[k, 12])
        )


@compiled
def backward_layers(
    plan: IntArray,
    values: Float32Array,
    gradients: Float32Array,
    work: Float32Array,
    n_rows: int,
    onto: int = 0,
) -> None:
    """Fill the gradients of all layers' parameters from the slopes of the last ones' outputs.

    Parameters
    ----------
    gradients : array of shape (P,)
    values, work : as in `forward_layers`, which has filled the outputs
    onto : not 0: add to the gradients
    """
    here, slopes_here, there = address_of(values), address_of(gradients), address_of(work)
    for back in range(plan.shape[0]):
        k = plan.shape[0] - 1 - back
        weight, bias, n_outputs, n_inputs = plan[k, 0], plan[k, 1], plan[k, 2], plan[k, 3]
        output, row, slope = plan[k, 6], plan[k, 7], plan[k, 8]
        slopes_of_sums(
            (n_rows, n_outputs, there + 4 * output, there + 4 * slope, row,
             slopes_here + 4 * bias, plan[k, 12], onto)
        )  # fmt: skip
        product(
            n_outputs, n_inputs, n_rows, there + 4 * slope, 1, row,
            there + 4 * plan[k, 4], plan[k, 5], BLOCK, slopes_here + 4 * weight, n_inputs,
            onto,
        )  # fmt: skip
        if plan[k, 9] >= 0:
            product(
                n_rows, n_inputs, n_outputs, there + 4 * slope, row, 1,
                here + 4 * weight, n_inputs, BLOCK, there + 4 * plan[k, 9], plan[k, 5], 0,
            )  # fmt: skip
