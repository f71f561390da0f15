"""The networks of `PerTickerPolicy` on arrays that are made once: each ticker is a row."""

import numpy as np
import torch as th

from finrl_ray._typing import Float32Array
from finrl_ray.learners.on_policy.actor_critic import ActorCritic, Rows
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


class TickerRows:
    """What `Rows` is, for B observations of N tickers that share their networks."""

    def __init__(self, networks: ActorCritic, n_rows: int) -> None:
        n_tickers = len(networks.log_std)
        self.n_rows, self._n_tickers = n_rows, n_tickers
        self._each = Rows(networks, n_rows * n_tickers)
        self._inputs = th.zeros(n_rows * n_tickers, networks.first.weight.shape[1])
        self._input_array = self._inputs.numpy()
        self.mean = self._each.mean.view(n_rows, n_tickers)
        self.values = th.zeros(n_rows, 1)
        self.mean_slope = self._each.mean_slope.reshape(n_rows, n_tickers)
        self.mean_bias_slope: Float32Array = np.zeros(n_tickers, dtype=np.float32)
        self.value_slope: Float32Array = np.zeros((n_rows, 1), dtype=np.float32)
        self.value_bias_slope = self._each.value_bias_slope
        self._value_array = self.values.numpy()
        self._values_each = self._each.values.view(n_rows, n_tickers).numpy()
        self._value_slopes_each = self._each.value_slope.reshape(n_rows, n_tickers)

    def forward(self, observations: th.Tensor) -> None:
        """Fill `mean` and `values` for observations of shape (B, S)."""
        fill_ticker_rows(observations.numpy(), self._n_tickers, self._input_array)
        self._each.forward(self._inputs)
        fill_means(self._values_each, self._value_array)

    def backward(self, observations: th.Tensor) -> None:
        """Fill the gradients of all weights from the slopes; see `Rows.backward`."""
        spread_slopes(self.value_slope, self._value_slopes_each)
        self._each.mean_bias_slope[0] = self.mean_bias_slope.sum()
        self._each.backward(self._inputs)


def rows_of(networks: ActorCritic, n_rows: int) -> "Rows | TickerRows":
    """Return the memory of both networks for B observations."""
    return TickerRows(networks, n_rows) if networks.per_ticker else Rows(networks, n_rows)
