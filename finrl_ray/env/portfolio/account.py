"""`PortfolioAccount`: one episode of weights, drifting between rebalances."""

from typing import Any

import numpy as np

from finrl_ray._typing import FloatArray
from finrl_ray.env.account_history import AccountHistory
from finrl_ray.env.benchmark import drifting_curve, equal_weight_purchase
from finrl_ray.env.portfolio.market import PortfolioMarket
from finrl_ray.env.portfolio.weights import rebalance
from finrl_ray.errors import ConfigError

_COLUMNS = ("account_value", "cash", "cost", "traded_amount")


class PortfolioAccount:
    """An account that holds all cash on row `first_day` and is rebalanced once a day from there.

    Parameters
    ----------
    market : the days
    initial_amount : currency
    cost_rate : fraction of all that is bought and sold
    first_day : row of the market
    last_day : row on which the first episode ends; None: the last one
    """

    def __init__(
        self,
        market: PortfolioMarket,
        initial_amount: float,
        cost_rate: float,
        first_day: int,
        last_day: int | None = None,
    ) -> None:
        self.market = market
        self.initial_amount = initial_amount
        self.cost_rate = cost_rate
        self.start(first_day, len(market.dates) - 1 if last_day is None else last_day)

    def start(self, first_day: int, last_day: int) -> None:
        """Begin an episode that ends on `last_day`, both rows of the market."""
        self.first_day, self.last_day = first_day, last_day
        days, n = last_day + 1 - first_day, len(self.market.tickers)
        self.day = self.first_day
        self.weights: FloatArray = np.zeros(n)
        """(N,) held at today's close, before trading; the rest is cash."""
        self._ledger = np.zeros((days, len(_COLUMNS)))
        self._ledger[0, :2] = self.initial_amount
        self._chosen = np.zeros((days - 1, n))
        self._trades = np.zeros((days - 1, n))

    @property
    def n_rows(self) -> int:
        """Days of this episode so far."""
        return self.day - self.first_day + 1

    @property
    def finished(self) -> bool:
        """Whether there is no day left to hold over."""
        return self.day == self.last_day

    @property
    def values(self) -> FloatArray:
        """Account value per day of this episode, as a view."""
        return self._ledger[: self.n_rows, 0]

    @property
    def chosen(self) -> FloatArray:
        """(days - 1, N) weights after each rebalance, as a view."""
        return self._chosen[: self.n_rows - 1]

    def hold(self, wanted: FloatArray) -> float:
        """Rebalance at today's close, hold until the next, and return the growth of the account.

        Parameters
        ----------
        wanted : array of shape (N,), how to share out what can be traded; the rest is cash
        """
        market, today, k = self.market, self.day, self.n_rows - 1
        close, before = market.close[today], float(self._ledger[k, 0])
        moved = rebalance(self.weights, wanted, market.tradable[today], self.cost_rate)
        grown = moved.positions * (market.close[today + 1] / close)
        growth = moved.cash + float(grown.sum())
        self._chosen[k] = moved.positions / (moved.cash + float(moved.positions.sum()))
        self._trades[k] = (moved.positions - self.weights) * before / close
        amounts = (growth, moved.cash, moved.cost, moved.traded)
        self._ledger[k + 1] = [before * amount for amount in amounts]
        self.weights = grown / growth
        self.day = today + 1
        return growth

    def history(self) -> AccountHistory:
        """Return the episode so far, as copies; `trades` are fractions of shares."""
        rows = self.n_rows
        ledger, trades = self._ledger[:rows].copy(), self._trades[: rows - 1].copy()
        return AccountHistory(
            dates=self.market.dates[self.first_day : self.day + 1].copy(),
            tickers=self.market.tickers,
            account_value=ledger[:, 0],
            cash=ledger[:, 1],
            rewards=np.diff(ledger[:, 0]),
            trades=trades,
            cost=ledger[1:, 2],
            traded_amount=ledger[1:, 3],
            n_trades=int(np.count_nonzero(trades)),
            initial_amount=self.initial_amount,
            benchmark_value=self._benchmark(),
        )

    def _benchmark(self) -> FloatArray:
        """Return equal-weight buy & hold of the episode so far, in fractions of shares."""
        market, first = self.market, self.first_day
        bought = equal_weight_purchase(
            market.close[first],
            self.cost_rate,
            market.tradable[first],
            self.initial_amount,
            whole=False,
        )
        return drifting_curve(market.close[first : self.day + 1], self.initial_amount, *bought)

    def get_state(self) -> dict[str, Any]:
        """Return everything the account's future depends on, as copies."""
        rows = self.n_rows
        return {
            "market": self.market.fingerprint,
            "first_day": self.first_day,
            "last_day": self.last_day,
            "day": self.day,
            "weights": self.weights.copy(),
            "ledger": self._ledger[:rows].copy(),
            "chosen": self._chosen[: rows - 1].copy(),
            "trades": self._trades[: rows - 1].copy(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Put the account where `get_state` found it.

        Raises
        ------
        ConfigError
            If the state belongs to another market.
        """
        own = self.market.fingerprint
        if state["market"] != own:
            raise ConfigError(
                f"this state belongs to another market ({state['market']}), the env trades {own}; "
                "build it on the same data"
            )
        # a state of an earlier version does not say where its episode ends: with the market
        self.start(state["first_day"], state.get("last_day", len(self.market.dates) - 1))
        self.day, self.weights = state["day"], state["weights"].copy()
        rows = self.n_rows
        self._ledger[:rows] = state["ledger"]
        self._chosen[: rows - 1] = state["chosen"]
        self._trades[: rows - 1] = state["trades"]
