"""Features must stay the same up to a date when later rows are removed, or replaced by others."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from stable_baselines3.common.vec_env import VecEnv

from finrl_ray._typing import AnyArray, FloatArray
from finrl_ray.data.columns import PRICE_COLUMNS
from finrl_ray.data.labels import date_label
from finrl_ray.data.market_data import MarketData
from finrl_ray.diagnostics.findings import FindingList
from finrl_ray.diagnostics.leaks.sample import SEED, Sample
from finrl_ray.env.make import make_vec_env
from finrl_ray.env.orders.discrete import random_actions
from finrl_ray.env.scaling import fitted_scaling
from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.errors import FinRLRayError
from finrl_ray.support.text import counted

N_DATES = 6
"""Dates at which the future is taken away."""
TOLERANCE = 1e-9
"""Relative to the deviation of a column; computed features agree to rounding."""
_STEPS = 40


def check_without_future(sample: Sample, findings: FindingList) -> None:
    """Load the source without its later rows, for several dates; all up to each must be equal."""
    compared = 0
    for date in sample.probe_dates(N_DATES):
        try:
            shorter = sample.load(sample.rows[~sample.later_than(date)])
        except FinRLRayError:
            continue  # too little is left for the features
        compared += 1
        _report(sample, shorter, date, "without the rows after", findings)
    if compared:
        findings.ok(
            "data.features", f"compared at {counted(compared, 'date')} without their future"
        )
    else:
        findings.note("data.features", "too few rows to take the future away from")


def check_other_future(sample: Sample, findings: FindingList) -> None:
    """Replace prices after a date by others; features, observations, accounts before must stay."""
    for date in sample.probe_dates(3)[[0, -1]]:
        try:
            other = sample.load(altered(sample, date))
        except FinRLRayError as error:
            findings.note(
                "data", f"another future after {date_label(date)} cannot be read: {error}"
            )
            continue
        _report(sample, other, date, "with other prices after", findings)
        _check_episode(sample, other, date, findings)
    findings.ok("env", "observations and accounts do not depend on later prices")


def altered(sample: Sample, date: np.datetime64) -> pd.DataFrame:
    """Return the rows with every number after a date multiplied by a random one."""
    rows, later = sample.rows.copy(), sample.later_than(date)
    rng = np.random.default_rng(SEED)
    # one factor per row keeps open, high, low and close in order
    factors = np.exp(rng.normal(0.3, 0.3, int(later.sum())))
    for name in rows.columns:
        if pd.api.types.is_numeric_dtype(rows[name]) and rows[name].dtype != bool:
            values = rows[name].to_numpy(dtype=np.float64, copy=True)
            values[later] *= factors
            rows[name] = values
    return rows


def _report(
    sample: Sample, other: MarketData, date: np.datetime64, how: str, findings: FindingList
) -> None:
    for name, ticker, first in _differences(sample, other, date):
        of = f" of {ticker}" if ticker else ""
        findings.error(
            f"data.features.{name}",
            f"{name}{of} on {date_label(first)} is another number {how} {date_label(date)}: it is "
            "computed from the future",
            "compute it from rows up to its own date alone: no centred windows, no bfill, no "
            "statistics of the whole sample",
        )


def _differences(
    sample: Sample, other: MarketData, date: np.datetime64
) -> Iterator[tuple[str, str, np.datetime64]]:
    """Yield name, ticker and first date of what is not equal up to a date, once per name."""
    own = sample.market_data
    dates = np.intersect1d(own.dates[own.dates <= date], other.dates)
    # rows of warm-up are incomplete in both
    dates = dates[dates >= max(own.dates[own.warmup], other.dates[other.warmup])]
    rows, rows_there = np.searchsorted(own.dates, dates), np.searchsorted(other.dates, dates)
    tickers = [ticker for ticker in own.tickers if ticker in other.tickers]
    here = [own.tickers.index(ticker) for ticker in tickers]
    there = [other.tickers.index(ticker) for ticker in tickers]
    for name in own.feature_names:
        first = own.features[np.ix_(rows, here, [own.feature_names.index(name)])][:, :, 0]
        second = other.features[np.ix_(rows_there, there, [other.feature_names.index(name)])]
        found = _first_difference(first, second[:, :, 0])
        if found is not None:
            yield name, tickers[found[1]], dates[found[0]]
    for name in own.market_feature_names:
        series, series_there = own.market_series(name), other.market_series(name)
        found = _first_difference(series[rows][:, None], series_there[rows_there][:, None])
        if found is not None:
            yield name, "", dates[found[0]]


def _first_difference(first: FloatArray, second: FloatArray) -> tuple[int, int] | None:
    scale = np.nanstd(first) if np.isfinite(first).any() else 0.0
    apart = np.abs(first - second) > TOLERANCE * max(float(scale), 1e-12)
    apart |= np.isnan(first) != np.isnan(second)
    if not apart.any():
        return None
    row, column = np.argwhere(apart)[0]
    return int(row), int(column)


def _check_episode(
    sample: Sample, other: MarketData, date: np.datetime64, findings: FindingList
) -> None:
    """Trade the same orders in both markets up to a date: nothing seen or owned may differ."""
    own = sample.market_data
    if own.tickers != other.tickers or not np.array_equal(own.dates, other.dates):
        return
    row = int(np.searchsorted(own.dates, date))
    first, stop = max(own.warmup, row - _STEPS), min(row + 2, own.n_periods)
    env = sample.config.env.of_this_package()
    # a train window may begin after the date
    fitted_from = min(sample.split.train.first_row, first)
    scaling = fitted_scaling(env, own.rows(fitted_from, row + 1))
    seen: list[tuple[AnyArray, AnyArray]] = []
    for data in (own, other):
        vec_env = make_vec_env(data.rows(first, stop), env, scaling=scaling, training=False)
        rng = np.random.default_rng(SEED)
        observations: list[AnyArray] = [np.asarray(vec_env.reset())]
        values = [_account_value(vec_env)]
        for _ in range(row - first):
            actions = random_actions(vec_env.action_space, 1, rng)
            stepped: AnyArray = np.asarray(vec_env.step(actions)[0])
            observations.append(stepped)
            values.append(_account_value(vec_env))
        seen.append((np.concatenate(observations), np.array(values)))
    for what, one, two in zip(("an observation", "an account"), seen[0], seen[1], strict=True):
        if not np.array_equal(one, two):
            findings.error(
                "env",
                f"{what} up to {date_label(date)} depends on prices after it",
                "a market series or feature of the data holds the future",
            )


def _account_value(env: VecEnv) -> float:
    """Return what the first account of an env of this package is worth."""
    if isinstance(env, StockTradingVecEnv):
        return float(env.accounts.books.records["value"][0])
    return float(env.get_attr("portfolio_value", indices=[0])[0])


def check_scaling(sample: Sample, findings: FindingList) -> None:
    """Fit the observation scaling again with other prices after the train window."""
    env = sample.config.env
    if not env.scales_observations:
        return
    train = sample.split.train
    last = sample.market_data.dates[train.stop_row - 1]
    try:
        other = sample.load(altered(sample, last))
    except FinRLRayError:
        return
    if not np.array_equal(other.dates, sample.market_data.dates):
        return
    own = fitted_scaling(sample.config.env, train.cut(sample.market_data))
    again = fitted_scaling(sample.config.env, train.cut(other))
    assert own is not None
    assert again is not None
    where = "env.observation_scaling" if env.observation == "finrl" else "env.observation"
    if own.key() == again.key():
        findings.ok(where, "it is fitted on the train window alone")
    else:
        findings.error(where, "it changes with prices after the train window", "")


def check_tickers_apart(sample: Sample, findings: FindingList) -> None:
    """Change one ticker's prices; no other ticker's computed features may change."""
    data = sample.market_data
    if data.n_assets < 2:
        return
    changed = data.tickers[0]
    rows = sample.rows.copy()
    own = (rows["tic"].astype(str) == str(changed)).to_numpy()
    rng = np.random.default_rng(SEED)
    factors = np.exp(np.cumsum(rng.normal(0.0, 0.02, int(own.sum()))))
    for name in (n for n in PRICE_COLUMNS if n in rows and n != "volume"):
        values = rows[name].to_numpy(dtype=np.float64, copy=True)
        values[own] *= factors
        rows[name] = values
    try:
        other = sample.load(rows)
    except FinRLRayError as error:
        findings.note("data", f"one ticker's prices cannot be changed alone: {error}")
        return
    if other.tickers != data.tickers or other.n_periods != data.n_periods:
        return
    first = max(data.warmup, other.warmup)
    for index, name in enumerate(data.feature_names):
        found = _first_difference(
            data.features[first:, 1:, index], other.features[first:, 1:, index]
        )
        if found is not None:
            findings.error(
                f"data.features.{name}",
                f"{name} of {data.tickers[found[1] + 1]} changes with the prices of {changed}",
                "compute it for each ticker by itself",
            )
    findings.ok("data.features", "no ticker's computed features depend on another's prices")
