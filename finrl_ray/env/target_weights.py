"""The options of `action: target_weights` in the form that the kernel is given."""

import numpy as np

from finrl_ray._typing import AnyArray, FloatArray
from finrl_ray.config.env_options.trading import ZeroAction
from finrl_ray.env.kernel.target_weights import WeightRules
from finrl_ray.env.rules import TradingRules

WIDEST_BAND = 0.03
"""Share of the account; the default band is not wider."""
BAND_OF_EQUAL_WEIGHT = 0.2
"""The default band as a share of an equal weight, so that equal weights stay within reach."""


def weight_rules(rules: TradingRules, n_assets: int) -> WeightRules:
    """Return the options for N tickers, the default of `no_trade_band` worked out."""
    return WeightRules(
        zero_weight=zero_weight(rules.zero_action, n_assets),
        max_weight=float(rules.max_weight),
        band=settled_band(rules.no_trade_band, n_assets),
        trade_rate=float(rules.trade_rate),
        fractional=bool(rules.fractional_shares),
    )


def settled_band(band: float | None, n_assets: int) -> float:
    """Return `no_trade_band` as a number: the default of N tickers where it is None."""
    return float(min(WIDEST_BAND, BAND_OF_EQUAL_WEIGHT / n_assets) if band is None else band)


def zero_weight(zero_action: ZeroAction, n_assets: int) -> float:
    """Return the share of the account that an action of 0 stands for in each of N tickers."""
    return 1.0 / n_assets if zero_action == "equal_weights" else 0.0


def weights_of_actions(
    actions: AnyArray, *, zero_action: ZeroAction, max_weight: float, short: bool
) -> FloatArray:
    """Return the weights that actions ask for, as the kernel takes them.

    What an action of 0 stands for is added to each. Those then below 0 (with `short` below -1) and
    above 1 are cut off; where they are together more than 1, without their signs, they are divided
    by that sum; then what is beyond `max_weight` is cut off.

    Parameters
    ----------
    actions : array of shape (..., N)
    zero_action : `cash` or `equal_weights`
    max_weight : of one ticker, as a share of the account
    short : whether shares may be owed

    Returns
    -------
    array of shape (..., N)
        Shares of the account, float64.
    """
    asked = np.asarray(actions, dtype=np.float64)
    asked = asked + zero_weight(zero_action, asked.shape[-1])
    cut = np.clip(asked, -1.0 if short else 0.0, 1.0)
    # from the first ticker to the last, as the kernel adds
    total = np.cumsum(np.abs(cut), axis=-1)[..., -1:]
    weights: FloatArray = np.clip(cut / np.maximum(total, 1.0), -max_weight, max_weight)
    return weights
