"""A layer's backward products for those units alone that any row of the batch has a slope for.

A unit that a ReLU has switched off for every row has slopes of zero: nothing goes back through it,
and the gradients of its weights are zero. Where observations are as large as prices and cash are,
that is a third to a half of all units. Each number of a product is one sum along the depth, to
which a zero adds nothing: what is left out changes no bit.
"""

from typing import NamedTuple

import numpy as np

from finrl_ray._typing import AnyArray, Float32Array, IntArray
from finrl_ray.learners.products.network import compiled, product
from finrl_ray.learners.products.tiles import address_of
from finrl_ray.learners.products.vectors import BLOCK, SHAPE

_STEP = 16
"""Numbers in 64 bytes."""
LIVE_ROWS = 6 * SHAPE.rows
"""Of weights, whose gradients are computed at a time."""
_NUMBER = np.int32(0x7FFFFFFF)
"""The bits of a float32 number but its sign."""
ALL = -1
"""Said of a layer of which so many units are live that nothing is left out."""


class Spare(NamedTuple):
    """Memory for what is left of a layer.

    Its sizes are those of the largest layer, of B rows, W units and I inputs.
    """

    slopes: Float32Array
    """(B * W rounded up to 64 bytes,)"""
    weights: Float32Array
    """(W * I,)"""
    gradients: Float32Array
    """(rows at a time * I,)"""
    flags: AnyArray
    """(W,) of int32"""
    live: IntArray
    """(W,)"""


def spare_for(n_rows: int, most_units: int, most_inputs: int, most_weights: int) -> Spare:
    """Return memory for layers of up to so many units, inputs and weights."""
    return Spare(
        np.zeros(n_rows * (most_units + _STEP), dtype=np.float32),
        np.zeros(most_weights, dtype=np.float32),
        np.zeros(LIVE_ROWS * most_inputs, dtype=np.float32),
        np.zeros(most_units, dtype=np.int32),
        np.zeros(most_units, dtype=np.int64),
    )


@compiled
def _distance(n_live: int) -> int:
    """Return how many numbers the rows of `Spare.slopes` lie apart."""
    return -(-n_live // _STEP) * _STEP


@compiled
def take_live(
    slopes: int, row: int, n_units: int, work: Float32Array, n_rows: int, spare: Spare
) -> int:
    """Put the slopes of live units side by side; return how many units are live, or `ALL`.

    Parameters
    ----------
    slopes : place in the work of the slopes of a layer's sums (B, W)
    row : how many numbers their rows lie apart
    """
    flags, live = spare.flags[:n_units], spare.live
    for j in range(n_units):
        flags[j] = 0
    bits = work.view(np.int32)
    for b in range(n_rows):
        begin = slopes + b * row
        numbers = bits[begin : begin + n_units]
        for j in range(n_units):
            flags[j] |= numbers[j] & _NUMBER
    n_live = 0
    for j in range(n_units):
        live[n_live] = j
        n_live += flags[j] != 0
    if 8 * n_live > 7 * n_units:
        return ALL
    distance = _distance(n_live)
    for b in range(n_rows):
        begin = slopes + b * row
        seen = work[begin : begin + n_units]
        kept = spare.slopes[b * distance : b * distance + n_live]
        for i in range(n_live):
            kept[i] = seen[live[i]]
    return n_live


@compiled
def live_back_to_inputs(
    weights: Float32Array, n_inputs: int, n_rows: int, target: int, row: int, n_live: int,
    spare: Spare,
) -> None:  # fmt: skip
    """Fill the slopes of a layer's inputs (B, I) from those that `take_live` has taken.

    Parameters
    ----------
    weights : array of shape (W * I,)
    target, row : address of the inputs' slopes, and how many numbers their rows lie apart
    """
    for i in range(n_live):
        first = spare.live[i] * n_inputs
        seen = weights[first : first + n_inputs]
        kept = spare.weights[i * n_inputs : (i + 1) * n_inputs]
        for j in range(n_inputs):
            kept[j] = seen[j]
    product(
        n_rows, n_inputs, n_live, address_of(spare.slopes), _distance(n_live), 1,
        address_of(spare.weights), n_inputs, BLOCK, target, row,
    )  # fmt: skip


@compiled
def live_gradients(
    first: int, begin: int, n_live: int, n_units: int, gradients: Float32Array, n_inputs: int,
    n_rows: int, seen: int, row: int, spare: Spare,
) -> int:  # fmt: skip
    """Fill the gradients of some units' weights; return the unit after them.

    Parameters
    ----------
    first : of the live units that are next
    begin : the unit that is next, live or not
    gradients : array of shape (W * I,), of the layer's weights
    seen, row : address of the layer's inputs, and how many numbers their rows lie apart
    """
    n = min(LIVE_ROWS, n_live - first)
    end = spare.live[first + n] if first + n < n_live else n_units
    product(
        n, n_inputs, n_rows, address_of(spare.slopes) + 4 * first, 1, _distance(n_live),
        seen, row, BLOCK, address_of(spare.gradients), n_inputs,
    )  # fmt: skip
    i = 0
    for unit in range(begin, end):
        target = gradients[unit * n_inputs : (unit + 1) * n_inputs]
        if i < n and spare.live[first + i] == unit:
            found = spare.gradients[i * n_inputs : (i + 1) * n_inputs]
            for j in range(n_inputs):
                target[j] = found[j]
            i += 1
        else:
            for j in range(n_inputs):
                target[j] = np.float32(0)
    return int(end)
