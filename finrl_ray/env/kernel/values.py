"""What cash and positions are worth; compiled."""

from finrl_ray._typing import FloatArray
from finrl_ray.env.kernel.compile import cached_njit


@cached_njit
def value_of(cash: float, shares: FloatArray, close: FloatArray) -> float:
    """Return cash plus the positions at `close`, summed from the first ticker to the last."""
    total = 0.0
    for i in range(shares.shape[0]):
        total += close[i] * shares[i]
    return cash + total
