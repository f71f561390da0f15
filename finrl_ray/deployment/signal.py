"""`Signal`: what to trade after one bar, and why it is not what the policy said."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from finrl_ray._typing import AnyArray, FloatArray
from finrl_ray.deployment.feature_ranges import UnfamiliarFeature
from finrl_ray.support.values import to_json

if TYPE_CHECKING:
    import pandas as pd

REASONS = {
    "turbulence": "the turbulence rule sells everything, or lets nothing be bought",
    "margin_call": "the account is worth too little beside the shares owed, which are bought back",
    "stop_loss": "the position has lost more than env.stop_loss allows",
    "take_profit": "the position has gained what env.profit_loss_ratio takes",
    "cool_down": "the ticker was traded less than env.cooldown periods ago",
    "band": "the weight is within env.no_trade_band of the one that is wanted",
    "not_tradable": "the ticker has no quote on the bar",
    "lot": "the order is rounded to whole lots (env.lot_size)",
    "whole_shares": "the order is rounded to whole shares",
    "not_held": "less is held than was to be sold",
    "no_cash": "there is not enough cash for the whole order",
    "account_lost": "the account has lost everything and trades no more",
    "limited": "another rule of the env has changed the order",
}
"""Why an order is not what the policy said, by code."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Signal:
    """The orders that follow from one completed bar, for N tickers.

    Parameters
    ----------
    date : of the bar, as `2020-01-31` or with a time of day
    tickers : N names
    action : array of shape (N,) or as the policy's action space has it
        What the policy said.
    planned : array of shape (N,), signed shares
        What the action orders, before the rules of the env and cash are asked.
    orders : array of shape (N,), signed shares
        To trade; below 0 to sell. With `fill: next_open` what would be filled were the next open
        the last close.
    reference_price : array of shape (N,), currency per share
        Close of the bar.
    holdings_before, holdings_after : arrays of shape (N,), shares
    weight_before, weight_after : arrays of shape (N,), shares of the account value
        At the reference price.
    cost : currency
        An estimate: of the orders at the reference price, slippage of the config and
        `borrow_fee` among it.
    borrow_fee : currency
        With `env.short`, what the shares that are owed after the orders cost until the next bar is
        due; no order's cost. 0 where an env of the user's keeps its account to itself.
    account_value : currency, before the orders
    cash_before, cash_after : currency
    reasons : N tuples of codes of `REASONS`
    unfamiliar : features that lie outside what was trained on, the farthest first
    unfamiliar_in_words : the same as one sentence
    fill : `close` or `next_open`, at which the orders are filled
    """

    date: str
    tickers: tuple[str, ...]
    action: AnyArray
    planned: FloatArray
    orders: FloatArray
    reference_price: FloatArray
    holdings_before: FloatArray
    holdings_after: FloatArray
    weight_before: FloatArray
    weight_after: FloatArray
    cost: float
    borrow_fee: float
    account_value: float
    cash_before: float
    cash_after: float
    reasons: tuple[tuple[str, ...], ...]
    unfamiliar: tuple[UnfamiliarFeature, ...]
    unfamiliar_in_words: str
    fill: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; shares and prices keep every bit."""
        content = {name: getattr(self, name) for name in self.__dataclass_fields__}
        content = {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in content.items()
        }
        content["unfamiliar"] = [vars(one) for one in self.unfamiliar]
        result: dict[str, Any] = to_json(content)
        return result

    def to_frame(self) -> "pd.DataFrame":
        """Return one row per ticker: side, shares, price, amount, weights and reasons."""
        import pandas as pd

        sides = ["buy" if order > 0 else "sell" if order < 0 else "" for order in self.orders]
        return pd.DataFrame(
            {
                "ticker": self.tickers,
                "side": sides,
                "shares": np.abs(self.orders),
                "reference_price": self.reference_price,
                "amount": np.abs(self.orders) * self.reference_price,
                "weight_before": self.weight_before,
                "weight_after": self.weight_after,
                "holdings_before": self.holdings_before,
                "holdings_after": self.holdings_after,
                "reasons": [" ".join(codes) for codes in self.reasons],
            }
        )
