"""From an action to portfolio weights, and what a rebalance leaves: pure functions.

Weights and amounts are fractions of the account value before the rebalance.
"""

from typing import NamedTuple

import numpy as np

from finrl_ray._typing import BoolArray, FloatArray

# each round multiplies the error by at most the cost rate
_MOST_ROUNDS = 10_000
_ROUNDING = 1e-16


def project_to_simplex(values: FloatArray) -> FloatArray:
    """Return the point nearest to `values` whose entries are >= 0 and sum to 1.

    Equal values give equal weights. An entry that is 1 or more above all others gives all weight
    to itself, so that, unlike with a softmax, 0 and 1 can be reached.

    Parameters
    ----------
    values : array of shape (K,), finite, K >= 1

    References
    ----------
    .. [1] Duchi et al. (2008), "Efficient Projections onto the l1-Ball", ICML, algorithm 1.
    """
    # shifted so that large values lose no digits; the projection does not depend on it
    shifted = values - values.max()
    falling = np.sort(shifted)[::-1]
    excess = np.cumsum(falling) - 1.0
    count = np.arange(1, len(values) + 1)
    last = int(np.flatnonzero(falling * count > excess)[-1])
    result: FloatArray = np.maximum(shifted - excess[last] / count[last], 0.0)
    return result


def wanted_weights(action: FloatArray, scale: float, free: BoolArray) -> FloatArray:
    """Return how an action shares out what can be moved, shape (N,).

    Parameters
    ----------
    action : array of shape (N,), or (N + 1,) with the weight of cash last
    scale : the action is multiplied by it before the projection
    free : array of shape (N,), which tickers can be traded; the others get 0

    Returns
    -------
    array of shape (N,)
        Sums to 1, or to less by the weight of cash; to 0 if nothing is free.
    """
    n_assets = len(free)
    taking_part = np.append(free, np.ones(len(action) - n_assets, dtype=np.bool_))
    weights = np.zeros(len(action))
    if taking_part.any():
        weights[taking_part] = project_to_simplex(scale * action[taking_part])
    return weights[:n_assets]


class Rebalance(NamedTuple):
    """What a rebalance leaves, as fractions of the account value before it."""

    positions: FloatArray
    """(N,)"""
    cash: float
    cost: float
    traded: float
    """Bought plus sold, without costs."""


def rebalance(held: FloatArray, wanted: FloatArray, free: BoolArray, cost_rate: float) -> Rebalance:
    """Return positions and cash after trading from `held` to `wanted`.

    Whatever cannot be traded stays. The rest, less the cost of the trade, is shared out by
    `wanted`. The cost is a fraction of all that is bought and sold, and the trade depends on what
    the cost leaves: b = r - cost_rate * sum(abs(wanted * b - held)) with r what is free. The right
    side changes by at most cost_rate < 1 times as much as b, so repeating it converges.

    Parameters
    ----------
    held : array of shape (N,), weights before the trade; they sum to 1 or less, the rest is cash
    wanted : array of shape (N,), how to share out what is free; sums to 1 or less
    free : array of shape (N,), which tickers can be traded
    cost_rate : fraction of the amount traded, within [0, 1)
    """
    moving = held[free]
    share = wanted[free]
    # rounding may take either below 0
    budget = max(0.0, 1.0 - float(held[~free].sum()))
    left = budget
    for _ in range(_MOST_ROUNDS):
        previous = left
        left = max(0.0, budget - cost_rate * float(np.abs(share * left - moving).sum()))
        if abs(left - previous) <= _ROUNDING:
            break
    positions = held.copy()
    positions[free] = share * left
    traded = float(np.abs(positions - held).sum())
    cash = max(0.0, left - float(positions[free].sum()))
    return Rebalance(positions=positions, cash=cash, cost=budget - left, traded=traded)
