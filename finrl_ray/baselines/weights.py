"""Weights of classical portfolios, estimated on the rows that agents train on.

References
----------
.. [1] Markowitz (1952), "Portfolio Selection", Journal of Finance 7(1), 77-91.
.. [2] Lopez de Prado (2016), "Building Diversified Portfolios that Outperform Out of Sample",
   Journal of Portfolio Management 42(4), 59-69.
"""

import importlib.util

import numpy as np

from finrl_ray._typing import BoolArray, FloatArray
from finrl_ray.data.market_data import MarketData
from finrl_ray.errors import ConfigError, DataError

_RIDGE = 1e-8
_SLACK = 1e-10


def train_returns(train_data: MarketData) -> FloatArray:
    """Return the simple returns of closes, shape (T - 1, N), without those across seams."""
    close = train_data.close
    returns: FloatArray = close[1:] / close[:-1] - 1.0
    kept = np.ones(len(returns), dtype=bool)
    kept[[row - 1 for row in train_data.seams]] = False
    return returns[kept]


def minimum_variance_weights(returns: FloatArray) -> FloatArray:
    """Return the long-only, fully invested weights of least sample variance [1]_.

    The quadratic programme is solved exactly by the primal active-set method. A ridge of 1e-8 of
    the mean variance makes the solution unique where there are fewer rows than tickers.

    Parameters
    ----------
    returns : array of shape (T, N), T >= 2

    Returns
    -------
    array of shape (N,)

    Raises
    ------
    DataError
        If there are fewer than 2 rows or a value is not finite.
    """
    values = np.asarray(returns, dtype=np.float64)
    if values.ndim != 2 or len(values) < 2 or not np.isfinite(values).all():
        raise DataError(f"returns must be finite, of shape (T >= 2, N), got {values.shape}")
    n = values.shape[1]
    covariance = np.cov(values, rowvar=False).reshape(n, n)
    scale = float(np.trace(covariance)) / n or 1.0
    covariance = covariance / scale + _RIDGE * np.eye(n)
    free, weights = np.ones(n, dtype=bool), np.full(n, 1.0 / n)
    for _ in range(10 * n + 10):
        goal = _unbounded(covariance, free)
        if (goal >= -_SLACK).all():
            weights = np.maximum(goal, 0.0)
            slope = covariance @ weights
            level = float(slope[free].mean())
            gain = np.where(free, 0.0, level - slope)
            if gain.max() <= _SLACK * max(1.0, abs(level)):
                break
            free[int(np.argmax(gain))] = True
            continue
        # go as far towards the goal as no weight becomes negative; the first that is 0 stays there
        falling = free & (goal < weights)
        step = np.full(n, np.inf)
        step[falling] = weights[falling] / (weights[falling] - goal[falling])
        first = int(np.argmin(step))
        weights = weights + min(1.0, float(step[first])) * (goal - weights)
        weights[first], free[first] = 0.0, False
    result: FloatArray = weights / weights.sum()
    return result


def _unbounded(covariance: FloatArray, free: BoolArray) -> FloatArray:
    """Return the weights of least variance among the free tickers, of any sign."""
    solved = np.linalg.solve(covariance[np.ix_(free, free)], np.ones(int(free.sum())))
    weights = np.zeros(len(free))
    weights[free] = solved / solved.sum()
    return weights


def hierarchical_risk_parity_weights(returns: FloatArray) -> FloatArray:
    """Return the weights of hierarchical risk parity [2]_, by skfolio.

    Raises
    ------
    ConfigError
        If skfolio is not installed.
    DataError
        If skfolio cannot fit these returns.
    """
    if importlib.util.find_spec("skfolio") is None:
        raise ConfigError('skfolio is not installed: pip install "finrl-ray[sp500]"')
    from skfolio.optimization import HierarchicalRiskParity

    if returns.shape[1] < 2:
        raise DataError("hierarchical risk parity needs at least 2 tickers")
    try:
        weights: FloatArray = np.asarray(HierarchicalRiskParity().fit(returns).weights_)
    except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        raise DataError(f"skfolio cannot fit hierarchical risk parity: {error}") from error
    # a sum above 1 by rounding would need borrowed cash
    return np.clip(weights, 0.0, None) / max(1.0, float(weights.sum()))
