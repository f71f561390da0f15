"""From actions to orders where `env.hmax_unit` is money or a share of the account."""

import numpy as np

from finrl_ray._typing import AnyArray, FloatArray
from finrl_ray.config.env import EnvConfig
from finrl_ray.config.trial.order_size import by_ticker, check_tickers
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.rules import TradingRules
from finrl_ray.errors import ConfigError

FLOAT32_RESOLUTION = 2e-7
"""An order of so nearly whole shares, relative to it, has lost them to the rounding of a float32
action."""
NEAREST = 1e-3
"""And it is no further from them than this, in shares."""
_RESOLUTION = {np.dtype(np.float32): FLOAT32_RESOLUTION, np.dtype(np.float64): 1e-12}
# FinRL makes whole numbers of its orders, which larger ones would become negative by
_INT64 = 2.0**63


def check_sizes(hmax: FloatArray, rules: TradingRules) -> None:
    """Raise ConfigError if an order of `hmax` is more than its unit, or FinRL's numbers, allow."""
    if rules.ties == "argsort" and (hmax >= _INT64).any():
        raise ConfigError(
            f"hmax must be less than {_INT64:.2g} shares where orders are whole numbers of 64 "
            f"bits, as FinRL's (parity), got {hmax.max():g}"
        )
    if rules.hmax_unit == "account_share" and (hmax > 1.0).any():
        raise ConfigError(
            "hmax must be within (0, 1], a share of the account, with hmax_unit 'account_share', "
            f"got {hmax.max():g}"
        )


def orders_in_currency(
    actions: AnyArray,
    hmax: FloatArray,
    rules: TradingRules,
    close: FloatArray,
    records: AnyArray,
) -> FloatArray:
    """Return the shares that actions order, by the prices and the accounts that the agents see.

    Parameters
    ----------
    actions : array of shape (E, N), float32 or float64
    hmax : array of shape (E, N), currency or shares of the account, as `rules.hmax_unit` says
    rules : without `fractional_shares`, orders that a rounded action leaves just off whole shares
        are whole, since the kernel truncates
    close : array of shape (T, N); an agent has seen that of its account's day
    records : of `Books`, E accounts

    Returns
    -------
    array of shape (E, N)
    """
    most = hmax * records["value"][:, None] if rules.hmax_unit == "account_share" else hmax
    exact: FloatArray = actions.astype(np.float64) * most / close[records["day"]]
    if rules.fractional_shares:
        return exact
    with np.errstate(invalid="ignore"):  # an infinite action is refused by the kernel
        whole = np.rint(exact)
        size = np.abs(exact)
        near = np.abs(exact - whole) <= np.minimum(_RESOLUTION[actions.dtype] * size, NEAREST)
    return np.where(near, whole, exact)


def settled_hmax(config: EnvConfig, market_data: MarketData) -> object:
    """Return `hmax` of a config for a market: a number, or a list with one per ticker.

    Raises
    ------
    ConfigError
        If it has not one number for each ticker.
    """
    check_tickers("env.hmax", config.hmax, market_data.tickers)
    numbers = by_ticker("env.hmax", config.hmax, market_data.tickers)
    return list(numbers) if isinstance(numbers, tuple) else numbers


def largest_orders(config: EnvConfig, market_data: MarketData) -> FloatArray:
    """Return what an action of 1.0 orders of each ticker, in currency, of shape (T, N).

    Shares of the account are those of `initial_amount`.
    """
    hmax = np.asarray(settled_hmax(config, market_data), dtype=np.float64)
    if config.hmax_unit == "shares":
        return hmax * market_data.close
    factor = config.initial_amount if config.hmax_unit == "account_share" else 1.0
    return np.array(np.broadcast_to(hmax * factor, market_data.close.shape))
