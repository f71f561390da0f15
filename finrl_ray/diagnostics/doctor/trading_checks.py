"""What can be wrong with the size of trades, with slippage and with short sales."""

from collections.abc import Sequence

import numpy as np

from finrl_ray._typing import BoolArray, FloatArray
from finrl_ray.config.env import EnvConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.trial.order_size import by_ticker, in_words, values_of
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.windows.split import Split
from finrl_ray.diagnostics.findings import FindingList
from finrl_ray.env.orders.sizes import largest_orders
from finrl_ray.env.orders.volume import check_volume
from finrl_ray.env.slow_investment import larger_hmax
from finrl_ray.errors import FinRLRayError

SMALL_ORDER = 0.05
"""Share of the account; smaller largest orders are reported."""
LARGE_SLIPPAGE = 0.05
"""Fraction of the price; trades that usually move it further are reported."""
MANY_ROWS = 0.1
"""Share of a ticker's rows; more of them in which nothing can be traded are reported."""
_MOST_NAMED = 6


def check_order_size(config: ExperimentConfig, train: MarketData, findings: FindingList) -> None:
    """Warn of orders that are too small beside the account for an agent to act on what it sees.

    Raises
    ------
    ConfigError
        If `env.hmax` has not one number for each ticker.
    """
    env = config.env
    searched = {"env.action", "env.hmax", "env.hmax_unit"} & set(config.search.space)
    if env.class_ is not None:
        return  # what an action does there is not known
    if env.action != "orders" or searched or not train.tradable.any():
        return
    largest = np.where(train.tradable, largest_orders(env, train), np.nan)
    share = float(np.nanmedian(largest)) / env.initial_amount
    if share < SMALL_ORDER:
        most = in_words(env.hmax, env.hmax_unit)
        if env.hmax_unit == "shares":
            most += f" at the median price of {np.median(train.close[train.tradable]):,.4g}"
        findings.warning(
            "env.hmax",
            f"the largest order (env.hmax = {most}) is "
            f"{share:.2%} of env.initial_amount: what an agent decides in one step hardly changes "
            "its account, so it learns little",
            f"set env.action to target_weights, or {larger_hmax(env, SMALL_ORDER / share)}",
        )
    elif len(values_of(env.hmax)) > 1:
        _check_order_of_each(env, train, _median_of_each(largest), findings)


def _median_of_each(values: FloatArray) -> FloatArray:
    """Return the median of each column that has a number, else NaN."""
    known = np.isfinite(values).any(axis=0)
    medians = np.full(values.shape[1], np.nan)
    medians[known] = np.nanmedian(values[:, known], axis=0)
    return medians


def _check_order_of_each(
    env: EnvConfig, train: MarketData, largest: FloatArray, findings: FindingList
) -> None:
    """Warn of the tickers whose own number is too small, where that of the others is not."""
    shares = largest / env.initial_amount
    small = np.flatnonzero(shares < SMALL_ORDER)
    if not small.size:
        return
    given = by_ticker("env.hmax", env.hmax, train.tickers)
    named = [
        f"{train.tickers[i]} ({in_words(given[i], env.hmax_unit)}, {shares[i]:.2%})" for i in small
    ]
    factor = SMALL_ORDER / float(np.min(shares[small]))
    findings.warning(
        "env.hmax",
        f"the largest orders of {_listed(named)} are less than {SMALL_ORDER:.0%} of "
        "env.initial_amount: what an agent decides about them hardly changes its account, so it "
        "learns little of them",
        f"raise their numbers of env.hmax, to up to {factor:.2g} times, or set env.action to "
        "target_weights",
    )


