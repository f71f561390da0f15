"""What a step pays an account, before `reward_scaling`: the rewards by name, compiled.

FinRL's reward is currency; the others have no unit, and what is missing of
`cash_penalty_proportion` is taken off them as a share of the account.

References
----------
.. [1] Moody and Saffell (1998), "Reinforcement Learning for Trading", Advances in Neural
   Information Processing Systems 11, 917-923, equations 4 and 5.
"""

import math
from typing import Any

from finrl_ray._typing import FloatArray
from finrl_ray.env.kernel.compile import njit
from finrl_ray.env.kernel.values import value_of

REWARDS = {"account_change": 0, "active": 1, "log_return": 2, "differential_sharpe": 3}
"""The rewards that `env.reward` names, as numbers."""

ACCOUNT_CHANGE, ACTIVE, DIFFERENTIAL_SHARPE = (
    REWARDS[name] for name in ("account_change", "active", "differential_sharpe")
)
# Whoever is left with less of the account has lost all of it: nothing can be learned from log(0).
LEAST_GROWTH = 1e-12
# A variance below this share of the mean square is what rounding leaves of equal returns, and a
# smaller return is what it leaves of none.
_ROUNDING = 1e-12


@njit
def account_change(before: float, after: float) -> float:
    """Return by how much the account value has changed, as FinRL pays it."""
    return after - before


@njit
def growth(before: float, after: float) -> float:
    """Return `after / before`, at least 1e-12; 1 for what was worth nothing before."""
    if before <= 0.0:
        return 1.0
    return max(after / before, LEAST_GROWTH)


@njit
def differential_sharpe(simple_return: float, averages: FloatArray, rate: float) -> float:
    """Return the differential Sharpe ratio [1]_ of one return, and update the moving averages.

    It is the derivative of the Sharpe ratio of exponentially weighted returns by the weight of the
    latest one. It is 0 as long as no two returns differ.
    """
    mean, square = averages[0], averages[1]
    mean_step, square_step = simple_return - mean, simple_return * simple_return - square
    variance = square - mean * mean
    paid = 0.0
    if variance > _ROUNDING * square:
        paid = (square * mean_step - 0.5 * mean * square_step) / (variance * math.sqrt(variance))
    averages[0] = mean + rate * mean_step
    averages[1] = square + rate * square_step
    return paid


@njit
def reward_of(e: int, before: float, after: float, close: FloatArray, limits: Any) -> float:
    """Return what account e is paid for a step, and update what its reward remembers.

    Parameters
    ----------
    before, after : account values
    close : array of shape (N,), of the day that the step leads to
    limits : Limits
    """
    if limits.reward == ACCOUNT_CHANGE:
        return account_change(before, after)
    grown = growth(before, after)
    if limits.reward == DIFFERENTIAL_SHARPE:
        change = grown - 1.0
        # what rounding leaves of no return would be divided by its own square
        moved = change if abs(change) > _ROUNDING else 0.0
        return differential_sharpe(moved, limits.averages[e], limits.rate)
    paid = math.log(grown)
    if limits.reward == ACTIVE:
        held = limits.benchmark[e]
        value = value_of(held[0], limits.benchmark_shares[e], close)
        paid -= math.log(growth(held[1], value))
        held[1] = value
    return paid
