"""What `PerTickerPolicy` needs around its networks, of which each ticker is a row."""

import numpy as np

from finrl_ray._typing import Float32Array
from finrl_ray.machine.compiled_cache import cached_njit

compiled = cached_njit(nogil=True, error_model="numpy")


@compiled
def fill_ticker_rows(observations: Float32Array, n_tickers: int, rows: Float32Array) -> None:
    """Fill rows (B*N, 1 + 2K) of observations (B, 1 + K*N), as `by_ticker` has them."""
    kinds = (observations.shape[1] - 1) // n_tickers
    share = 1.0 / n_tickers
    for b in range(observations.shape[0]):
        seen, first = observations[b], b * n_tickers
        for i in range(n_tickers):
            rows[first + i, 0] = seen[0]
        for k in range(kinds):
            begin = 1 + k * n_tickers
            total = 0.0
            for i in range(n_tickers):
                total += seen[begin + i]
            mean = total * share
            for i in range(n_tickers):
                rows[first + i, 1 + k] = seen[begin + i]
                rows[first + i, 1 + kinds + k] = mean


@compiled
def fill_means(outputs: Float32Array, means: Float32Array) -> None:
    """Fill means (B, 1) of outputs (B, N)."""
    share = 1.0 / outputs.shape[1]
    for b in range(means.shape[0]):
        total = 0.0
        for i in range(outputs.shape[1]):
            total += outputs[b, i]
        means[b, 0] = total * share


@compiled
def spread_slopes(slopes: Float32Array, each: Float32Array) -> None:
    """Fill the slopes (B, N) of outputs of which means have the slopes (B, 1)."""
    share = np.float32(1.0 / each.shape[1])
    for b in range(slopes.shape[0]):
        for i in range(each.shape[1]):
            each[b, i] = slopes[b, 0] * share
