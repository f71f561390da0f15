"""FinRL's `StockPortfolioEnv` (FinRL 0.3.7)."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from finrl_ray._typing import FloatArray
from finrl_ray.config.env import EnvConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.adapters.adapter import EnvAdapter
from finrl_ray.env.own.frames import long_frame

LOOKBACK = 252
"""FinRL's returns per covariance matrix."""


class FinRLPortfolioAdapter(EnvAdapter):
    """With covariances of the window's own rows, and an end without files and printed lines.

    FinRL leaves out the first 252 rows of its data, which have no full covariance. A window has no
    rows to spare: the matrix of a row is that of the returns of the window up to it, at most 252,
    and zero where there are fewer than two. FinRL's last step, which changes nothing, draws
    figures into a folder `results/` and pays the last reward a second time, is not taken.
    """

    bases = ("finrl.meta.env_portfolio_allocation.env_portfolio:StockPortfolioEnv",)

    def arguments(
        self, market: MarketData, config: EnvConfig, given: Mapping[str, Any], *, training: bool
    ) -> dict[str, Any]:
        """Return the frame with `cov_list`, and the sizes that FinRL's class wants."""
        lookback = int(given.get("lookback", LOOKBACK))
        frame = long_frame(market)
        matrices = window_covariances(market.close, lookback)
        column = np.empty(len(frame), dtype=object)
        for row, matrix in enumerate(matrices):
            for asset in range(market.n_assets):
                column[row * market.n_assets + asset] = matrix
        frame["cov_list"] = column
        return {
            "df": frame,
            "state_space": market.n_assets,
            "transaction_cost_pct": config.buy_cost_pct,
            "lookback": lookback,
        }

    def ended(self, env: Any) -> bool:
        """Return whether the last day has been reached."""
        return bool(env.day >= env.df.index[-1])

    def history(
        self, env: Any, rows: list[tuple[float, ...]], market: MarketData, config: EnvConfig
    ) -> Mapping[str, Any]:
        """Return the portfolio's value; all of it is invested, and FinRL's class charges nothing.

        What is traded to come back to the weights after a day's drift is known from them.
        """
        value = np.asarray(env.asset_memory, dtype=np.float64)
        weights = np.asarray(env.actions_memory, dtype=np.float64)[1:]
        growth = market.close[1 : len(value)] / market.close[: len(value) - 1]
        drifted = weights * growth
        drifted /= drifted.sum(axis=1, keepdims=True)
        before = np.vstack([np.zeros(market.n_assets), drifted[:-1]])
        return {
            "dates": env.date_memory,
            "account_value": value,
            "gross_value": np.concatenate([[0.0], value[1:]]),
            "traded_amount": np.abs(weights - before).sum(axis=1) * value[:-1],
            "cost": np.zeros(len(value) - 1),
        }


def window_covariances(close: FloatArray, lookback: int) -> FloatArray:
    """Return the covariance (ddof 1) of the last returns on each row, of shape (T, N, N).

    Parameters
    ----------
    close : array of shape (T, N)
    lookback : returns per matrix at most; rows with fewer than two returns before them have zeros
    """
    returns = close[1:] / close[:-1] - 1.0
    n = close.shape[1]
    result = np.zeros((len(close), n, n))
    for row in range(2, len(close)):
        seen = returns[max(0, row - lookback) : row]
        result[row] = np.atleast_2d(np.cov(seen, rowvar=False))
    return result