def _listed(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = len(names) - _MOST_NAMED
    rest = [f"{more} more"] if more > 0 else []
    return ", ".join([*names[:_MOST_NAMED], *rest])


# -- whole shares ------------------------------------------------------------------------------


def check_whole_shares(config: ExperimentConfig, train: MarketData, findings: FindingList) -> None:
    """Warn of tickers of which an agent can usually not buy the least quantity.

    Orders in shares are at least one, which the config sees to.
    """
    env = config.env
    if {"env.action", "env.hmax", "env.hmax_unit"} & set(config.search.space):
        return
    in_shares = env.action == "orders" and env.hmax_unit == "shares"
    if in_shares or (env.fractional_shares and env.lot_size is None):
        return
    least = np.broadcast_to(
        np.asarray(1.0 if env.lot_size is None else env.lot_size, dtype=float), train.close.shape[1]
    )
    most = np.where(train.tradable, _most_in_currency(env, train) / train.close, np.nan)
    few = np.flatnonzero(_median_of_each(most) < least)
    if not few.size:
        return
    what = (
        f"an order of env.hmax = {in_words(env.hmax, env.hmax_unit)}"
        if env.action == "orders"
        else "an equal weight of env.initial_amount"
    )
    unit = "share" if env.lot_size is None else "lot"
    findings.warning(
        "env.hmax_unit" if env.action == "orders" else "env.initial_amount",
        f"{what} is usually less than one {unit} of {_listed([train.tickers[i] for i in few])}, so "
        "that nothing of it is bought",
        "set env.fractional_shares to true"
        + (" and env.lot_size to null" if env.lot_size is not None else "")
        + (", or raise env.hmax" if env.action == "orders" else ", or raise env.initial_amount"),
    )


def _most_in_currency(env: EnvConfig, train: MarketData) -> FloatArray:
    """Return the largest order of each ticker, or an equal weight of the account, shape (T, N)."""
    if env.action == "orders":
        return largest_orders(env, train)
    weight = min(1.0 / len(train.tickers), env.max_weight)
    return np.full(train.close.shape, weight * env.initial_amount)


# -- slippage and short sales -----------------------------------------------------------------


def check_slippage(
    config: ExperimentConfig, market_data: MarketData, split: Split, findings: FindingList
) -> None:
    """Look for volumes that are missing, and for trades that are large beside them."""
    env = config.env
    if env.volume_slippage == 0.0:
        return
    for window in (split.train, split.validation, split.test):
        if window.n_rows == 0:  # of a test window
            continue
        data = window.cut(market_data)
        try:
            check_volume(data.volume, data.tickers)
        except FinRLRayError as error:
            findings.error("env.volume_slippage", f"{window.name} window: {error}")
            return
    train = split.train.cut(market_data)
    usable = train.tradable & (train.volume > 0.0)
    without = 1.0 - usable.sum(axis=0) / np.maximum(train.tradable.sum(axis=0), 1)
    rare = [f"{train.tickers[i]} ({without[i]:.0%})" for i in np.flatnonzero(without > MANY_ROWS)]
    if rare:
        findings.warning(
            "env.volume_slippage",
            "in rows whose volume is 0 or missing nothing is traded, and so it is in many rows of "
            f"{_listed(rare)}",
            "leave these tickers out, or set env.volume_slippage to 0",
        )
    if usable.any() and not {"env.action", "env.hmax", "env.hmax_unit"} & set(config.search.space):
        _check_moved_prices(env, train, usable, findings)


def _check_moved_prices(
    env: EnvConfig, train: MarketData, usable: BoolArray, findings: FindingList
) -> None:
    """Warn where a usual trade moves its price by much."""
    shares = (_most_in_currency(env, train) / train.close)[usable] / train.volume[usable]
    moved = env.volume_slippage * float(np.median(shares))
    if moved <= LARGE_SLIPPAGE:
        return
    what = "the largest order" if env.action == "orders" else "an equal weight of the account"
    findings.warning(
        "env.volume_slippage",
        f"a trade of {what} is {float(np.median(shares)):.2%} of the traded volume in the median "
        f"row and moves its price by {moved:.2%}: trading costs most of what an agent can gain",
        f"lower env.volume_slippage ({env.volume_slippage:g}), "
        + ("env.hmax" if env.action == "orders" else "env.initial_amount or env.max_weight")
        + ", or see whether volumes are in shares (not in thousands, and adjusted as prices are)",
    )


def check_short(config: ExperimentConfig, findings: FindingList) -> None:
    """Say what short sales cost and what bounds them."""
    env = config.env
    if not env.short:
        return
    if env.borrow_rate == 0.0:
        findings.warning(
            "env.borrow_rate",
            "shares are borrowed for nothing: a short position costs nothing to hold, which no "
            "broker offers",
            "set it to what yours charges per year, such as 0.003 to 0.01 for large stocks",
        )
    if env.maintenance_margin == 0.0:
        findings.warning(
            "env.maintenance_margin",
            "without a margin nothing is covered before the account has lost all, and then the "
            "episode ends",
            "set it to what your broker demands, such as 0.25 of what is owed",
        )
    asked = (
        "weights of -1 to 1"
        if env.action == "target_weights"
        else "sells of up to env.hmax beyond what is held"
    )
    findings.note(
        "env.short",
        f"the agent may owe shares ({asked}): untrained, with actions around 0, it is about as "
        "much short as long, and has to learn to hold what rises; buy & hold, by which it is "
        "measured, owes nothing. Leave env.short false where only long positions are wanted",
    )
