"""What a step pays an account: rewards by name, compiled into the step.

A reward is a compiled function of the account value before and after the step, in currency. The
penalty for missing cash and `reward_scaling` are applied to whatever it returns.
"""

from typing import Any

from finrl_ray.env.kernel.compile import njit


@njit
def value_change(before: float, after: float) -> float:
    """Return by how much the account value has changed, as FinRL pays it."""
    return after - before


REWARDS: dict[str, Any] = {
    "value_change": value_change,
}
