"""All baselines of one window, by name, with their measures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from finrl_ray._typing import DateArray, FloatArray
from finrl_ray.baselines.buy_and_hold import buy_and_hold
from finrl_ray.baselines.names import BUY_AND_HOLD, LABELS
from finrl_ray.baselines.portfolios import held_curve, rebalanced_curve
from finrl_ray.baselines.random_policy import random_policy_curves
from finrl_ray.baselines.weights import (
    hierarchical_risk_parity_weights,
    minimum_variance_weights,
    train_returns,
)
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.errors import ConfigError, DataError
from finrl_ray.metrics.own import MeasuredAccount
from finrl_ray.metrics.performance import sharpe_ratio
from finrl_ray.metrics.registry import performance_summary
from finrl_ray.metrics.returns import active_returns, simple_returns
from finrl_ray.own_code.metric import OwnMetric


@dataclass(frozen=True, kw_only=True, eq=False)
class BaselineCurves:
    """Account values of all baselines on the same T days.

    Parameters
    ----------
    curves : by name, arrays of shape (T,), in the order in which they are shown
    random_sharpe : 5 %, 50 % and 95 % quantile of the random policy's annual Sharpe ratios
    notes : what is missing, and why
    """

    curves: Mapping[str, FloatArray]
    random_sharpe: tuple[float, float, float]
    notes: tuple[str, ...] = ()


def baseline_curves(
    market_data: MarketData,
    train_data: MarketData,
    config: ExperimentConfig,
    *,
    periods_per_year: float,
) -> BaselineCurves:
    """Return every baseline on one window, at the costs of `config.env`.

    Buy & hold, minimum variance and hierarchical risk parity are bought on the first day and left
    to drift; weights come from `train_data` alone. Equal weight is restored every day and pays for
    it. The random policy draws uniform actions in the agents' own env; of 64 accounts the one with
    the median final value is shown. Cash earns nothing. An index (`evaluation.index_column`) is
    followed without costs, as nobody can trade one.

    Parameters
    ----------
    market_data : the window
    train_data : the rows that agents train on
    config : account, costs, risk-free rate and seed
    periods_per_year : periods/year, of the random policy's Sharpe ratios
    """
    env = config.env
    n = market_data.n_assets
    curves: dict[str, FloatArray] = {
        BUY_AND_HOLD: buy_and_hold(market_data, env),
        "equal_weight": rebalanced_curve(market_data, np.full(n, 1.0 / n), env),
    }
    notes = []
    returns = train_returns(train_data)
    estimators: dict[str, Callable[[FloatArray], FloatArray]] = {
        "minimum_variance": minimum_variance_weights,
        "hrp": hierarchical_risk_parity_weights,
    }
    for name, weights_of in estimators.items():
        try:
            curves[name] = held_curve(market_data, weights_of(returns), env)
        except (ConfigError, DataError) as error:
            notes.append(f"{LABELS[name]} is missing: {error}")
    drawn = random_policy_curves(market_data, env, seed=config.seed)
    order = np.argsort(drawn[:, -1], kind="stable")
    curves["random_policy"] = drawn[order[len(order) // 2]]
    curves["cash"] = np.full(market_data.n_periods, env.initial_amount)
    column = config.evaluation.index_column
    if column is not None:
        curves["index"] = _index_curve(market_data, column, env.initial_amount)
    ratios = [
        sharpe_ratio(
            simple_returns(curve),
            periods_per_year=periods_per_year,
            risk_free_rate=config.evaluation.risk_free_rate,
        )
        for curve in drawn
    ]
    low, middle, high = np.nanquantile(ratios, [0.05, 0.5, 0.95])
    return BaselineCurves(
        curves=curves,
        random_sharpe=(float(low), float(middle), float(high)),
        notes=tuple(notes),
    )


def _index_curve(market_data: MarketData, column: str, amount: float) -> FloatArray:
    series = market_data.market_series(column)
    if not (np.isfinite(series).all() and (series > 0).all()):
        raise DataError(
            f"evaluation.index_column {column!r} must be positive on every day of a window"
        )
    result: FloatArray = amount * series / series[0]
    return result


def curve_measures(
    curves: Mapping[str, FloatArray],
    *,
    periods_per_year: float,
    risk_free_rate: float,
    own_metrics: Sequence[OwnMetric] = (),
    dates: DateArray | None = None,
) -> dict[str, dict[str, float]]:
    """Return the performance measures of each curve, and its Sharpe ratio beyond buy & hold.

    Parameters
    ----------
    curves : by name; one of them is `buy_and_hold`
    periods_per_year : periods/year
    risk_free_rate : 1/year
    own_metrics : of the user, NaN of a curve where they ask for more than is known of it
    dates : of the curves, for own metrics
    """
    held, found = curves[BUY_AND_HOLD], {}
    for name, curve in curves.items():
        measures = performance_summary(
            curve,
            periods_per_year=periods_per_year,
            risk_free_rate=risk_free_rate,
            benchmark_value=held,
        )
        active = active_returns(curve, held)
        measures["active_sharpe_ratio"] = sharpe_ratio(active, periods_per_year=periods_per_year)
        account = MeasuredAccount(
            account_value=curve,
            periods_per_year=periods_per_year,
            risk_free_rate=risk_free_rate,
            dates=dates,
            benchmark_value=held,
        )
        found[name] = measures | {own.name: own.value(account) for own in own_metrics}
    return found


def measures_table(
    measures: Mapping[str, Mapping[str, float]], baselines: BaselineCurves
) -> pd.DataFrame:
    """Return one row per strategy: `strategy`, its label, and every measure.

    The row of the random policy has the quantiles of all its accounts' Sharpe ratios as well.
    """
    rows = []
    for name, values in measures.items():
        row = {"strategy": name, "label": LABELS[name], **values}
        if name == "random_policy":
            low, middle, high = baselines.random_sharpe
            row |= {"sharpe_5_pct": low, "sharpe_median": middle, "sharpe_95_pct": high}
        rows.append(row)
    return pd.DataFrame(rows)
